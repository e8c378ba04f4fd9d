//! Sums of Gaussian kernels between numbers without pairs: a fast Gauss transform.
//!
//! Numbers are counted in units of the bandwidth and sorted into bins of width 2. Around the centre
//! `c` of a bin, with `u = x - c` and `v = y - c`, `|v| <= 1`,
//!
//! ```text
//! sum_y exp(-(x - y)^2 / 2) = exp(-u^2 / 2) sum_k u^k M_k,   M_k = sum_y exp(-v^2 / 2) v^k / k!
//! ```
//!
//! After [`TERMS`] terms the rest is below 2e-10 a kernel at any `x`, and bins more than
//! [`REACH`] away add less than 2e-14: the answer is that of the pairs, in f64, for about a
//! fiftieth of the work at 768 activations.
//!
//! Moments add up. The difference of two mean kernels is one such sum, the *witness function*
//!
//! ```text
//! w(x) = mean over a of k(x, a) - mean over b of k(x, b)
//! MMD^2 = mean w(a) - mean w(b),   d MMD^2 / da_i = 2 w'(a_i) / m,   d MMD^2 / db_j = -2 w'(b_j) / n
//! ```
//!
//! # Source
//!
//! The expansion is that of Greengard and Strain 1991, SIAM J. Sci. Stat. Comput. 12:79-94, in the
//! product form of Yang et al. 2003 (improved fast Gauss transform).

use std::ops::Range;

use cpu_math::simd_dispatch;

/// Terms of an expansion.
pub(super) const TERMS: usize = 20;

/// Bins on either side that a number sees.
const REACH: i64 = 4;

/// Widest spread, in bins, that numbers are sorted over.
const MOST_BINS: i64 = 1024;

/// `1 / k`.
const INVERSE: [f64; TERMS] = {
    let mut inverse = [0.0; TERMS];
    let mut k = 1;
    while k < TERMS {
        inverse[k] = 1.0 / k as f64;
        k += 1;
    }
    inverse
};

/// One set of numbers in bins; empty bins are left out.
pub(super) struct Binned {
    pub bins: Vec<Bin>,
    /// In units of the bandwidth, bin by bin.
    sorted: Vec<f64>,
    /// Where each was.
    index: Vec<usize>,
}

/// Numbers around `2 at`.
pub(super) struct Bin {
    pub at: i64,
    members: Range<usize>,
    pub moments: [f64; TERMS],
}

impl Binned {
    /// `None` when the numbers are spread too far, or none is a number.
    pub fn new(values: &[f32], narrow: f64) -> Option<Self> {
        let (low, high) = extremes(values);
        let bin = |x: f64| (0.5 * x).round();
        let (first, last) = (bin(f64::from(low) * narrow), bin(f64::from(high) * narrow));
        // False for infinities and for NaN alone.
        if !(last - first >= 0.0 && last - first < MOST_BINS as f64) {
            return None;
        }
        let (first, bins) = (first as i64, (last - first) as usize + 1);
        // A NaN goes to any bin and makes its moments NaN.
        let bin_of =
            |x: f64| (bin(x) as i64).saturating_sub(first).clamp(0, bins as i64 - 1) as usize;
        let scaled: Vec<f64> = values.iter().map(|&x| f64::from(x) * narrow).collect();
        let mut ends = vec![0usize; bins + 1];
        scaled.iter().for_each(|&x| ends[bin_of(x) + 1] += 1);
        for k in 0..bins {
            ends[k + 1] += ends[k];
        }
        let starts = ends.clone();
        let (mut sorted, mut index) = (vec![0.0; values.len()], vec![0; values.len()]);
        for (from, &x) in scaled.iter().enumerate() {
            let to = &mut ends[bin_of(x)];
            sorted[*to] = x;
            index[*to] = from;
            *to += 1;
        }
        let bins = (0..bins)
            .filter(|&k| starts[k] < starts[k + 1])
            .map(|k| {
                let (at, members) = (first + k as i64, starts[k]..starts[k + 1]);
                let mut moments = [0.0; TERMS];
                add_moments(&sorted[members.clone()], 2.0 * at as f64, &mut moments);
                Bin { at, members, moments }
            })
            .collect();
        Some(Self { bins, sorted, index })
    }

    /// The fields `sources` at every number of this set: returns the sums of `own` and of
    /// `witness`, and calls `slope(i, w'(x_i))`.
    pub fn evaluate(&self, sources: &[Source], mut slope: impl FnMut(usize, f64)) -> (f64, f64) {
        let mut slopes = [0.0; LANES];
        let (mut own, mut witness) = (0.0, 0.0);
        for bin in &self.bins {
            let near = sources.partition_point(|source| source.at < bin.at - REACH)
                ..sources.partition_point(|source| source.at <= bin.at + REACH);
            for start in bin.members.clone().step_by(LANES) {
                let members = start..(start + LANES).min(bin.members.end);
                let sums =
                    fields(&self.sorted[members.clone()], &sources[near.clone()], &mut slopes);
                own += sums.0;
                witness += sums.1;
                for (&i, &value) in self.index[members].iter().zip(&slopes) {
                    slope(i, value);
                }
            }
        }
        (own, witness)
    }
}

