//! Whisper: a speech encoder and a text decoder that attends to it.
//!
//! Radford et al. 2022, arXiv:2212.04356; arithmetic and names follow
//! `WhisperForConditionalGeneration` of `transformers`.

mod config;
mod decoder;
mod encoder;
mod generate;
mod generation_config;
mod model;
mod tokens;

pub use config::WhisperConfig;
pub use decoder::{DecoderCache, DecoderInput, DecoderOutput, WhisperDecoder};
pub use encoder::{EncoderInput, EncoderOutput, WhisperEncoder};
pub use generate::GreedyOptions;
pub use generation_config::{GenerationConfig, TokenIds};
pub use model::Whisper;
pub use tokens::{Prompt, prompt_ids, shift_tokens_right};
