//! Softmax, its logarithm and its normaliser over the rows of a matrix.
//!
//! ```text
//! lse = m + ln(sum_j exp(x_j - m)),   m = max_j x_j
//! softmax_j = exp(x_j - lse),   log_softmax_j = x_j - lse
//! ```
//!
//! An infinite maximum is not subtracted, so `lse` of a row of -infinity is -infinity; its softmax
//! is NaN, as in PyTorch.

use crate::cpu::reduce::{row_max, sum_map, sum_map2};
use cpu_math::parallel::{for_each_chunk, rows_per_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// The row's maximum, or 0 where subtracting it would give NaN.
#[inline(always)]
fn shift_of<T: Real>(row: &[T]) -> T {
    let max = row_max(row);
    if Real::abs(max) < -T::NEG_INFINITY { max } else { T::ZERO }
}

simd_dispatch! {
    fn softmax_rows<T: Real>(x: &[T], width: usize, out: &mut [T]) {
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let shift = shift_of(x);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = Real::exp(x - shift);
            }
            let scale = T::ONE / sum_map(out, |e| e);
            for out in out {
                *out *= scale;
            }
        }
    }

    fn log_softmax_rows<T: Real>(x: &[T], width: usize, out: &mut [T]) {
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let shift = shift_of(x);
            let log_sum = Real::ln(sum_map(x, |x| Real::exp(x - shift)));
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - shift) - log_sum;
            }
        }
    }

    fn logsumexp_rows<T: Real>(x: &[T], width: usize, out: &mut [T]) {
        for (x, out) in x.chunks_exact(width).zip(out) {
            let shift = shift_of(x);
            *out = shift + Real::ln(sum_map(x, |x| Real::exp(x - shift)));
        }
    }

    /// `dx = y (dy - sum(y dy))`.
    fn softmax_backward_rows<T: Real>(y: &[T], dy: &[T], width: usize, dx: &mut [T]) {
        let rows = y.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let dot = sum_map2(y, dy, |y, dy| y * dy);
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = y * (dy - dot);
            }
        }
    }

    /// `dx = dy - exp(y) sum(dy)`.
    fn log_softmax_backward_rows<T: Real>(y: &[T], dy: &[T], width: usize, dx: &mut [T]) {
        let rows = y.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let sum = sum_map(dy, |dy| dy);
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = dy - Real::exp(y) * sum;
            }
        }
    }

    /// `dx = dlse exp(x - lse)`.
    fn logsumexp_backward_rows<T: Real>(
        x: &[T], lse: &[T], dlse: &[T], width: usize, dx: &mut [T],
    ) {
        let rows = x.chunks_exact(width).zip(lse.iter().zip(dlse));
        for ((x, (&lse, &dlse)), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            for (dx, &x) in dx.iter_mut().zip(x) {
                // A row of -infinity has no gradient.
                let weight = Real::exp(x - lse);
                *dx = if x == T::NEG_INFINITY { T::ZERO } else { dlse * weight };
            }
        }
    }
}

/// Runs `f(first element, out part)` on groups of whole rows.
fn by_rows<T: Real>(len: usize, width: usize, f: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let mut out = vec![T::ZERO; len];
    if len > 0 {
        for_each_chunk(&mut out, rows_per_chunk(width) * width, f);
    }
    out
}

/// Softmax of every row of `x: (rows, width)`.
pub(crate) fn softmax<T: Real>(x: &[T], width: usize) -> Vec<T> {
    by_rows(x.len(), width, |at, out| softmax_rows(&x[at..][..out.len()], width, out))
}

/// Logarithm of the softmax of every row.
pub(crate) fn log_softmax<T: Real>(x: &[T], width: usize) -> Vec<T> {
    by_rows(x.len(), width, |at, out| log_softmax_rows(&x[at..][..out.len()], width, out))
}

/// `ln(sum(exp(row)))`: `(rows, width) -> (rows)`; -infinity for rows of width 0.
pub(crate) fn logsumexp<T: Real>(x: &[T], rows: usize, width: usize) -> Vec<T> {
    let mut out = vec![T::NEG_INFINITY; rows];
    if width > 0 {
        for_each_chunk(&mut out, rows_per_chunk(width), |first, out| {
            logsumexp_rows(&x[first * width..][..out.len() * width], width, out);
        });
    }
    out
}