/// Moments of one bin for two fields: `own` the mean kernel of a set, `witness` a difference.
pub(super) struct Source {
    at: i64,
    own: [f64; TERMS],
    witness: [f64; TERMS],
}

/// `own = own_scale * own`, `witness = that - other_scale * other`, bin by bin.
pub(super) fn sources(own: &[Bin], own_scale: f64, other: &[Bin], other_scale: f64) -> Vec<Source> {
    let mut out: Vec<Source> = Vec::with_capacity(own.len() + other.len());
    let (mut own, mut other) = (own.iter().peekable(), other.iter().peekable());
    while let Some(at) = match (own.peek(), other.peek()) {
        (Some(a), Some(b)) => Some(a.at.min(b.at)),
        (a, b) => a.or(b).map(|bin| bin.at),
    } {
        let mut source = Source { at, own: [0.0; TERMS], witness: [0.0; TERMS] };
        if let Some(bin) = own.next_if(|bin| bin.at == at) {
            source.own = bin.moments.map(|moment| moment * own_scale);
            source.witness = source.own;
        }
        if let Some(bin) = other.next_if(|bin| bin.at == at) {
            for (sum, moment) in source.witness.iter_mut().zip(&bin.moments) {
                *sum -= moment * other_scale;
            }
        }
        out.push(source);
    }
    out
}

/// Adds the moments of `other` to a sorted list of bins.
pub(super) fn merge(bins: &mut Vec<Bin>, other: &[Bin]) {
    for bin in other {
        match bins.binary_search_by_key(&bin.at, |bin| bin.at) {
            Ok(k) => bins[k].moments.iter_mut().zip(&bin.moments).for_each(|(sum, m)| *sum += m),
            Err(k) => bins.insert(k, Bin { at: bin.at, members: 0..0, moments: bin.moments }),
        }
    }
}

/// Numbers that one call evaluates.
const LANES: usize = 32;

