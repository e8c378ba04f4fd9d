//! The loop: steps, checkpoints, logs.

mod checkpoint;
mod gradients;
mod run_log;
mod same_run;
mod train_loop;
mod trainable;

pub use checkpoint::CheckpointStore;
pub use train_loop::{Outcome, RunOptions, train};
