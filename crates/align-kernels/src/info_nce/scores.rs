//! The matrix of logits, stripe by stripe: it is never in memory as a whole.
//!
//! A stripe is a block of columns, with all rows. It is computed into a window in tiles of rows,
//! which are what threads share. All borders depend on the shape alone.

use std::ops::Range;

use cpu_math::gemm::MatRef;
use cpu_math::parallel::SharedMut;
use cpu_math::tile_gemm::{gemm_at, gemm_tile};
use rayon::prelude::*;

use super::combine::LogSum;
use super::options::NONE;
use super::sides::Side;
use super::tile::{self, Lanes, Maxima, NOTHING, Slopes, Sums, lanes};

/// Floats of a window: 12 MiB.
const WINDOW: usize = 3 << 20;

/// Widest stripe. Each one reads and writes the gradient of all rows once.
const WIDEST: usize = 960;

/// Borders of stripes are multiples of this, the micro-kernel's longer side on AVX-512.
const STEP: usize = 48;

/// Rows of a tile.
const TILE: usize = 512;

/// Multiply-adds below which waking the thread pool costs more than it saves.
const SERIAL_WORK: usize = 1 << 19;

/// Rows against columns, with the partner of each row.
pub(super) struct Scores<'p, 'a> {
    pub rows: &'p Side<'a>,
    pub columns: &'p Side<'a>,
    /// The column of each row, or [`NONE`].
    pub partner: &'p [usize],
    /// Whether gradients of rows, and of columns, are wanted.
    wanted: [bool; 2],
    row_scale: Vec<f32>,
    tile: usize,
    stripe: usize,
}

/// Anchors of a stripe, for its slopes.
pub(super) struct Anchors<'s> {
    /// Log-sum-exps of all rows; `None` when rows are no anchors. Infinity where one is not.
    pub row_lse: Option<&'s [f64]>,
    /// Log-sum-exps of the stripe's columns.
    pub column_lse: &'s [f64],
    /// Of every anchor in the loss.
    pub weight: f64,
    /// Logits of rows with their partners.
    pub positives: &'s [f64],
}

/// Running gradients with respect to stored points, empty where they are not wanted, and sums of slope
/// times logit.
pub(super) struct Gradients {
    pub rows: Vec<f32>,
    pub columns: Vec<f32>,
    pub row_dots: Vec<f64>,
    pub column_dots: Vec<f64>,
}

/// What one tile adds to the normalisers.
struct TileSums {
    row_max: Vec<f32>,
    row_sum: Vec<f32>,
    column_max: Vec<Lanes>,
    column_sum: Vec<Lanes>,
    /// Logits of rows with their partners, by row.
    positives: Vec<(usize, f32)>,
}

impl<'p, 'a> Scores<'p, 'a> {
    pub fn new(
        rows: &'p Side<'a>,
        columns: &'p Side<'a>,
        partner: &'p [usize],
        temperature: f64,
    ) -> Self {
        let scale = |&inverse: &f32| (f64::from(inverse) / temperature) as f32;
        let row_scale = rows.inverse_norm.iter().map(scale).collect();
        let tile = rows.count.div_ceil(8).next_multiple_of(16).min(TILE);
        let widest = (WINDOW / rows.count.max(1)).clamp(256, WIDEST);
        let stripes = columns.count.div_ceil(widest).max(1);
        let stripe = columns.count.div_ceil(stripes).next_multiple_of(STEP).max(STEP);
        let wanted = [true, true];
        Self { rows, columns, partner, wanted, row_scale, tile: tile.max(1), stripe }
    }

    /// With gradients of rows, and of columns, where they are wanted alone.
    pub fn wanting(self, rows: bool, columns: bool) -> Self {
        Self { wanted: [rows, columns], ..self }
    }

    /// Number of stripes.
    pub fn stripes(&self) -> usize {
        self.columns.count.div_ceil(self.stripe)
    }

    /// Columns of a stripe.
    pub fn range(&self, stripe: usize) -> Range<usize> {
        let start = stripe * self.stripe;
        start..(start + self.stripe).min(self.columns.count)
    }

