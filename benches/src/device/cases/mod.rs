//! The cases of the GPU kernels, a file an operation: what the interpreter counts, what a card is
//! timed on, and what both are expected to come to.
//!
//! To add one:
//!
//! 1. a file here named after the operation, with a type that implements [`Work`] and a
//!    `pub(super) const CASES: &[Case]`; extents and predictions of the named shapes are in `shapes`;
//! 2. its line in `mod` and in `OPERATIONS` below;
//! 3. where the whole is more than the interpreter does in some seconds, a [`Fraction`]: fewer items of
//!    the same extents, so that the same kernels run, and for each kernel how many times its counts go
//!    into the whole. Give one only where the work of each kernel is that multiple to within edges.
//!
//! [`Work::prepare`] makes inputs once; what it returns is the timed call of the public function,
//! results dropped at once. Everything runs on the stream that it is given.

mod case;
mod clouds;
mod crd;
mod geomloss;
mod info_nce;
mod mmd;
mod pairwise_cost;
pub mod shapes;
mod sinkhorn;

pub use case::{Case, Fraction, Ideal, Prediction, Run, Work};

/// Cases of each operation, in the order in which a card with little time takes them.
const OPERATIONS: &[&[Case]] = &[
    sinkhorn::CASES,
    geomloss::CASES,
    info_nce::CASES,
    pairwise_cost::CASES,
    mmd::CASES,
    crd::CASES,
];

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    OPERATIONS.iter().flat_map(|cases| cases.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_reasons_are_one_sentence() {
        let names: Vec<String> = cases().map(Case::name).collect();
        for (at, (case, name)) in cases().zip(&names).enumerate() {
            assert!(!names[..at].contains(name), "{name}");
            assert!(case.reason.len() > 20 && !case.reason.contains(". "), "{name}");
        }
    }

    #[test]
    fn every_kernel_of_a_fraction_has_a_multiple() {
        for case in cases() {
            let Some(fraction) = &case.fraction else { continue };
            assert_eq!(fraction.times.last().map(|last| last.0), Some(""), "{}", case.name());
            assert!(fraction.times.iter().all(|times| times.1 >= 1.0), "{}", case.name());
            let (whole, part) = (case.full.ideal(), fraction.work.ideal());
            let most = fraction.times.iter().fold(1.0, |most: f64, times| most.max(times.1));
            assert!(whole.mma_flop <= most * part.mma_flop * 1.001, "{}", case.name());
        }
    }
}
