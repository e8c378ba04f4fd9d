//! From utterances to batches.
//!
//! A batch is a pure function of (seed, step): nothing is consumed and nothing is remembered, so
//! resuming at any step needs no replay. [`BatchPlan`] plans, [`Prefetcher`] makes batches ahead of
//! the loop.

mod blend;
mod buckets;
mod permutation;
mod prefetch;

#[cfg(test)]
mod tests;

pub use self::blend::Blend;
pub use self::buckets::{BatchOptions, BatchPlan, Length, Oversize};
pub use self::prefetch::Prefetcher;
