//! Bottleneck adapters: narrow residual blocks, trained behind frozen linear layers.
//!
//! ```text
//! y' = y + s (W_up f(W_down LayerNorm(y) + b_down) + b_up),   W_down (m, d), W_up (d, m)
//! ```
//!
//! Houlsby et al. 2019, arXiv:1902.00751, section 2.1: a block behind the projection of each
//! layer's attention and of its feed-forward part, before the residual, with `2 m d + d + m`
//! parameters each; the norm in front is optional and not in the paper. `W_up` and `b_up` start at
//! zero, so that a fresh block changes nothing (the paper draws them close to it). Dropout of the
//! model comes behind the block here, before it in the paper; it is off while models are adapted.
//!
//! Any model of this crate can have them: the [`Builder`](crate::Builder) attaches a block to each
//! linear layer whose name fits while the model is built, and the model's own parameters are frozen.
//! The paper trains the norms of the model and the head of its task as well: make them trainable, and
//! save them, apart.

mod adapter;
mod config;
mod placement;

pub use adapter::BottleneckAdapter;
pub use config::BottleneckConfig;
pub use placement::Placement;
