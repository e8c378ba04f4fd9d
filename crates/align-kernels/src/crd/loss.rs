//! The logistic loss of scores, with its slope in place of each score.

use cpu_math::math::{exp, ln};
use cpu_math::simd_dispatch;

const LANES: usize = 16;

/// Terms that are summed in f32 before they join the f64 sum: 16 a lane.
const BLOCK: usize = 256;

simd_dispatch! {
    /// `sum of softplus(score - shift)`; scores become sigmoids. What negatives cost.
    pub(super) fn negatives(scores: &mut [f32], shift: f32) -> f64 {
        let mut total = 0.0;
        for block in scores.chunks_mut(BLOCK) {
            let mut sum = [0.0f32; LANES];
            let (whole, rest) = block.as_chunks_mut::<LANES>();
            for group in whole {
                for l in 0..LANES {
                    let (value, slope) = softplus(group[l] - shift);
                    sum[l] += value;
                    group[l] = slope;
                }
            }
            for (sum, score) in sum.iter_mut().zip(rest) {
                let (value, slope) = softplus(*score - shift);
                *sum += value;
                *score = slope;
            }
            total += sum.into_iter().map(f64::from).sum::<f64>();
        }
        total
    }

    /// `sum of count * softplus(score - shift)`; scores become slopes.
    pub(super) fn counted_negatives(scores: &mut [f32], counts: &[f32], shift: f32) -> f64 {
        let mut total = 0.0;
        for (block, counts) in scores.chunks_mut(BLOCK).zip(counts.chunks(BLOCK)) {
            let mut sum = [0.0f32; LANES];
            for (group, counts) in block.chunks_mut(LANES).zip(counts.chunks(LANES)) {
                for ((score, &count), sum) in group.iter_mut().zip(counts).zip(&mut sum) {
                    let (value, slope) = softplus(*score - shift);
                    *sum += count * value;
                    *score = count * slope;
                }
            }
            total += sum.into_iter().map(f64::from).sum::<f64>();
        }
        total
    }
}

/// `softplus(shift - score)` and its derivative by the score. What a positive costs.
pub(super) fn positive(score: f32, shift: f32) -> (f64, f32) {
    let (value, slope) = softplus(shift - score);
    (f64::from(value), -slope)
}

/// `ln(1 + e^x)` and its derivative, to f32 relative precision on both ends.
#[inline(always)]
fn softplus(x: f32) -> (f32, f32) {
    let u = exp(-x.abs());
    let w = 1.0 + u;
    // ln(1 + u): what rounding took from 1 + u is put back as a factor.
    let rounded = w - 1.0;
    let log = if rounded == 0.0 { u } else { ln(w) * (u / rounded) };
    let most = if x > 0.0 { x } else { 0.0 };
    (most + log, (if x > 0.0 { 1.0 } else { u }) / w)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::crd::log_loss;

    #[test]
    fn softplus_keeps_its_digits_from_end_to_end() {
        for step in -8500..8800 {
            let x = step as f32 / 100.0;
            let (value, slope) = softplus(x);
            let (exact, exact_slope) = log_loss(f64::from(x), false);
            for (got, want) in [(value, exact), (slope, exact_slope)] {
                // Six roundings and an exponential of 2 ulp.
                assert!((f64::from(got) - want).abs() <= 5e-7 * want, "{x}: {got} {want}");
            }
        }
        assert_eq!((softplus(1e4), softplus(-1e4)), ((1e4, 1.0), (0.0, 0.0)));
        assert!(softplus(f32::NAN).0.is_nan() && softplus(f32::NAN).1.is_nan());
    }

    #[test]
    fn counts_repeat_a_negative() {
        let scores: Vec<f32> = (0..37).map(|i| i as f32 / 9.0 - 2.0).collect();
        let counts: Vec<f32> = (0..37).map(|i| (i % 3) as f32).collect();
        let repeated: Vec<f32> =
            (0..37).flat_map(|i| std::iter::repeat_n(scores[i], i % 3)).collect();
        let (mut once, mut often) = (scores.clone(), repeated);
        let (a, b) = (counted_negatives(&mut once, &counts, 0.5), negatives(&mut often, 0.5));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
        assert_eq!((once[0], once[2]), (0.0, 2.0 * often[1]));
    }
}
