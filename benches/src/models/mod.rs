//! `bench-models`: whole models at work, ours beside the libraries that people use for the same.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what was asked |
//! | `sides` | who takes part: a process each, ours included, asked over pipes |
//! | `serve`, `hear`, `say` | our side of the pipe |
//! | `sound` | corpora, clips, and the long recording made of them |
//! | `transcribe`, `generate` | speed, everybody in turn |
//! | `error_rates`, `long_form` | what was heard, beside what was said and what others heard |
//! | `text` | omissions, echoes and gaps |
//!
//! Every side is a process with the same requests and replies, reads the same sound or tokens, and
//! holds the same weights at the precision that its row names. Loading is in nobody's time.

pub mod error_rates;
pub mod generate;
mod hear;
pub mod long_form;
mod options;
mod say;
pub mod serve;
mod sides;
mod sound;
mod text;
pub mod transcribe;

pub use options::{Options, What};
