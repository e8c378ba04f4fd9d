//! Contrastive representation distillation (CRD): is a pair of vectors one sample or two?
//!
//! | function | negatives | cost |
//! |---|---|---|
//! | [`crd_in_batch`] | the other clips of the batch | `6 N C P` operations |
//! | [`MemoryBank`] | `K` rows of a bank of past vectors, drawn by the caller | below |
//!
//! Against a bank, `B` anchors meet `B (K + 1)` rows. When the bank is small the scores of all its
//! rows are one dense product (`4 B M P` operations, forward and backward) and single scores are
//! picked from it; when it is large each row that was drawn is read once.
//!
//! Both losses are sums over anchors of `softplus(-x)` for positives and `softplus(x)` for
//! negatives, `x` being the score minus a constant: nothing overflows at small temperatures.
//!
//! Source: Tian, Krishnan and Isola 2020, arXiv:1910.10699, eq. (19) and (20).

pub(crate) mod clips;
pub(crate) mod constants;
mod contrast;
mod distillation;
mod in_batch;
mod loss;
pub(crate) mod memory_bank;
mod output;

pub use distillation::Distillation;
pub use in_batch::crd_in_batch;
pub use memory_bank::{Bank, MemoryBank};
pub use output::Crd;

#[cfg(test)]
mod tests;
