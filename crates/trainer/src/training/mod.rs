//! The loop: steps, checkpoints, logs.

mod checkpoint;
mod train_loop;

pub use checkpoint::{CheckpointStore, LoopState, check_same_run, hash_manifests};
pub use train_loop::{Outcome, RunOptions, train};