    /// Memory for the logits of one stripe.
    pub fn window(&self) -> Vec<f32> {
        vec![0.0; self.rows.count * self.stripe.min(self.columns.count)]
    }

    /// Gradients before the first stripe.
    pub fn gradients(&self) -> Gradients {
        let room = |is_wanted: bool, side: &Side<'_>| {
            vec![0.0; if is_wanted { side.points.len() } else { 0 }]
        };
        Gradients {
            rows: room(self.wanted[0], self.rows),
            columns: room(self.wanted[1], self.columns),
            row_dots: vec![0.0; self.rows.count],
            column_dots: vec![0.0; self.columns.count],
        }
    }

    /// Computes the logits of a stripe again.
    pub fn fill(&self, stripe: usize, window: &mut [f32]) {
        self.tiles(stripe, window, |_, _, _| ());
    }

    /// Computes the logits of a stripe; adds them to the normalisers of its columns, and to those
    /// of all rows if they are given; notes the logits of pairs. Both exclude the partner.
    pub fn gather(
        &self,
        stripe: usize,
        window: &mut [f32],
        mut rows: Option<&mut [LogSum]>,
        columns: &mut [LogSum],
        positives: &mut [f64],
    ) {
        let range = self.range(stripe);
        let width = range.len();
        let both = rows.is_some();
        let tiles = self.tiles(stripe, window, |first, tile, (row_max, mut column_max)| {
            let mut found = Vec::new();
            for (i, row) in tile.chunks_exact_mut(width).enumerate() {
                if let Some(at) = in_range(self.partner[first + i], &range) {
                    found.push((first + i, std::mem::replace(&mut row[at], NOTHING)));
                }
            }
            let mut row_shift = row_max.clone();
            let shifts = column_max.as_flattened_mut().iter_mut().chain(&mut row_shift);
            shifts.filter(|v| **v == f32::NEG_INFINITY).for_each(|v| *v = 0.0);
            let mut row_sum = vec![0.0; row_max.len()];
            let mut column_sum = vec![[0.0; tile::LANES]; column_max.len()];
            let max = Maxima { rows: &mut row_shift, columns: &mut column_max };
            let sums = Sums { rows: &mut row_sum, columns: &mut column_sum };
            let add_up = if both { tile::both_sums } else { tile::column_sums };
            add_up(tile, width, max, sums);
            TileSums { row_max: row_shift, row_sum, column_max, column_sum, positives: found }
        });
        for (t, tile) in tiles.into_iter().enumerate() {
            if let Some(rows) = &mut rows {
                let sums = tile.row_max.iter().zip(&tile.row_sum);
                for (row, (&max, &sum)) in rows[t * self.tile..].iter_mut().zip(sums) {
                    row.add(f64::from(max), f64::from(sum));
                }
            }
            let max = tile.column_max.as_flattened().iter();
            let sums = max.zip(tile.column_sum.as_flattened());
            for (column, (&max, &sum)) in columns.iter_mut().zip(sums) {
                column.add(f64::from(max), f64::from(sum));
            }
            tile.positives.into_iter().for_each(|(row, logit)| positives[row] = f64::from(logit));
        }
    }

    /// Logits of a stripe, then `f(first row, tile, maxima)` for each tile.
    fn tiles<R: Send>(
        &self,
        stripe: usize,
        window: &mut [f32],
        f: impl Fn(usize, &mut [f32], (Vec<f32>, Vec<Lanes>)) -> R + Sync,
    ) -> Vec<R> {
        let (range, d) = (self.range(stripe), self.rows.width);
        let width = range.len();
        let packed = transposed(&self.columns.points[range.start * d..range.end * d], d);
        let scale = lanes(self.columns.inverse_norm[range].iter().copied(), 0.0);
        let window = &mut window[..self.rows.count * width];
        self.each_tile(window.chunks_mut(self.tile * width), width, |t, tile| {
            let (first, rows) = (t * self.tile, tile.len() / width);
            let a = (&self.rows.points[first * d..], (d, 1));
            gemm_tile(
                (rows, width, d),
                1.0,
                a,
                (&packed, (width, 1)),
                0.0,
                (&mut *tile, (width, 1)),
            );
            let mut row_max = vec![0.0; rows];
            let mut column_max = vec![[f32::NEG_INFINITY; tile::LANES]; scale.len()];
            let max = Maxima { rows: &mut row_max, columns: &mut column_max };
            tile::to_logits(tile, &self.row_scale[first..], &scale, width, max);
            f(first, tile, (row_max, column_max))
        })
    }

    /// Adds the gradients that come from a stripe. `window` holds its logits, and is used up.
    pub fn slopes(
        &self,
        stripe: usize,
        window: &mut [f32],
        anchors: &Anchors<'_>,
        gradients: &mut Gradients,
    ) {
        let (range, d) = (self.range(stripe), self.rows.width);
        let width = range.len();
        let window = &mut window[..self.rows.count * width];
        let columns = &self.columns.points[range.start * d..range.end * d];
        let scale = lanes(self.columns.inverse_norm[range.clone()].iter().copied(), 0.0);
        let narrow = |lse: &f64| *lse as f32;
        let factor = |lse: &f64| anchors.factor(*lse);
        let column_lse = lanes(anchors.column_lse.iter().map(narrow), 0.0);
        let column_weight = lanes(anchors.column_lse.iter().map(factor), 0.0);
        let rows = anchors.row_lse.unwrap_or_default();
        let row_lse: Vec<f32> = rows.iter().map(narrow).collect();
        let row_weight: Vec<f32> = rows.iter().map(factor).collect();

        // 1. Slopes in place of logits, and what they do to the rows.
        let Gradients { rows, row_dots, .. } = gradients;
        let mut grads = rows.chunks_mut(self.tile * d);
        let tiles = window
            .chunks_mut(self.tile * width)
            .map(|tile| (tile, grads.next()))
            .zip(row_dots.chunks_mut(self.tile));
        let dots = self.each_tile(tiles, 2 * width, |t, ((tile, grad), row_dots)| {
            let (first, rows) = (t * self.tile, tile.len() / width);
            let mut column_dots = vec![[0.0; tile::LANES]; scale.len()];
            let pairs: Vec<(usize, usize)> = (0..rows)
                .filter_map(|i| in_range(self.partner[first + i], &range).map(|at| (i, at)))
                .collect();
            pairs.iter().for_each(|&(i, at)| tile[i * width + at] = NOTHING);
            let slopes = Slopes {
                row_lse: row_lse.get(first..).unwrap_or_default(),
                row_weight: row_weight.get(first..).unwrap_or_default(),
                column_lse: &column_lse,
                column_weight: &column_weight,
                row_scale: &self.row_scale[first..],
                column_scale: &scale,
                row_dots,
                column_dots: &mut column_dots,
            };
            let both = anchors.row_lse.is_some();
            (if both { tile::both_slopes } else { tile::column_slopes })(tile, width, slopes);
            let mut column_dots: Vec<f64> =
                column_dots.as_flattened()[..width].iter().map(|&v| f64::from(v)).collect();
            // Partners apart: 1 - e^(logit - lse) would lose the digits of a small loss.
            for (i, at) in pairs {
                let logit = anchors.positives[first + i];
                let slope = anchors.slope_of_pair(first + i, at, logit);
                row_dots[i] += slope * logit;
                column_dots[at] += slope * logit;
                let scale = self.row_scale[first + i] * self.columns.inverse_norm[range.start + at];
                tile[i * width + at] = (slope * f64::from(scale)) as f32;
            }
            if let Some(grad) = grad {
                let (slopes, columns) = ((&*tile, (width, 1)), (columns, (d, 1)));
                gemm_tile((rows, d, width), 1.0, slopes, columns, 1.0, (grad, (d, 1)));
            }
            column_dots
        });
        for tile in dots {
            let sums = gradients.column_dots[range.clone()].iter_mut();
            sums.zip(tile).for_each(|(sum, dot)| *sum += dot);
        }

        // 2. What they do to the columns of the stripe.
        if !self.wanted[1] {
            return;
        }
        let out = &mut gradients.columns[range.start * d..range.end * d];
        multiply_transposed(window, &self.rows.points, (width, d, self.rows.count), out);
    }

    /// Runs `f(index, tile)` over tiles, in parallel when `per_row * d` multiply-adds a row repay it.
    fn each_tile<I: Send, R: Send>(
        &self,
        tiles: impl Iterator<Item = I>,
        per_row: usize,
        f: impl Fn(usize, I) -> R + Sync,
    ) -> Vec<R> {
        let tiles: Vec<(usize, I)> = tiles.enumerate().collect();
        if self.rows.count * self.rows.width * per_row <= SERIAL_WORK {
            tiles.into_iter().map(|(t, tile)| f(t, tile)).collect()
        } else {
            tiles.into_par_iter().with_max_len(1).map(|(t, tile)| f(t, tile)).collect()
        }
    }
}

