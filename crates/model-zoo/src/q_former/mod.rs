//! The window-level Q-Former: a few vectors for every stretch of speech frames.
//!
//! The frames of an encoder are cut into windows, and the same learned queries read each of them.
//! *Contrastive Learning for Task-Independent SpeechLLM-Pretraining* (arXiv:2412.15712) uses one of
//! 17 frames (0.34 s) and 4 queries; windows after Tang et al. 2024, arXiv:2310.13289; the layers are
//! those of Li et al. 2023, arXiv:2301.12597, as `Blip2QFormerModel` of `transformers` computes them
//! and by its names.

mod config;
mod layer;
mod model;

pub use config::QFormerConfig;
pub use model::QFormer;
