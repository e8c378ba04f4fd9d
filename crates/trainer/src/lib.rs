//! Recipes, data, losses, loop, checkpoints, evaluation and reports.
//!
//! The library half of the `trainer` program. A [`recipe`] says everything about a run; a
//! [`tasks::Task`] says what a batch is and what is minimised; [`training::train`] runs it; the
//! [`systems`] put runs, scores and the report together. Start reading there.

pub mod alignment;
mod atomic;
pub mod batching;
pub mod cli;
mod dataset;
mod feature_cache;
mod freeze;
mod generation;
mod guard;
pub mod host;
pub mod import;
pub mod interrupt;
pub mod log;
pub mod losses;
pub mod manifest;
mod memory;
mod model_folder;
pub mod recipe;
pub mod report;
pub mod schedule;
pub mod systems;
pub mod tasks;
mod tokenizer_training;
pub mod training;
mod transcription;
