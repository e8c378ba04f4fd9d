//! The GPU kernels: what they ask of a card, counted by the interpreter, and what they take on one.
//!
//! | file | holds |
//! |---|---|
//! | `cases` | what is run, as data: a file an operation |
//! | `counts` | the interpreter's counters, summed by kernel |
//! | `cards` | rates of named cards |
//! | `roofline` | the least time that counts allow on a card |
//! | `estimate` | a case on the interpreter, as text and as rows |
//! | `timing` | a case on a card, timed by events |
//! | `selection` | which cases were asked for |
//! | `check` | `gpu-check`: everything that a real card is asked, within some minutes |
//!
//! The interpreter has no clock of a GPU: what comes of its counts is called an estimate wherever it
//! is written, and what it runs is never timed.

pub mod cards;
pub mod cases;
pub mod check;
mod counts;
mod estimate;
mod roofline;
mod selection;
pub mod timing;

pub use cards::is_interpreted;
pub use cases::{Case, cases};
pub use counts::{Counts, read};
pub use estimate::{CSV_HEADER, Estimate, estimate};
pub use roofline::{Bound, bounds, floor, table, total};
pub use selection::Selection;
