//! Loops over one tile of logits, row-major, while it is in the cache.
//!
//! Values of columns come in groups of [`LANES`]; the last group is padded.

use cpu_math::math::exp;
use cpu_math::simd_dispatch;

/// Columns that go through together.
pub(super) const LANES: usize = 16;

/// Stands in for a logit that takes no part: its exponential is 0, and so is its product with 0.
pub(super) const NOTHING: f32 = -f32::MAX;

/// One value a column.
pub(super) type Lanes = [f32; LANES];

/// `values` in groups, the last filled up with `pad`.
pub(super) fn lanes(values: impl ExactSizeIterator<Item = f32>, pad: f32) -> Vec<Lanes> {
    let mut out = vec![[pad; LANES]; values.len().div_ceil(LANES)];
    out.as_flattened_mut().iter_mut().zip(values).for_each(|(out, value)| *out = value);
    out
}

/// Runs `f(group, values)` over a row; the last group is filled up with `pad`.
#[inline(always)]
fn each_group(row: &mut [f32], pad: f32, mut f: impl FnMut(usize, &mut Lanes)) {
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    let last = whole.len();
    for (group, values) in whole.iter_mut().enumerate() {
        f(group, values);
    }
    if !rest.is_empty() {
        let mut values = [pad; LANES];
        values[..rest.len()].copy_from_slice(rest);
        f(last, &mut values);
        rest.copy_from_slice(&values[..rest.len()]);
    }
}

/// Where the logits of a tile have their maxima; NaN is passed over.
pub(super) struct Maxima<'a> {
    pub rows: &'a mut [f32],
    pub columns: &'a mut [Lanes],
}

/// Sums of `e^(logit - maximum)`.
pub(super) struct Sums<'a> {
    pub rows: &'a mut [f32],
    pub columns: &'a mut [Lanes],
}

/// What the slopes of a tile are made of.
pub(super) struct Slopes<'a> {
    /// Log-sum-exps of rows; empty when rows are no anchors.
    pub row_lse: &'a [f32],
    /// Factors of the rows' softmaxes.
    pub row_weight: &'a [f32],
    pub column_lse: &'a [Lanes],
    pub column_weight: &'a [Lanes],
    pub row_scale: &'a [f32],
    pub column_scale: &'a [Lanes],
    /// Sums of slope times logit, added to.
    pub row_dots: &'a mut [f64],
    pub column_dots: &'a mut [Lanes],
}

simd_dispatch! {
    /// Turns dot products into logits, and finds the maxima.
    pub(super) fn to_logits(
        tile: &mut [f32],
        row_scale: &[f32],
        column_scale: &[Lanes],
        width: usize,
        max: Maxima<'_>,
    ) {
        for (i, row) in tile.chunks_exact_mut(width).enumerate() {
            let scale = row_scale[i];
            let mut most = [f32::NEG_INFINITY; LANES];
            each_group(row, f32::NAN, |group, values| {
                let (by, below) = (&column_scale[group], &mut max.columns[group]);
                for l in 0..LANES {
                    let logit = values[l] * scale * by[l];
                    values[l] = logit;
                    most[l] = if logit > most[l] { logit } else { most[l] };
                    below[l] = if logit > below[l] { logit } else { below[l] };
                }
            });
            max.rows[i] = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
        }
    }

    /// Adds up columns alone.
    pub(super) fn column_sums(tile: &mut [f32], width: usize, max: Maxima<'_>, sums: Sums<'_>) {
        add_up::<false>(tile, width, max, sums);
    }

    /// Adds up rows and columns.
    pub(super) fn both_sums(tile: &mut [f32], width: usize, max: Maxima<'_>, sums: Sums<'_>) {
        add_up::<true>(tile, width, max, sums);
    }

    /// Turns logits into slopes with respect to dot products; columns alone are anchors.
    pub(super) fn column_slopes(tile: &mut [f32], width: usize, slopes: Slopes<'_>) {
        to_slopes::<false>(tile, width, slopes);
    }

    /// Turns logits into slopes; rows and columns are anchors.
    pub(super) fn both_slopes(tile: &mut [f32], width: usize, slopes: Slopes<'_>) {
        to_slopes::<true>(tile, width, slopes);
    }
}

#[inline(always)]
fn add_up<const ROWS: bool>(tile: &mut [f32], width: usize, max: Maxima<'_>, sums: Sums<'_>) {
    for (i, row) in tile.chunks_exact_mut(width).enumerate() {
        let most = max.rows[i];
        let mut sum = [0.0f32; LANES];
        each_group(row, NOTHING, |group, values| {
            let (above, below) = (&max.columns[group], &mut sums.columns[group]);
            for l in 0..LANES {
                below[l] += exp(values[l] - above[l]);
                if ROWS {
                    sum[l] += exp(values[l] - most);
                }
            }
        });
        sums.rows[i] = sum.into_iter().sum();
    }
}

#[inline(always)]
fn to_slopes<const ROWS: bool>(tile: &mut [f32], width: usize, slopes: Slopes<'_>) {
    for (i, row) in tile.chunks_exact_mut(width).enumerate() {
        let (lse, weight) =
            if ROWS { (slopes.row_lse[i], slopes.row_weight[i]) } else { (f32::INFINITY, 0.0) };
        let scale = slopes.row_scale[i];
        let mut dot = [0.0f32; LANES];
        each_group(row, NOTHING, |group, values| {
            let (above, by) = (&slopes.column_lse[group], &slopes.column_scale[group]);
            let (weights, below) = (&slopes.column_weight[group], &mut slopes.column_dots[group]);
            for l in 0..LANES {
                let logit = values[l];
                let mut slope = weights[l] * exp(logit - above[l]);
                if ROWS {
                    slope += weight * exp(logit - lse);
                }
                dot[l] += slope * logit;
                below[l] += slope * logit;
                values[l] = slope * scale * by[l];
            }
        });
        slopes.row_dots[i] += dot.into_iter().map(f64::from).sum::<f64>();
    }
}
