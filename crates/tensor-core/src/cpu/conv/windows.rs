//! Convolution as one product over overlapping windows.
//!
//! With time outermost, the window of an output position is one run of `K * I/g` neighbouring
//! elements, and the next window begins `stride * I/g` later: the matrix of all windows is there
//! without being built. Input and weight are brought into that order, `(T, I/g)` and
//! `(O/g, K * I/g)`, once a call; the products pack and share the work among threads themselves.
//!
//! ```text
//! y  = W windows^T        (O/g, T')
//! dW = dy windows         (O/g, K * I/g)
//! dwindows = dy^T W       (T', K * I/g), a part of T' at a time, whose overlaps are added up
//! ```

use std::ops::Range;

use rayon::prelude::*;

use super::ConvShape;
use cpu_math::gemm::{MatRef, Onto, gemm_onto};
use cpu_math::real::Real;

/// Multiply-adds of a group from which the reordering is repaid.
const LEAST_WORK: usize = 1 << 18;
/// Channels of a group from which its windows are long runs.
const LEAST_CHANNELS: usize = 8;
/// Time steps that one task reorders.
const STEPS: usize = 64;
/// Channels reordered together: a cache line of f32.
const LINE: usize = 16;
/// Elements of the windows' gradient held at a time: 8 MiB of f32.
const PART: usize = 1 << 21;

impl ConvShape {
    /// Whether this way suits the shape; the others unroll windows chunk by chunk.
    pub(super) fn suits_windows(&self) -> bool {
        let work = self.group_out() * self.out_len * self.window();
        self.dilation == 1 && self.group_in() >= LEAST_CHANNELS && work >= LEAST_WORK
    }

    fn window(&self) -> usize {
        self.group_in() * self.kernel
    }

    fn padded_len(&self) -> usize {
        self.in_len + 2 * self.padding
    }

    /// The channels of group `group` of item `b` in an array `(B, I, T)`.
    fn input_of(&self, b: usize, group: usize) -> Range<usize> {
        let first = (b * self.in_channels + group * self.group_in()) * self.in_len;
        first..first + self.group_in() * self.in_len
    }

    /// As [`input_of`](Self::input_of), in an array `(B, O, T')`.
    fn output_of(&self, b: usize, group: usize) -> Range<usize> {
        let first = (b * self.out_channels + group * self.group_out()) * self.out_len;
        first..first + self.group_out() * self.out_len
    }

    /// The windows `(T', K * I/g)` of `rows: (padded T, I/g)`.
    fn windows<'a, T>(&self, rows: &'a [T]) -> MatRef<'a, T> {
        MatRef::new(rows, (self.stride * self.group_in(), 1))
    }

    /// `x: (I/g, T)` as rows `(padded T, I/g)`, zero where there is no input.
    fn gather_rows<T: Real>(&self, x: &[T], rows: &mut [T]) {
        let (channels, len) = (self.group_in(), self.in_len);
        rows[..self.padding * channels].fill(T::ZERO);
        rows[(self.padding + len) * channels..].fill(T::ZERO);
        let inside = &mut rows[self.padding * channels..][..len * channels];
        inside.par_chunks_mut(STEPS * channels).enumerate().for_each(|(part, rows)| {
            let start = part * STEPS;
            for first in (0..channels).step_by(LINE) {
                let last = channels.min(first + LINE);
                for (t, row) in rows.chunks_exact_mut(channels).enumerate() {
                    for (i, value) in row[first..last].iter_mut().enumerate() {
                        *value = x[(first + i) * len + start + t];
                    }
                }
            }
        });
    }

    /// The inverse of [`gather_rows`](Self::gather_rows); what stands in the padding is dropped.
    fn scatter_rows<T: Real>(&self, rows: &[T], x: &mut [T]) {
        let channels = self.group_in();
        let inside = &rows[self.padding * channels..];
        x.par_chunks_mut(self.in_len * LINE).enumerate().for_each(|(part, x)| {
            let first = part * LINE;
            for start in (0..self.in_len).step_by(STEPS) {
                let end = self.in_len.min(start + STEPS);
                for (i, row) in x.chunks_exact_mut(self.in_len).enumerate() {
                    for (t, value) in row[start..end].iter_mut().enumerate() {
                        *value = inside[(start + t) * channels + first + i];
                    }
                }
            }
        });
    }

    /// `weight: (O, I/g, K)` as `(O, K, I/g)`.
    fn taps_outside<T: Real>(&self, weight: &[T]) -> Vec<T> {
        let (channels, kernel) = (self.group_in(), self.kernel);
        let mut out = vec![T::ZERO; weight.len()];
        let pairs = out.par_chunks_mut(channels * kernel).zip(weight.par_chunks(channels * kernel));
        pairs.for_each(|(out, weight)| {
            for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = weight[i * kernel + tap];
                }
            }
        });
        out
    }

    /// Adds the gradient of windows `start..` to the rows that they overlap.
    fn add_windows<T: Real>(&self, windows: &[T], start: usize, rows: &mut [T]) {
        let (channels, kernel, stride) = (self.group_in(), self.kernel, self.stride);
        let count = windows.len() / self.window();
        let first = start * stride;
        let touched = &mut rows[first * channels..][..((count - 1) * stride + kernel) * channels];
        touched.par_chunks_mut(STEPS * channels).enumerate().for_each(|(part, rows)| {
            for (p, row) in rows.chunks_exact_mut(channels).enumerate() {
                // Position p of the touched ones is tap p - w stride of window w.
                let p = part * STEPS + p;
                let from = (p + 1).saturating_sub(kernel).div_ceil(stride);
                for w in from..count.min(p / stride + 1) {
                    let values = &windows[w * self.window() + (p - w * stride) * channels..];
                    row.iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
                }
            }
        });
    }
}