impl Anchors<'_> {
    /// The weight, times what rounding a log-sum-exp to f32 takes from its softmax.
    fn factor(&self, lse: f64) -> f32 {
        let rounded = f64::from(lse as f32);
        (if lse.is_infinite() { self.weight } else { self.weight * (rounded - lse).exp() }) as f32
    }

    /// Derivative of the loss by the logit of a row and its partner `at` in the stripe.
    fn slope_of_pair(&self, row: usize, at: usize, logit: f64) -> f64 {
        let of = |lse: f64| if lse == f64::INFINITY { 0.0 } else { (logit - lse).exp_m1() };
        self.weight * (of(self.column_lse[at]) + self.row_lse.map_or(0.0, |lse| of(lse[row])))
    }
}

/// Place of a column in a stripe.
fn in_range(column: usize, range: &Range<usize>) -> Option<usize> {
    (column != NONE && range.contains(&column)).then(|| column - range.start)
}

/// `(N, D)` to `(D, N)`.
fn transposed(points: &[f32], d: usize) -> Vec<f32> {
    /// Points that are read along their coordinates together, in whole cache lines.
    const SIDE: usize = 16;
    let n = points.len() / d;
    let mut out = vec![0.0; points.len()];
    let block = |(block, out): (usize, &mut [f32])| {
        let start = block * SIDE;
        let rows = out.len() / n;
        for first in (0..n).step_by(SIDE) {
            let count = SIDE.min(n - first);
            for j in first..first + count {
                let source = &points[j * d + start..][..rows];
                source.iter().enumerate().for_each(|(k, &value)| out[k * n + j] = value);
            }
        }
    };
    if points.len() <= SERIAL_WORK / 8 {
        out.chunks_mut(SIDE * n).enumerate().for_each(block);
    } else {
        out.par_chunks_mut(SIDE * n).enumerate().for_each(block);
    }
    out
}

