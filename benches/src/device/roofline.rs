//! From counts to the least time that a card could need, and what that time is spent on.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cards::Card;
use super::cases::Ideal;
use super::counts::Counts;

/// A resource of a card, and how long a kernel's counts keep it busy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// What is busy.
    pub resource: &'static str,
    /// For how long, in seconds, when the whole card works on it without a pause.
    pub seconds: f64,
}

/// How long each resource is busy, longest first.
pub fn bounds(counts: &Counts, card: &Card) -> Vec<Bound> {
    let mut all = vec![
        Bound { resource: "memory", seconds: counts.bytes / card.bandwidth },
        Bound { resource: "f32", seconds: counts.flop / card.flop },
        // TF32 takes twice as long as bf16: once more for its part.
        Bound { resource: "tensor", seconds: (counts.mma_flop + counts.tf32_flop) / card.mma_flop },
        Bound { resource: "special", seconds: counts.special / card.special() },
        Bound { resource: "shared", seconds: counts.wavefronts / card.wavefronts() },
        Bound { resource: "issue", seconds: counts.warp_instructions / card.issue() },
    ];
    all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    all
}

/// What an operation cannot be faster than, however it is implemented.
pub fn floor(ideal: &Ideal, card: &Card) -> Bound {
    let counts = Counts {
        bytes: ideal.bytes,
        flop: ideal.flop,
        mma_flop: ideal.mma_flop,
        tf32_flop: ideal.tf32_flop,
        special: ideal.special,
        ..Counts::default()
    };
    bounds(&counts, card)[0]
}

/// The bounds of kernels that follow each other, added up.
pub fn total(kernels: &BTreeMap<String, Counts>, card: &Card) -> f64 {
    kernels.values().map(|counts| bounds(counts, card)[0].seconds).sum()
}

/// A row a kernel, and their sum: launches follow each other.
///
/// `MB` are whole sectors, each moved from memory: what a cache keeps comes sooner. `asked` is what
/// lanes asked for as a share of that: low where sectors are used in part, above 100 % where lanes
/// share. `s/req` are sectors an access of a warp touches.
pub fn table(kernels: &BTreeMap<String, Counts>, card: &Card) -> String {
    let mut text = format!(
        "{:<32} {:>8} {:>10} {:>6} {:>6} {:>10} {:>10} {:>8} {:>9} {:>12}  bound by, then\n",
        "kernel",
        "launches",
        "MB",
        "asked",
        "s/req",
        "GFLOP",
        "MMA GFLOP",
        "FLOP/B",
        "conflicts",
        "estimated"
    );
    for (name, counts) in kernels {
        let bounds = bounds(counts, card);
        let share = if counts.bytes > 0.0 { counts.useful_bytes / counts.bytes } else { 1.0 };
        let _ = writeln!(
            text,
            "{name:<32} {:>8} {:>10.3} {:>5.0}% {:>6.1} {:>10.4} {:>10.4} {:>8.1} {:>8.1}% {:>9.1} us  {} {:.1} us, {} {:.1} us",
            counts.launches,
            counts.bytes / 1e6,
            100.0 * share,
            counts.sectors_per_request(),
            counts.flop / 1e9,
            counts.mma_flop / 1e9,
            counts.intensity(),
            100.0 * counts.conflicts / counts.wavefronts.max(1.0),
            bounds[0].seconds * 1e6,
            bounds[0].resource,
            bounds[0].seconds * 1e6,
            bounds[1].resource,
            bounds[1].seconds * 1e6,
        );
    }
    let _ = writeln!(text, "{:<32} {:>87.1} us", "all", total(kernels, card) * 1e6);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cards::CARDS;

    #[test]
    fn the_busiest_resource_comes_first() {
        let counts = Counts { bytes: 4.3e6, mma_flop: 790e6, special: 1.0, ..Counts::default() };
        let bounds = bounds(&counts, &CARDS[0]);
        assert!(matches!(bounds[0].resource, "memory" | "tensor"));
        assert!((bounds[0].seconds - 1e-6).abs() < 1e-12);
        assert!((bounds[1].seconds - 1e-6).abs() < 1e-12);
        let rounded = Counts { tf32_flop: 790e6, bytes: 0.0, ..counts };
        let tensor = super::bounds(&rounded, &CARDS[0])[0];
        assert!(tensor.resource == "tensor" && (tensor.seconds - 2e-6).abs() < 1e-12);
        let counts = Counts { warp_instructions: 132.0 * 1.98e9 * 4.0, ..Counts::default() };
        assert!((super::bounds(&counts, &CARDS[0])[0].seconds - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_floor_is_the_slowest_part_of_the_least_work() {
        let ideal = Ideal { flop: 67e6, bytes: 8.6e6, ..Ideal::default() };
        let floor = floor(&ideal, &CARDS[0]);
        assert_eq!(floor.resource, "memory");
        assert!((floor.seconds - 2e-6).abs() < 1e-12);
    }
}
