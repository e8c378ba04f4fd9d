//! Loops over one row of a score tile.

use crate::cpu::dispatch::simd_dispatch;
use crate::cpu::real::Real;

/// Independent accumulators of a reduction: fixed, so that the result is the same on every
/// instruction set.
const LANES: usize = 16;

/// Combines lanes pairwise.
#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

simd_dispatch! {
    /// The largest value that is not NaN; `-inf` for an empty row.
    pub(super) fn max_of<T: Real>(xs: &[T]) -> T {
        let mut lanes = [T::NEG_INFINITY; LANES];
        let (blocks, tail) = xs.as_chunks::<LANES>();
        for block in blocks {
            for (lane, &x) in lanes.iter_mut().zip(block) {
                *lane = x.max(*lane);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(tail) {
            *lane = x.max(*lane);
        }
        fold(lanes, T::max)
    }

    /// Replaces `x` by `exp(x - shift)` and returns the sum.
    pub(super) fn exp_shifted<T: Real>(xs: &mut [T], shift: T) -> T {
        let mut lanes = [T::ZERO; LANES];
        let (blocks, tail) = xs.as_chunks_mut::<LANES>();
        for block in blocks {
            for (lane, x) in lanes.iter_mut().zip(block) {
                *x = (*x - shift).exp();
                *lane += *x;
            }
        }
        for (lane, x) in lanes.iter_mut().zip(tail) {
            *x = (*x - shift).exp();
            *lane += *x;
        }
        fold(lanes, |a, b| a + b)
    }

    /// `x *= by`.
    pub(super) fn scale_row<T: Real>(xs: &mut [T], by: T) {
        for x in xs {
            *x *= by;
        }
    }

    /// `x_i *= by_i`.
    pub(super) fn multiply<T: Real>(xs: &mut [T], by: &[T]) {
        for (x, &b) in xs.iter_mut().zip(by) {
            *x *= b;
        }
    }

    /// Turns the gradients of a row's probabilities into those of its scores:
    /// `grad_i = p_i (grad_i - mean)`, `mean` being `sum_i p_i grad_i`.
    pub(super) fn score_grads<T: Real>(grads: &mut [T], probabilities: &[T], mean: T) {
        for (g, &p) in grads.iter_mut().zip(probabilities) {
            *g = p * (*g - mean);
        }
    }

    /// `sum_i x_i y_i`.
    pub(super) fn dot<T: Real>(xs: &[T], ys: &[T]) -> T {
        let mut lanes = [T::ZERO; LANES];
        let (x_blocks, x_tail) = xs.as_chunks::<LANES>();
        let (y_blocks, y_tail) = ys.as_chunks::<LANES>();
        for (x_block, y_block) in x_blocks.iter().zip(y_blocks) {
            for ((lane, &x), &y) in lanes.iter_mut().zip(x_block).zip(y_block) {
                *lane += x * y;
            }
        }
        for ((lane, &x), &y) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
            *lane += x * y;
        }
        fold(lanes, |a, b| a + b)
    }
}
