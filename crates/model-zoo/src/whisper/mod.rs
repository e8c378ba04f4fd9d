//! Whisper: a speech encoder and a text decoder that attends to it.
//!
//! Radford et al. 2022, arXiv:2212.04356; arithmetic and names follow
//! `WhisperForConditionalGeneration` of `transformers`.

mod cache;
mod config;
mod decoder;
mod encoder;
mod generate;
mod generation_config;
mod layer;
mod model;
mod names;
mod rows;
mod special_tokens;
mod timestamp_rules;
mod tokens;
mod transcribe;

pub use cache::DecoderCache;
pub use config::WhisperConfig;
pub use decoder::{DecoderInput, DecoderOutput, WhisperDecoder};
pub use encoder::{EncoderInput, EncoderOutput, WhisperEncoder};
pub use generate::WhisperGenerateOptions;
pub use generation_config::GenerationConfig;
pub use model::Whisper;
pub use rows::WhisperRows;
pub use special_tokens::{SECONDS_PER_TIMESTAMP, SpecialTokens};
pub use timestamp_rules::TimestampRules;
pub use tokens::{Prompt, prompt_ids, shift_tokens_right};
pub use transcribe::{
    ChunkOptions, DecodeOptions, FRAMES_PER_SECOND, LogMelSource, LogMelWindow, Progress, Segment,
    Transcriber, Transcript, WindowContext, WindowResult, Word, compression_ratio,
};
