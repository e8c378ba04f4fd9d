//! Loops over the rows of a score tile.
//!
//! A tile is `(rows, n_keys)`; `visible` counts the leading keys that each row sees. The rest of a
//! row comes out as zero, whatever was in it.

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

/// The largest value that is not NaN; `-inf` for an empty row.
#[inline(always)]
fn max_of<T: Real>(xs: &[T]) -> T {
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
#[inline(always)]
fn exp_shifted<T: Real>(xs: &mut [T], shift: T) -> T {
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

simd_dispatch! {
    /// Turns scores into exponentials relative to each row's running maximum.
    ///
    /// Raises `max`, adds to `sum`, and leaves in `shrink` what sums formed relative to the old
    /// maximum must be multiplied by.
    pub(super) fn online_softmax<T: Real>(
        scores: &mut [T],
        visible: &[usize],
        max: &mut [T],
        sum: &mut [T],
        shrink: &mut [T],
    ) {
        let n_keys = scores.len() / visible.len();
        for (r, row) in scores.chunks_exact_mut(n_keys).enumerate() {
            let (seen, hidden) = row.split_at_mut(visible[r]);
            hidden.fill(T::ZERO);
            let top = max_of(seen).max(max[r]);
            if top == T::NEG_INFINITY {
                // No key so far, or only keys with a bias of -inf.
                seen.fill(T::ZERO);
                shrink[r] = T::ONE;
                continue;
            }
            shrink[r] = (max[r] - top).exp();
            max[r] = top;
            sum[r] = sum[r] * shrink[r] + exp_shifted(seen, top);
        }
    }

    /// Turns scores into probabilities by the log-sum-exps, and the gradients of probabilities
    /// into those of scores: `grad_i = p_i (grad_i - mean)`, `mean` being `sum_i p_i grad_i`.
    pub(super) fn softmax_grads<T: Real>(
        scores: &mut [T],
        grads: &mut [T],
        visible: &[usize],
        lse: &[T],
        means: &[T],
    ) {
        let n_keys = scores.len() / visible.len();
        let rows = scores.chunks_exact_mut(n_keys).zip(grads.chunks_exact_mut(n_keys));
        for (r, (scores, grads)) in rows.enumerate() {
            let (scores, hidden) = scores.split_at_mut(visible[r]);
            let (grads, hidden_grads) = grads.split_at_mut(visible[r]);
            hidden.fill(T::ZERO);
            hidden_grads.fill(T::ZERO);
            let (lse, mean) = (lse[r], means[r]);
            for (s, g) in scores.iter_mut().zip(grads) {
                *s = (*s - lse).exp();
                *g = *s * (*g - mean);
            }
        }
    }

    /// Multiplies row `r` of `width` elements by `factors[r]`.
    pub(super) fn scale_rows<T: Real>(xs: &mut [T], width: usize, factors: &[T]) {
        for (row, &factor) in xs.chunks_exact_mut(width).zip(factors) {
            if factor != T::ONE {
                for x in row {
                    *x *= factor;
                }
            }
        }
    }

    /// Divides rows of `width` elements by their sums and turns their maxima into log-sum-exps.
    pub(super) fn normalise<T: Real>(xs: &mut [T], width: usize, max: &mut [T], sum: &[T]) {
        for (r, (max, &sum)) in max.iter_mut().zip(sum).enumerate() {
            let row = &mut xs[r * width..][..width];
            if *max == T::NEG_INFINITY {
                // No key: the empty mean is defined as zero.
                row.fill(T::ZERO);
            } else {
                *max += sum.ln();
                let share = T::ONE / sum;
                for x in row {
                    *x *= share;
                }
            }
        }
    }

    /// `x_i *= by_i`.
    pub(super) fn multiply<T: Real>(xs: &mut [T], by: &[T]) {
        for (x, &b) in xs.iter_mut().zip(by) {
            *x *= b;
        }
    }

    /// `out_i = factor x_i`.
    pub(super) fn scaled<T: Real>(out: &mut [T], x: &[T], factor: T) {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = factor * x;
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