/// Gradient of [`softmax`] from its output `y`.
pub(crate) fn softmax_backward<T: Real>(y: &[T], dy: &[T], width: usize) -> Vec<T> {
    by_rows(y.len(), width, |at, dx| {
        softmax_backward_rows(&y[at..][..dx.len()], &dy[at..][..dx.len()], width, dx);
    })
}

/// Gradient of [`log_softmax`] from its output `y`.
pub(crate) fn log_softmax_backward<T: Real>(y: &[T], dy: &[T], width: usize) -> Vec<T> {
    by_rows(y.len(), width, |at, dx| {
        log_softmax_backward_rows(&y[at..][..dx.len()], &dy[at..][..dx.len()], width, dx);
    })
}

/// Gradient of [`logsumexp`] from its input and output.
pub(crate) fn logsumexp_backward<T: Real>(x: &[T], lse: &[T], dlse: &[T], width: usize) -> Vec<T> {
    by_rows(x.len(), width, |at, dx| {
        let rows = at / width..(at + dx.len()) / width;
        let (lse, dlse) = (&lse[rows.clone()], &dlse[rows]);
        logsumexp_backward_rows(&x[at..][..dx.len()], lse, dlse, width, dx);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};

    const SHAPES: &[(usize, usize)] = &[(1, 1), (1, 7), (5, 1), (17, 13), (3, 129), (401, 130)];

    fn twin(row: &[f32]) -> (f64, Vec<f64>) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&x| f64::from(x - max).exp()).sum();
        let lse = f64::from(max) + sum.ln();
        (lse, row.iter().map(|&x| (f64::from(x) - lse).exp()).collect())
    }

    #[test]
    fn rows_agree_with_f64_and_sum_to_one() {
        for &(rows, width) in SHAPES {
            let x: Vec<f32> = ramp::<f32>(rows * width, 1).iter().map(|x| 30.0 * x).collect();
            let (y, log_y) = (softmax(&x, width), log_softmax(&x, width));
            let lse = logsumexp(&x, rows, width);
            for (r, row) in x.chunks(width).enumerate() {
                let (want_lse, want) = twin(row);
                assert!((f64::from(lse[r]) - want_lse).abs() < 4e-6, "{} {want_lse}", lse[r]);
                let sum: f32 = y[r * width..][..width].iter().sum();
                assert!((sum - 1.0).abs() < 1e-5);
                for (j, want) in want.into_iter().enumerate() {
                    assert!((f64::from(y[r * width + j]) - want).abs() < 2e-6 * (want + 0.01));
                    let log = f64::from(row[j]) - want_lse;
                    assert!((f64::from(log_y[r * width + j]) - log).abs() < 8e-6);
                }
            }
        }
    }

    #[test]
    fn infinite_and_nan_entries_follow_pytorch() {
        let inf = f32::INFINITY;
        assert_eq!(softmax(&[-inf, 0.0, -inf, 0.0], 4), [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(logsumexp(&[-inf, -inf, inf, 1.0], 2, 2), [-inf, inf]);
        assert!(softmax(&[-inf, -inf], 2).iter().all(|y| y.is_nan()));
        assert!(softmax(&[1.0, f32::NAN], 2).iter().all(|y| y.is_nan()));
        assert_eq!(log_softmax(&[1e4f32, -1e4], 2), [0.0, -2e4]);
        assert_eq!(logsumexp_backward(&[-inf, -inf], &[-inf], &[1.0], 2), [0.0, 0.0]);
    }

    #[test]
    fn gradient_rows_of_softmax_sum_to_zero() {
        for &(rows, width) in SHAPES {
            let (x, dy) = (ramp::<f64>(rows * width, 1), ramp::<f64>(rows * width, 2));
            let (y, log_y) = (softmax(&x, width), log_softmax(&x, width));
            let (dx, dlog) =
                (softmax_backward(&y, &dy, width), log_softmax_backward(&log_y, &dy, width));
            for r in 0..rows {
                let sum = |v: &[f64]| v[r * width..][..width].iter().sum::<f64>();
                assert!(sum(&dx).abs() < 1e-12 && sum(&dlog).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn thread_count_changes_no_bit() {
        let (x, dy) = (ramp::<f32>(400 * 301, 1), ramp::<f32>(400 * 301, 2));
        same_bits_on_one_and_two_threads(|| {
            let y = softmax(&x, 301);
            let mut all = softmax_backward(&y, &dy, 301);
            all.extend(log_softmax(&x, 301));
            all.extend(logsumexp(&x, 400, 301));
            all
        });
    }
}
