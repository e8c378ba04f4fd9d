//! What goes into HuBERT and what comes out.

use tensor_core::Tensor;

/// What HuBERT reads.
#[derive(Debug, Clone, Copy)]
pub struct HubertInput<'a> {
    /// Mono samples `(B, S)`, f32, at the rate of the folder's `preprocessor_config.json`, scaled
    /// as it says (see [`Preprocessor`](super::Preprocessor)).
    pub input_values: &'a Tensor,
    /// Valid samples of each item, `(B,)`, each from the receptive field to `S`. Samples beyond
    /// are never read, so a batch of unequal clips gives what each clip gives alone.
    ///
    /// `None`: all samples are valid, which is how `transformers` sees a batch without
    /// `attention_mask`. The published models with `feat_extract_norm = "group"` were trained so,
    /// on clips padded with zeros.
    pub sample_lengths: Option<&'a [usize]>,
    /// `(B, F)`, nonzero where a frame is replaced by the mask embedding, whether training or not;
    /// `None`: in training, frames are drawn as the config's `mask_time_*` keys say.
    pub mask_time_indices: Option<&'a Tensor>,
    /// Whether to return the state before every layer too.
    pub output_hidden_states: bool,
}

impl<'a> HubertInput<'a> {
    /// Samples that are all valid; only the last state is returned.
    pub fn new(input_values: &'a Tensor) -> Self {
        Self {
            input_values,
            sample_lengths: None,
            mask_time_indices: None,
            output_hidden_states: false,
        }
    }

    /// Samples of which each item has a number of its own.
    pub fn with_lengths(input_values: &'a Tensor, sample_lengths: &'a [usize]) -> Self {
        Self { sample_lengths: Some(sample_lengths), ..Self::new(input_values) }
    }
}

/// What HuBERT found.
#[derive(Debug, Clone)]
pub struct HubertOutput {
    /// State after the last layer `(B, F, D)`; in the stable form, after the encoder's norm.
    pub last_hidden_state: Tensor,
    /// On request: `L + 1` states `(B, F, D)`. Entry 0 is what the first layer reads, entry `k`
    /// the state after layer `k`, in the stable form before the encoder's norm, as `transformers`
    /// 5 returns them.
    pub hidden_states: Vec<Tensor>,
    /// Valid frames of each item. Later frames hold finite values without meaning.
    pub lengths: Vec<usize>,
}