simd_dispatch! {
    /// Smallest and largest; NaN is passed over.
    fn extremes(values: &[f32]) -> (f32, f32) {
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for part in values.chunks(LANES) {
            for (&x, (low, high)) in part.iter().zip(low.iter_mut().zip(&mut high)) {
                *low = if x < *low { x } else { *low };
                *high = if x > *high { x } else { *high };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        (low, high.into_iter().fold(f32::NEG_INFINITY, f32::max))
    }

    /// Adds `exp(-v^2 / 2) v^k / k!` over `v = value - centre`.
    fn add_moments(values: &[f64], centre: f64, moments: &mut [f64; TERMS]) {
        const WIDE: usize = 8;
        let mut sums = [[0.0f64; WIDE]; TERMS];
        for part in values.chunks(WIDE) {
            // Lanes past the end carry no weight.
            let (mut v, mut term) = ([0.0; WIDE], [0.0; WIDE]);
            for ((v, term), &value) in v.iter_mut().zip(&mut term).zip(part) {
                *v = value - centre;
                *term = 1.0;
            }
            for lane in 0..WIDE {
                term[lane] *= exp_non_positive(-0.5 * v[lane] * v[lane]);
                sums[0][lane] += term[lane];
            }
            for k in 1..TERMS {
                for lane in 0..WIDE {
                    term[lane] *= v[lane] * INVERSE[k];
                    sums[k][lane] += term[lane];
                }
            }
        }
        for (moment, sums) in moments.iter_mut().zip(&sums) {
            *moment += sums.iter().sum::<f64>();
        }
    }

    /// Sums of both fields at up to [`LANES`] numbers, and the slopes of the witness.
    fn fields(values: &[f64], sources: &[Source], slopes: &mut [f64; LANES]) -> (f64, f64) {
        let mut x = [0.0; LANES];
        x[..values.len()].copy_from_slice(values);
        let (mut own_sums, mut witness_sums) = ([0.0; LANES], [0.0; LANES]);
        *slopes = [0.0; LANES];
        for source in sources {
            let centre = 2.0 * source.at as f64;
            let mut u = [0.0; LANES];
            for lane in 0..LANES {
                u[lane] = x[lane] - centre;
            }
            // Horner's rule for both polynomials, and for the derivative of the second.
            let (mut own, mut witness) = ([0.0f64; LANES], [0.0f64; LANES]);
            let mut slope = [0.0f64; LANES];
            for k in (0..TERMS).rev() {
                let (a, b) = (source.own[k], source.witness[k]);
                for lane in 0..LANES {
                    slope[lane] = slope[lane].mul_add(u[lane], witness[lane]);
                    own[lane] = own[lane].mul_add(u[lane], a);
                    witness[lane] = witness[lane].mul_add(u[lane], b);
                }
            }
            for lane in 0..LANES {
                let e = exp_non_positive(-0.5 * u[lane] * u[lane]);
                own_sums[lane] = e.mul_add(own[lane], own_sums[lane]);
                witness_sums[lane] = e.mul_add(witness[lane], witness_sums[lane]);
                slopes[lane] = e.mul_add((-u[lane]).mul_add(witness[lane], slope[lane]), slopes[lane]);
            }
        }
        let used = values.len();
        (own_sums[..used].iter().sum(), witness_sums[..used].iter().sum())
    }
}

/// `exp(x)` in f64 for `x <= 0`, to 1e-14, without branches so that loops vectorise. NaN stays.
#[inline(always)]
fn exp_non_positive(x: f64) -> f64 {
    let x = if x < -700.0 { -700.0 } else { x };
    // x = n ln 2 + r; adding 1.5 * 2^52 leaves n in the low bits.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let shifted = x.mul_add(std::f64::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = n.mul_add(-0.693_147_180_485_539_1, x);
    let r = n.mul_add(-7.440_617_110_012_397e-11, r);
    let mut p: f64 = 1.0 / 479_001_600.0;
    // 1 / k! from k = 11 down.
    const FACTORIAL: [f64; 12] = [
        1.0,
        1.0,
        2.0,
        6.0,
        24.0,
        120.0,
        720.0,
        5040.0,
        40_320.0,
        362_880.0,
        3_628_800.0,
        39_916_800.0,
    ];
    for factorial in FACTORIAL.into_iter().rev() {
        p = p.mul_add(r, 1.0 / factorial);
    }
    let bits = shifted.to_bits().wrapping_sub(SHIFT.to_bits());
    p * f64::from_bits(bits.wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use cpu_math::testing::ramp;

    use super::*;

    #[test]
    fn the_exponential_is_good_to_fourteen_digits() {
        for k in 0..100_000 {
            let x = -f64::from(k) * 7e-3;
            let error = (exp_non_positive(x) - x.exp()).abs() / x.exp();
            assert!(error < 1e-14, "exp({x}): {error:e}");
        }
        assert_eq!(exp_non_positive(0.0), 1.0);
        assert!(exp_non_positive(f64::NEG_INFINITY) < 1e-300);
        assert!(exp_non_positive(f64::NAN).is_nan());
    }

    #[test]
    fn expansions_give_the_sums_over_pairs() {
        for (spread, narrow) in [(0.1f32, 1.0f64), (3.0, 1.0), (40.0, 0.7), (3.0, 20.0)] {
            let scale = |v: Vec<f32>| -> Vec<f32> { v.into_iter().map(|x| x * spread).collect() };
            let (a, b) = (scale(ramp(131, 1)), scale(ramp(77, 2)));
            let (of_a, of_b) = (Binned::new(&a, narrow).unwrap(), Binned::new(&b, narrow).unwrap());
            let both = sources(&of_a.bins, 1.0 / 131.0, &of_b.bins, 1.0 / 77.0);
            let mut slopes = vec![0.0; a.len()];
            let (own, witness) = of_a.evaluate(&both, |i, slope| slopes[i] = slope);

            let (mut want_own, mut want_witness) = (0.0, 0.0);
            for (&x, &slope) in a.iter().zip(&slopes) {
                let mean = |ys: &[f32], term: fn(f64) -> f64| {
                    let gap = |y: f32| (f64::from(x) - f64::from(y)) * narrow;
                    ys.iter().map(|&y| term(gap(y))).sum::<f64>() / ys.len() as f64
                };
                let kernel = |gap: f64| (-0.5 * gap * gap).exp();
                want_own += mean(&a, kernel);
                want_witness += mean(&a, kernel) - mean(&b, kernel);
                let derivative = |gap: f64| -gap * (-0.5 * gap * gap).exp();
                let want = mean(&a, derivative) - mean(&b, derivative);
                assert!((slope - want).abs() < 2e-9, "{spread} {narrow}: {slope} {want}");
            }
            assert!((own - want_own).abs() < 1e-10 * 131.0, "{own} {want_own}");
            assert!((witness - want_witness).abs() < 2e-10 * 131.0, "{witness} {want_witness}");
        }
    }

    #[test]
    fn numbers_too_far_apart_are_left_to_pairs() {
        assert!(Binned::new(&[0.0, 2000.0], 1.0).is_some());
        for far in [[0.0, 3000.0], [0.0, f32::INFINITY], [f32::NAN, f32::NAN], [-3e38, 3e38]] {
            assert!(Binned::new(&far, 1.0).is_none(), "{far:?}");
        }
    }
}
