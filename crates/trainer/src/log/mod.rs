//! What a run says while it runs: [`jsonl`] for programs, [`tensorboard`] for plots, [`progress`]
//! for the person at the terminal.

pub mod jsonl;
pub mod progress;
pub mod tensorboard;

pub use jsonl::{MetricsLog, read_series};
pub use progress::{Progress, ProgressMode};
pub use tensorboard::EventWriter;
