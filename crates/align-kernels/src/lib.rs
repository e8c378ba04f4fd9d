//! Losses that bring two clouds of vectors into agreement, with their gradients.
//!
//! Inputs are [`ndarray`] views in f32, bf16 or f16; values and gradients come out as plain arrays.
//! Batches are ragged: items of their own lengths packed one after another ([`Ragged`]), never padded.
//! Every loss has a twin in [`reference`](mod@reference): f64, one item, plain loops, written to be read.
//!
//! Results have the same bits on any number of threads. Errors say where, what, expected and got.

pub mod crd;
mod error;
pub mod info_nce;
pub mod mmd;
pub mod nst;
mod points;
pub mod reference;
pub mod sinkhorn;

pub use error::{ErrorKind, KernelError, Result};
pub use points::{Points, Ragged};
