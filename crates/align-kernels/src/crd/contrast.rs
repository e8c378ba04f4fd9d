//! Scores of anchors against rows of a bank, by one dense product or row by row.

use std::ops::Range;

use cpu_math::gemm::{MatRef, gemm_batched};
use cpu_math::parallel::map_tasks;
use cpu_math::simd_dispatch;
use cpu_math::tile_gemm::gemm_tile;
use rayon::prelude::*;

use super::constants::{Constants, normaliser};
use super::loss;

/// Floats of dense scores in memory: 64 MiB.
const DENSE: usize = 16 << 20;

/// Slots that a task handles when it reads rows.
const SLOTS: usize = 2048;

/// Rows of the bank that a task multiplies with slopes.
const ROWS: usize = 4096;

/// Rows of a dense product that cost as much as one row that is fetched; measured on two Zen 5
/// cores at `B` 64, `K` 16384, `P` 128.
const ROW_COST: usize = 4;

/// Anchors against rows of a bank.
pub(super) struct Contrast<'a> {
    /// `(B, width)`.
    pub anchors: &'a [f32],
    /// `(M, width)`.
    pub bank: &'a [f32],
    pub width: usize,
    /// `(B, slots)`, the positive first.
    pub rows: &'a [usize],
    pub slots: usize,
    pub temperature: f64,
}

/// The loss and its gradient by the anchors; fixes `z` if it is 0.
pub(super) fn contrast(problem: &Contrast<'_>, z: &mut f64) -> (f64, Vec<f32>) {
    let n_data = problem.bank.len() / problem.width;
    let anchors = problem.rows.len() / problem.slots;
    let group = (DENSE / n_data).clamp(1, anchors);
    if n_data * ROW_COST <= group * problem.slots {
        problem.dense(group, z)
    } else {
        problem.by_rows(z)
    }
}

