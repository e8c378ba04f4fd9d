//! The loop: steps, checkpoints, logs.

mod checkpoint;
mod gradients;
mod same_run;
mod train_loop;

pub use checkpoint::CheckpointStore;
pub use train_loop::{Outcome, RunOptions, train};