/// `(B, O, T')`; see [`super::conv1d`].
pub(super) fn forward<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    shape: &ConvShape,
    out: &mut [T],
) {
    let weight = shape.taps_outside(weight);
    let (group_out, window) = (shape.group_out(), shape.window());
    let mut rows = vec![T::ZERO; shape.padded_len() * shape.group_in()];
    for b in 0..shape.batch {
        for group in 0..shape.groups {
            shape.gather_rows(&x[shape.input_of(b, group)], &mut rows);
            let out = &mut out[shape.output_of(b, group)];
            if let Some(bias) = bias {
                let bias = &bias[group * group_out..];
                out.chunks_exact_mut(shape.out_len).zip(bias).for_each(|(row, &b)| row.fill(b));
            }
            let windows = shape.windows(&rows);
            gemm_onto(
                (group_out, shape.out_len, window),
                T::ONE,
                MatRef::new(&weight[group * group_out * window..], (window, 1)),
                MatRef::new(windows.data, (windows.col_stride, windows.row_stride)),
                Onto { keep: bias.is_some(), rows: None },
                out,
            );
        }
    }
}

/// As [`forward`] with time outermost on both sides, `x: (B, T, I)` and `out: (B, T', O)`: nothing
/// but the weight is reordered. One group and no padding.
pub(super) fn forward_rows<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    shape: &ConvShape,
    out: &mut [T],
) {
    let weight = shape.taps_outside(weight);
    let (outputs, window) = (shape.out_channels, shape.window());
    let items = x.chunks_exact(shape.in_len * shape.in_channels);
    for (x, out) in items.zip(out.chunks_exact_mut(shape.out_len * outputs)) {
        if let Some(bias) = bias {
            out.par_chunks_mut(STEPS * outputs).for_each(|rows| {
                rows.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
            });
        }
        gemm_onto(
            (shape.out_len, outputs, window),
            T::ONE,
            shape.windows(x),
            MatRef::new(&weight, (1, window)),
            Onto { keep: bias.is_some(), rows: None },
            out,
        );
    }
}

/// `(B, I, T)`; see [`super::conv1d_input_grad`].
pub(super) fn input_grad<T: Real>(
    output_grad: &[T],
    weight: &[T],
    shape: &ConvShape,
    grad: &mut [T],
) {
    let weight = shape.taps_outside(weight);
    let (group_out, window, len) = (shape.group_out(), shape.window(), shape.out_len);
    let part = (PART / window).max(1);
    let mut windows = vec![T::ZERO; part.min(len) * window];
    let mut rows = vec![T::ZERO; shape.padded_len() * shape.group_in()];
    for b in 0..shape.batch {
        for group in 0..shape.groups {
            let output_grad = &output_grad[shape.output_of(b, group)];
            rows.fill(T::ZERO);
            for start in (0..len).step_by(part) {
                let count = part.min(len - start);
                let windows = &mut windows[..count * window];
                gemm_onto(
                    (count, window, group_out),
                    T::ONE,
                    MatRef::new(&output_grad[start..], (1, len)),
                    MatRef::new(&weight[group * group_out * window..], (window, 1)),
                    Onto { keep: false, rows: None },
                    windows,
                );
                shape.add_windows(windows, start, &mut rows);
            }
            shape.scatter_rows(&rows, &mut grad[shape.input_of(b, group)]);
        }
    }
}

/// `(O, I/g, K)`; see [`super::conv1d_weight_grad`].
pub(super) fn weight_grad<T: Real>(output_grad: &[T], x: &[T], shape: &ConvShape, grad: &mut [T]) {
    let (group_out, window, kernel) = (shape.group_out(), shape.window(), shape.kernel);
    let mut rows = vec![T::ZERO; shape.padded_len() * shape.group_in()];
    let mut taps_outside = vec![T::ZERO; group_out * window];
    for (group, grad) in grad.chunks_exact_mut(group_out * window).enumerate() {
        for b in 0..shape.batch {
            shape.gather_rows(&x[shape.input_of(b, group)], &mut rows);
            gemm_onto(
                (group_out, window, shape.out_len),
                T::ONE,
                MatRef::new(&output_grad[shape.output_of(b, group)], (shape.out_len, 1)),
                shape.windows(&rows),
                Onto { keep: b > 0, rows: None },
                &mut taps_outside,
            );
        }
        let pairs = grad.par_chunks_mut(window).zip(taps_outside.par_chunks(window));
        pairs.for_each(|(grad, values)| {
            for (i, grad) in grad.chunks_exact_mut(kernel).enumerate() {
                for (tap, grad) in grad.iter_mut().enumerate() {
                    *grad = values[tap * shape.group_in() + i];
                }
            }
        });
    }
}