/// `out: (M, D) = slopes' x points` for slopes `(N, M)` and points `(N, D)`.
fn multiply_transposed(
    slopes: &[f32],
    points: &[f32],
    (m, d, n): (usize, usize, usize),
    out: &mut [f32],
) {
    /// Sides of an output tile: packing operands costs a few per cent of multiplying them.
    const SIDES: (usize, usize) = (256, 512);
    let even = |extent: usize, side: usize, step: usize| {
        extent.div_ceil(extent.div_ceil(side)).next_multiple_of(step)
    };
    let (rows, columns) = (even(m, SIDES.0, 8), even(d, SIDES.1, 16));
    let across = d.div_ceil(columns);
    let out = SharedMut::new(out);
    let run = |job: usize| {
        let (row, column) = (job / across * rows, job % across * columns);
        let (rows, columns) = (rows.min(m - row), columns.min(d - column));
        let (a, b) = (MatRef::new(&slopes[row..], (1, m)), MatRef::new(&points[column..], (d, 1)));
        a.check(rows, n);
        b.check(n, columns);
        // SAFETY: the checks keep operands in their slices; no two jobs share an output tile, and
        // the old output is not read.
        unsafe {
            let tile = out.pointer(row * d + column);
            gemm_at((rows, columns, n), 1.0, a, b, 0.0, (tile, (d, 1)));
        }
    };
    let jobs = m.div_ceil(rows) * across;
    if m * n * d <= SERIAL_WORK {
        (0..jobs).for_each(run);
    } else {
        (0..jobs).into_par_iter().with_max_len(1).for_each(run);
    }
}
