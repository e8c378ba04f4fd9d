//! Loops over the rows of a score tile.
//!
//! A tile is `(rows, n_keys)`; `visible` counts the leading keys that each row sees. The rest of a
//! row comes out as zero, whatever was in it.

use crate::cpu::reduce::{row_max, sum_map, sum_map2};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Replaces `x` by `exp(x - shift)` and returns the sum.
#[inline(always)]
fn exp_shifted<T: Real>(xs: &mut [T], shift: T) -> T {
    for x in xs.iter_mut() {
        *x = (*x - shift).exp();
    }
    sum_map(xs, |x| x)
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
            let mut top = row_max(seen).max(max[r]);
            if top == T::NEG_INFINITY {
                let Some(&nan) = seen.iter().find(|x| x.is_nan()) else {
                    // No key so far, or only keys with a bias of -inf.
                    seen.fill(T::ZERO);
                    shrink[r] = T::ONE;
                    continue;
                };
                // The maximum passes over NaN; the row must not.
                top = nan;
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
        for (r, &factor) in factors.iter().enumerate() {
            if factor != T::ONE {
                for x in &mut xs[r * width..][..width] {
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

    /// `x_i *= by_i`; an empty `by` leaves `xs` as they are.
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
        sum_map2(xs, ys, |x, y| x * y)
    }
}
