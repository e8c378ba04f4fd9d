//! `bench-kernels --device emu`: what the GPU kernels ask of a card, counted by the interpreter.
//!
//! | file | holds |
//! |---|---|
//! | `cases` | what is run, as data: a file an operation |
//! | `counts` | the interpreter's counters, summed by kernel |
//! | `cards` | rates of named cards |
//! | `roofline` | the least time that the counts allow on a card |
//!
//! The interpreter has no clock of a GPU, so no time here is a measurement.

pub mod cards;
pub mod cases;
mod counts;
mod roofline;

pub use cases::{Case, cases};
pub use counts::{Counts, read};
pub use roofline::{Bound, bounds, table};