impl Contrast<'_> {
    fn constants(&self, z: f64) -> Constants {
        Constants::new(self.slots - 1, self.bank.len() / self.width, z)
    }

    fn normaliser(&self, sums: &[f64], z: &mut f64) -> f64 {
        let n_data = self.bank.len() / self.width;
        normaliser(sums.iter().sum(), self.rows.len(), n_data, z)
    }

    /// The loss of one anchor's scores, which become slopes.
    fn lose(&self, scores: &mut [f32], constants: Constants) -> f64 {
        let Constants { shift, excess } = constants;
        let (value, slope) = loss::positive(scores[0], shift);
        scores[0] = slope;
        let others = &mut scores[1..];
        value + loss::negatives(others, shift) + excess * others.len() as f64
    }

    /// All rows of the bank at once, `group` anchors at a time.
    pub(super) fn dense(&self, group: usize, z: &mut f64) -> (f64, Vec<f32>) {
        let (width, slots) = (self.width, self.slots);
        let n_data = self.bank.len() / width;
        let inverse = (1.0 / self.temperature) as f32;
        let mut table = vec![0.0; group * n_data];
        let fill = |anchors: &[f32], table: &mut [f32]| {
            let extents = (anchors.len() / width, n_data, width);
            let (a, b) = (MatRef::new(anchors, (width, 1)), MatRef::new(self.bank, (1, width)));
            gemm_batched(extents, &[a], &[b], &mut table[..extents.0 * n_data]);
        };
        let groups = || self.anchors.chunks(group * width).zip(self.rows.chunks(group * slots));
        let pick = |table: &[f32], rows: &[usize]| -> Vec<f32> {
            rows.iter().map(|&row| table[row] * inverse).collect()
        };

        let mut scale = *z;
        if scale == 0.0 {
            let mut sums = Vec::new();
            for (anchors, rows) in groups() {
                fill(anchors, &mut table);
                let one = |(table, rows): (&[f32], &[usize])| sum_exp(&pick(table, rows));
                sums.par_extend(table.par_chunks(n_data).zip(rows.par_chunks(slots)).map(one));
            }
            scale = self.normaliser(&sums, z);
        }
        let constants = self.constants(scale);

        let (mut value, mut grad) = (0.0, Vec::with_capacity(self.anchors.len()));
        for (anchors, rows) in groups() {
            fill(anchors, &mut table);
            let one = |(table, rows): (&mut [f32], &[usize])| {
                let mut scores = pick(table, rows);
                let value = self.lose(&mut scores, constants);
                table.fill(0.0);
                rows.iter().zip(scores).for_each(|(&row, slope)| table[row] += slope * inverse);
                value
            };
            let tables = table.par_chunks_mut(n_data).zip(rows.par_chunks(slots));
            value += tables.map(one).collect::<Vec<f64>>().into_iter().sum::<f64>();
            grad.extend(self.gather(&table, anchors.len() / width));
        }
        (value, grad)
    }

    /// `slopes x bank` for slopes `(count, M)`, in pieces of rows that are added in order.
    fn gather(&self, slopes: &[f32], count: usize) -> Vec<f32> {
        let width = self.width;
        let n_data = self.bank.len() / width;
        let parts = map_tasks(n_data.div_ceil(ROWS), |piece| {
            let (start, rows) = (piece * ROWS, ROWS.min(n_data - piece * ROWS));
            let mut part = vec![0.0; count * width];
            let (a, b) =
                ((&slopes[start..], (n_data, 1)), (&self.bank[start * width..], (width, 1)));
            gemm_tile((count, width, rows), 1.0, a, b, 0.0, (&mut part, (width, 1)));
            part
        });
        sum_in_order(parts, count * width)
    }

    /// Only the rows that were drawn, each read once (twice by the batch that fixes `z`).
    pub(super) fn by_rows(&self, z: &mut f64) -> (f64, Vec<f32>) {
        let (width, slots) = (self.width, self.slots);
        let inverse = (1.0 / self.temperature) as f32;
        let pieces = slots.div_ceil(SLOTS);
        let count = self.rows.len() / slots;
        let piece = |task: usize| {
            let (anchor, piece) = (task / pieces, task % pieces);
            let rows: Range<usize> =
                anchor * slots + piece * SLOTS..anchor * slots + ((piece + 1) * SLOTS).min(slots);
            (&self.anchors[anchor * width..(anchor + 1) * width], &self.rows[rows], piece == 0)
        };

        let mut scale = *z;
        if scale == 0.0 {
            let sums = map_tasks(count * pieces, |task| {
                let (anchor, rows, _) = piece(task);
                let mut scores = vec![0.0; rows.len()];
                dots(anchor, self.bank, rows, inverse, &mut scores);
                sum_exp(&scores)
            });
            scale = self.normaliser(&sums, z);
        }
        let constants = self.constants(scale);
        let Constants { shift, excess } = constants;

        let parts = map_tasks(count * pieces, |task| {
            let (anchor, rows, has_positive) = piece(task);
            let mut scores = vec![0.0; rows.len()];
            let mut grad = vec![0.0; width];
            let mut value = 0.0;
            // In blocks whose rows are still in the cache when the slopes are known.
            for (first, rows) in rows.chunks(32).enumerate().map(|(b, rows)| (b * 32, rows)) {
                let scores = &mut scores[first..first + rows.len()];
                dots(anchor, self.bank, rows, inverse, scores);
                value += if has_positive && first == 0 {
                    self.lose(scores, constants)
                } else {
                    loss::negatives(scores, shift) + excess * scores.len() as f64
                };
                add_rows(&mut grad, self.bank, rows, scores);
            }
            (value, grad)
        });
        let mut value = 0.0;
        let mut out = Vec::with_capacity(count * width);
        let mut parts = parts.into_iter();
        for _ in 0..count {
            let own = parts.by_ref().take(pieces);
            let grads = own.map(|(part, grad)| {
                value += part;
                grad
            });
            out.extend(sum_in_order(grads.collect(), width).into_iter().map(|v| v * inverse));
        }
        (value, out)
    }
}

/// `sum e^score`, in f64: exponentials at small temperatures leave f32.
fn sum_exp(scores: &[f32]) -> f64 {
    scores.iter().map(|&score| f64::from(score).exp()).sum()
}

/// Adds equally long parts, in f64.
fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; len];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += f64::from(v));
    }
    sums.into_iter().map(|v| v as f32).collect()
}

simd_dispatch! {
    /// `out_k = <anchor, bank[rows_k]> * inverse`.
    fn dots(anchor: &[f32], bank: &[f32], rows: &[usize], inverse: f32, out: &mut [f32]) {
        let width = anchor.len();
        for (out, &row) in out.iter_mut().zip(rows) {
            let (left, left_rest) = anchor.as_chunks::<32>();
            let (right, right_rest) = bank[row * width..(row + 1) * width].as_chunks::<32>();
            let mut sum = [0.0f32; 32];
            for (left, right) in left.iter().zip(right) {
                for l in 0..32 {
                    sum[l] = left[l].mul_add(right[l], sum[l]);
                }
            }
            for ((sum, a), b) in sum.iter_mut().zip(left_rest).zip(right_rest) {
                *sum = a.mul_add(*b, *sum);
            }
            *out = sum.into_iter().sum::<f32>() * inverse;
        }
    }

    /// `grad += sum_k slopes_k bank[rows_k]`.
    fn add_rows(grad: &mut [f32], bank: &[f32], rows: &[usize], slopes: &[f32]) {
        let width = grad.len();
        for (&row, &slope) in rows.iter().zip(slopes) {
            let row = &bank[row * width..(row + 1) * width];
            grad.iter_mut().zip(row).for_each(|(sum, &v)| *sum = v.mul_add(slope, *sum));
        }
    }
}
