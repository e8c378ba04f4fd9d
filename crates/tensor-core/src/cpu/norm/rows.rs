//! Layer and RMS normalisation: each row by its own statistics.

use rayon::prelude::*;

use super::{NormGradients, Normalized, Stats};
use crate::cpu::reduce::{combine_partials, sum_map, sum_map2};
use cpu_math::parallel::rows_per_chunk;
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Normalises the rows of `x: (rows, width)`; `weight` and `bias` are `(width)`. With a bias this
/// is layer normalisation, without one RMS normalisation.
pub(crate) fn norm_rows<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    norm_eps: f64,
) -> Normalized<T> {
    let width = weight.len();
    let mut y = vec![T::ZERO; x.len()];
    let mut stats = vec![Stats::default(); x.len().checked_div(width).unwrap_or(0)];
    let norm_eps = T::from_f64(norm_eps);
    let rows = rows_per_chunk(width);
    if stats.len() <= rows {
        if width > 0 {
            normalize_rows(x, weight, bias, norm_eps, &mut y, &mut stats);
        }
    } else {
        x.par_chunks(rows * width)
            .zip(y.par_chunks_mut(rows * width))
            .zip(stats.par_chunks_mut(rows))
            .for_each(|((x, y), stats)| normalize_rows(x, weight, bias, norm_eps, y, stats));
    }
    Normalized { y, stats }
}

/// Gradients of [`norm_rows`]; `centred` says that it had a bias.
pub(crate) fn norm_rows_backward<T: Real>(
    x: &[T],
    dy: &[T],
    stats: &[Stats<T>],
    weight: &[T],
    centred: bool,
) -> NormGradients<T> {
    let width = weight.len();
    let mut dx = vec![T::ZERO; x.len()];
    if x.is_empty() {
        let zeros = vec![T::ZERO; width];
        return NormGradients { dx, dweight: zeros.clone(), dbias: zeros };
    }
    let per_task = rows_per_chunk(width);
    let task = |(i, dx): (usize, &mut [T])| {
        let first = i * per_task;
        let rows = RowsBackward {
            x: &x[first * width..][..dx.len()],
            dy: &dy[first * width..][..dx.len()],
            stats: &stats[first..],
            weight,
            centred,
        };
        let (mut dweight, mut dbias) = (vec![T::ZERO; width], vec![T::ZERO; width]);
        rows_backward(rows, dx, &mut dweight, &mut dbias);
        dweight.extend(dbias);
        dweight.into_iter().map(T::to_f64).collect::<Vec<f64>>()
    };
    let partials: Vec<Vec<f64>> = if stats.len() <= per_task {
        vec![task((0, &mut dx))]
    } else {
        dx.par_chunks_mut(per_task * width).enumerate().map(task).collect()
    };
    let mut dweight = combine_partials(partials.into_iter(), 2 * width);
    let dbias = dweight.split_off(width);
    NormGradients { dx, dweight, dbias }
}

/// Rows of one task.
#[derive(Clone, Copy)]
struct RowsBackward<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    stats: &'a [Stats<T>],
    weight: &'a [T],
    centred: bool,
}

simd_dispatch! {
    fn normalize_rows<T: Real>(
        x: &[T],
        weight: &[T],
        bias: Option<&[T]>,
        norm_eps: T,
        y: &mut [T],
        stats: &mut [Stats<T>],
    ) {
        let width = weight.len();
        for ((x, y), row) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats) {
            *row = Stats::of(x, norm_eps, bias.is_some());
            let stats = *row;
            if let Some(bias) = bias {
                for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                    *y = Real::mul_add(stats.normalize(x), w, b);
                }
            } else {
                for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                    *y = stats.normalize(x) * w;
                }
            }
        }
    }

    /// Writes `dx` and adds to `dweight` and `dbias`.
    fn rows_backward<T: Real>(
        rows: RowsBackward<'_, T>,
        dx: &mut [T],
        dweight: &mut [T],
        dbias: &mut [T],
    ) {
        let RowsBackward { x, dy, stats, weight, centred } = rows;
        let width = weight.len();
        let scale = T::ONE / T::from_f64(width as f64);
        let pairs = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(stats);
        for (((x, dy), &stats), dx) in pairs.zip(dx.chunks_exact_mut(width)) {
            // `dx` first holds g = w dy.
            for ((g, &dy), &w) in dx.iter_mut().zip(dy).zip(weight) {
                *g = dy * w;
            }
            let mean_g = if centred { sum_map(dx, |g| g) * scale } else { T::ZERO };
            let mean_gh = sum_map2(dx, x, |g, x| g * stats.normalize(x)) * scale;
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = stats.rstd * (*dx - mean_g - stats.normalize(x) * mean_gh);
            }
            for ((dw, &dy), &x) in dweight.iter_mut().zip(dy).zip(x) {
                *dw += dy * stats.normalize(x);
            }
            for (db, &dy) in dbias.iter_mut().zip(dy) {
                *db += dy;
            }
        }
    }
}
