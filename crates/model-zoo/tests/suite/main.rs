//! The models against `transformers`, against themselves, and against damaged folders.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod bottleneck;
mod chat;
mod common;
mod ctc;
mod decoding;
mod folders;
mod folders_llama;
mod golden_bert;
mod golden_hubert;
mod golden_llama;
mod golden_whisper;
mod invariance_bert;
mod invariance_hubert;
mod invariance_llama;
mod invariance_whisper;
mod lora;
mod projectors;
mod real_weights;
mod stored_weights;
mod tokenizer;
mod transcribe;
mod whispering;
