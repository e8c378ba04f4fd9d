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
mod given;
mod info_nce;
mod matmul;
mod mmd;
mod nst;
mod pairwise_cost;
pub mod shapes;
mod sinkhorn;

use super::cards::{CARDS, Card};

pub use case::{Case, Fraction, Ideal, Prediction, Run, Work};

/// Cases of each operation, in the order in which a card with little time takes them.
const OPERATIONS: &[&[Case]] = &[
    sinkhorn::CASES,
    geomloss::CASES,
    given::CASES,
    info_nce::CASES,
    pairwise_cost::CASES,
    matmul::CASES,
    mmd::CASES,
    nst::CASES,
    crd::CASES,
];

/// Cases that a record has of cards before Hopper too, by operation, shape and variant: those of each
/// operation where a Hopper takes kernels of its own.
const BEFORE_HOPPER: &[[&str; 3]] = &[
    ["pairwise-cost", "S2", "bf16"],
    ["pairwise-cost", "S1", "bf16"],
    ["sinkhorn", "ragged", "bf16, 10 iterations"],
    ["info-nce", "B8192", "bf16, gradients"],
    ["matmul", "feed-forward", "bf16"],
];

impl Case {
    /// Whether a record has it of a card: all of them of the first card.
    pub fn is_recorded_on(&self, card: &Card) -> bool {
        *card == CARDS[0] || BEFORE_HOPPER.contains(&[self.op, self.shape, self.variant])
    }
}

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
    fn what_is_recorded_on_older_cards_is_there() {
        for name in BEFORE_HOPPER {
            assert!(cases().any(|case| [case.op, case.shape, case.variant] == *name), "{name:?}");
        }
        let count = |card| cases().filter(|case| case.is_recorded_on(card)).count();
        assert_eq!(count(&CARDS[0]), cases().count());
        assert_eq!(count(&CARDS[1]), BEFORE_HOPPER.len());
    }

    #[test]
    fn every_kernel_of_a_fraction_has_a_multiple() {
        for case in cases() {
            let Some(fraction) = &case.fraction else { continue };
            assert_eq!(fraction.times.last().map(|last| last.0), Some(""), "{}", case.name());
            assert!(
                fraction.times.iter().all(|times| times.1 == 0.0 || times.1 >= 1.0),
                "{}",
                case.name()
            );
            let (whole, part) = (case.full.ideal(), fraction.work.ideal());
            let most = fraction.times.iter().fold(1.0, |most: f64, times| most.max(times.1));
            // MMD makes the products of a block with itself whole, of which the least work counts half;
            // its part is one such block.
            assert!(whole.mma_flop <= most * part.mma_flop * 1.125, "{}", case.name());
        }
    }
}
