//! Cross-entropy over a large vocabulary without a matrix of probabilities.
//!
//! The forward pass keeps one log-sum-exp a row; the backward pass writes
//! `softmax - target distribution` straight from the logits and that number.

use super::reduce::{row_max, sum_map};
use cpu_math::parallel::{for_each_chunk, map_tasks, rows_per_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// The target distributions of one call on `(N, V)` logits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) vocab: usize,
    /// `(N,)`; `None` rows of the logits are never read.
    pub(crate) labels: &'a [Option<usize>],
    /// Share of the target spread evenly over the vocabulary.
    pub(crate) label_smoothing: f64,
}

impl Targets<'_> {
    /// Work items, and the rows of one.
    fn chunks(&self) -> (usize, usize) {
        let rows = rows_per_chunk(self.vocab);
        (self.labels.len().div_ceil(rows), rows)
    }

    /// Sum of the losses over the labelled rows, and `(N,)` log-sum-exps (0 for the other rows).
    pub(crate) fn forward<T: Real>(&self, logits: &[T]) -> (f64, Vec<T>) {
        let (count, rows) = self.chunks();
        let parts = map_tasks(count, |chunk| {
            let rows = chunk * rows..self.labels.len().min((chunk + 1) * rows);
            let mut loss = 0.0;
            let lse: Vec<T> = rows
                .map(|n| {
                    let Some(label) = self.labels[n] else { return T::ZERO };
                    let row = &logits[n * self.vocab..][..self.vocab];
                    let lse = log_sum_exp(row);
                    loss += lse.to_f64() - self.mean_logit(row, label);
                    lse
                })
                .collect();
            (loss, lse)
        });
        let total = parts.iter().map(|(loss, _)| loss).sum();
        (total, parts.into_iter().flat_map(|(_, lse)| lse).collect())
    }

    /// Mean logit under the smoothed target distribution.
    fn mean_logit<T: Real>(&self, row: &[T], label: usize) -> f64 {
        let own = row[label].to_f64();
        if self.label_smoothing == 0.0 {
            // Not merely faster: a suppressed logit of -inf elsewhere must not count.
            return own;
        }
        // Blocks keep the f32 sums short.
        let sum: f64 = row.chunks(1024).map(|block| sum(block).to_f64()).sum();
        (1.0 - self.label_smoothing) * own + self.label_smoothing * sum / self.vocab as f64
    }

    /// Replaces the logits by `loss_grad` times the gradient of the summed loss.
    ///
    /// In place: with a large vocabulary a second array of this size costs more than the work.
    pub(crate) fn backward<T: Real>(&self, logits: &mut [T], lse: &[T], loss_grad: f64) {
        if self.vocab == 0 {
            return;
        }
        let even = T::from_f64(self.label_smoothing / self.vocab as f64);
        let (_, rows) = self.chunks();
        for_each_chunk(logits, rows * self.vocab, |start, part| {
            let first = start / self.vocab;
            for (i, row) in part.chunks_mut(self.vocab).enumerate() {
                let n = first + i;
                let Some(label) = self.labels[n] else {
                    row.fill(T::ZERO);
                    continue;
                };
                softmax_minus(row, lse[n], even, T::from_f64(loss_grad));
                row[label] -= T::from_f64(loss_grad * (1.0 - self.label_smoothing));
            }
        });
    }
}

simd_dispatch! {
    /// `ln(sum(exp(x)))`, shifted by the maximum.
    fn log_sum_exp<T: Real>(row: &[T]) -> T {
        let max = row_max(row);
        if max == T::NEG_INFINITY {
            // An empty sum, or only NaN, which the maximum passes over.
            return row.iter().copied().fold(max, |a, x| if x.is_nan() { x } else { a });
        }
        max + sum_map(row, |x| (x - max).exp()).ln()
    }

    fn sum<T: Real>(row: &[T]) -> T {
        sum_map(row, |x| x)
    }

    /// `x = scale (exp(x - lse) - even)`.
    fn softmax_minus<T: Real>(row: &mut [T], lse: T, even: T, scale: T) {
        for x in row {
            *x = scale * ((*x - lse).exp() - even);
        }
    }
}

#[cfg(test)]
mod tests;
