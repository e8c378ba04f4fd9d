//! Whispering-LLaMA: a frozen LLaMA that corrects transcripts and also hears the recording.
//!
//! Radhakrishnan et al. 2023, arXiv:2310.06434. In every layer from `adapter_start_layer` on, the
//! heads of LLaMA also attend to learned rows `M` and to the frames of Whisper's encoder, which the
//! cross-attention of Whisper's decoder block of the same number projects:
//!
//! ```text
//! SA_L = SDPA_causal(q, k, v)
//! A_L  = SDPA(q, K(n), V(n)),               n = RmsNorm(M)
//! SA_W = SDPA(mix(q), pad(k'), pad(v')),    k' = Ad(RmsNorm(W_k states)),  v' = Ad(RmsNorm(W_v states))
//! y    = SA_L + gating_factor A_L + projection_gating_factor SA_W      then LLaMA's output projection
//! ```
//!
//! `q` and `k` are rotated, the other keys are not; scores are scaled by `1 / sqrt(D)` of LLaMA's
//! heads everywhere. `Ad(x) = SiLU(x M_down) M_up` is the adapter proper; `pad` puts Whisper's fewer
//! and narrower heads among LLaMA's; `mix` is a trained map over each query's elements and one over
//! the heads. Both nets are frozen. Where paper and released code differ, the code is followed: the
//! norms before `Ad`, the two maps of `mix`, the norm of `M`, which is not trained, and
//! [`WlSplit::Released`].
//!
//! Without the audio the same adapter is that of LLaMA-Adapter, Zhang et al. 2023,
//! arXiv:2303.16199: `y = SA_L + gating_factor SDPA(q, K(M), V(M))`.
//!
//! # Order of elements within a head
//!
//! The released code rotates neighbours, `(q[2 i], q[2 i + 1])`; LLaMA of this crate rotates
//! `(q[i], q[i + D/2])`, as `transformers` does, whose files hold the rows of `q_proj` and `k_proj`
//! in that order. So the released query is `q_released[2 i] = q[i]`,
//! `q_released[2 i + 1] = q[i + D/2]`. Products of queries and LLaMA's own keys do not depend on
//! the order, and values and Whisper's keys have only one. `mix` alone tells them apart: the rows of
//! its map over elements, `projection_query_matrix_128to128`, are kept **in the released order**, and
//! a pass reads row `2 i` for element `i`, row `2 i + 1` for element `i + D/2`. So the identity it
//! starts from means what it means there, and released tensors fit without a conversion.

mod audio_adapter;
mod autoencoder;
mod config;
mod head_split;
mod hearing;
mod layer_adapter;
mod model;
mod prompt_adapter;
mod query_mixing;
mod sizes;

pub use config::{AudioAdapterConfig, WhisperingConfig};
pub use head_split::WlSplit;
pub use model::WhisperingLlama;
