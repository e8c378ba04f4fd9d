//! Whole-system tests: the program on a small world of synthetic speech.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod bad_input;
mod batch_invariance;
mod cli;
mod cli_errors;
mod data;
mod documentation;
mod folder;
mod generate;
mod memory_bank;
mod program;
#[cfg(unix)]
mod resume;
mod speech;
mod speech_llm;
mod standalone;
mod sweep;
mod transcribe;
mod world;
