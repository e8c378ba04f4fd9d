//! Layer, RMS and group normalisation.
//!
//! ```text
//! y = w (x - mean) rstd + b,   rstd = 1 / sqrt(mean((x - mean)^2) + norm_eps)
//! ```
//!
//! RMS normalisation takes the mean as 0 and has no `b`. With `h = (x - mean) rstd`,
//! `g = w dy` and means over what was normalised together,
//!
//! ```text
//! dx = rstd (g - mean(g) - h mean(g h)),   dw = sum(dy h),   db = sum(dy)
//! ```
//!
//! where RMS normalisation leaves out `mean(g)`.

use rayon::prelude::*;

use crate::cpu::dispatch::simd_dispatch;
use crate::cpu::parallel::rows_per_chunk;
use crate::cpu::real::Real;
use crate::cpu::reduce::{col_sums, combine_partials, sum_map, sum_map2};

/// A normalised array with the statistics that its gradient needs, one a row or group.
pub(crate) struct Normalized<T> {
    pub(crate) y: Vec<T>,
    pub(crate) stats: Vec<Stats<T>>,
}

/// Mean (0 for RMS) and reciprocal standard deviation of what was normalised together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats<T> {
    mean: T,
    rstd: T,
}

impl<T: Real> Stats<T> {
    #[inline(always)]
    fn of(x: &[T], norm_eps: T, centred: bool) -> Self {
        let scale = T::ONE / T::from_f64(x.len() as f64);
        let mean = if centred { sum_map(x, |x| x) * scale } else { T::ZERO };
        let variance = sum_map(x, |x| (x - mean) * (x - mean)) * scale;
        Self { mean, rstd: T::ONE / Real::sqrt(variance + norm_eps) }
    }

    #[inline(always)]
    fn normalize(self, x: T) -> T {
        (x - self.mean) * self.rstd
    }
}

/// Gradients of a normalisation.
pub(crate) struct NormGradients<T> {
    pub(crate) dx: Vec<T>,
    pub(crate) dweight: Vec<T>,
    pub(crate) dbias: Vec<T>,
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

    /// Normalises one group: its channels, each of the same length.
    fn normalize_group<T: Real>(
        x: &[T],
        weight: &[T],
        bias: &[T],
        norm_eps: T,
        y: &mut [T],
    ) -> Stats<T> {
        let stats = Stats::of(x, norm_eps, true);
        let len = x.len() / weight.len();
        let channels = x.chunks_exact(len).zip(y.chunks_exact_mut(len));
        for ((x, y), (&w, &b)) in channels.zip(weight.iter().zip(bias)) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = Real::mul_add(stats.normalize(x), w, b);
            }
        }
        stats
    }

    /// Gradients of one group; `sums[channel]` becomes its `(dweight, dbias)`.
    fn group_backward<T: Real>(
        x: &[T],
        dy: &[T],
        stats: Stats<T>,
        weight: &[T],
        dx: &mut [T],
        sums: &mut [(T, T)],
    ) {
        let len = x.len() / weight.len();
        let scale = T::ONE / T::from_f64(x.len() as f64);
        let (mut mean_g, mut mean_gh) = (T::ZERO, T::ZERO);
        for (((x, dy), &w), sums) in
            x.chunks_exact(len).zip(dy.chunks_exact(len)).zip(weight).zip(sums)
        {
            *sums = (sum_map2(x, dy, |x, dy| dy * stats.normalize(x)), sum_map(dy, |dy| dy));
            mean_gh += w * sums.0 * scale;
            mean_g += w * sums.1 * scale;
        }
        let channels = x.chunks_exact(len).zip(dy.chunks_exact(len)).zip(weight);
        for (((x, dy), &w), dx) in channels.zip(dx.chunks_exact_mut(len)) {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = stats.rstd * (dy * w - mean_g - stats.normalize(x) * mean_gh);
            }
        }
    }
}

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

/// Normalises each of `groups` groups of neighbouring channels of `x: (B, C, time)` over its
/// channels and time; `weight` and `bias` are `(C)`, and `groups` divides `C`.
pub(crate) fn group_norm<T: Real>(
    x: &[T],
    (groups, time): (usize, usize),
    weight: &[T],
    bias: &[T],
    norm_eps: f64,
) -> Normalized<T> {
    let per_group = weight.len() / groups;
    let mut y = vec![T::ZERO; x.len()];
    if x.is_empty() {
        return Normalized { y, stats: Vec::new() };
    }
    let size = per_group * time;
    let norm_eps = T::from_f64(norm_eps);
    let stats = x
        .par_chunks(size)
        .zip(y.par_chunks_mut(size))
        .enumerate()
        .map(|(i, (x, y))| {
            let channels = i % groups * per_group..(i % groups + 1) * per_group;
            normalize_group(x, &weight[channels.clone()], &bias[channels], norm_eps, y)
        })
        .collect();
    Normalized { y, stats }
}

/// Gradients of [`group_norm`].
pub(crate) fn group_norm_backward<T: Real>(
    x: &[T],
    dy: &[T],
    stats: &[Stats<T>],
    (groups, time): (usize, usize),
    weight: &[T],
) -> NormGradients<T> {
    let channels = weight.len();
    let per_group = channels / groups;
    let mut dx = vec![T::ZERO; x.len()];
    if x.is_empty() {
        let zeros = vec![T::ZERO; channels];
        return NormGradients { dx, dweight: zeros.clone(), dbias: zeros };
    }
    let size = per_group * time;
    let mut sums = vec![(T::ZERO, T::ZERO); stats.len() * per_group];
    dx.par_chunks_mut(size).zip(sums.par_chunks_mut(per_group)).enumerate().for_each(
        |(i, (dx, sums))| {
            let weight = &weight[i % groups * per_group..][..per_group];
            let at = i * size;
            group_backward(&x[at..at + size], &dy[at..at + size], stats[i], weight, dx, sums);
        },
    );
    // (B, C) sums of each channel, added over the batch.
    let batch = sums.len() / channels;
    let column =
        |f: fn(&(T, T)) -> T| col_sums(&sums.iter().map(f).collect::<Vec<T>>(), batch, channels);
    NormGradients { dx, dweight: column(|sum| sum.0), dbias: column(|sum| sum.1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::parallel::tests::{ramp, same_bits_on_one_and_two_threads};

    const EPS: f64 = 1e-5;

    /// Mean and variance by definition.
    fn moments(x: &[f64]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
    }

    #[track_caller]
    fn assert_close(got: f64, want: f64, bound: f64) {
        assert!((got - want).abs() <= bound, "{got} for {want}");
    }

    #[test]
    fn rows_agree_with_the_definition() {
        for (rows, width) in [(1, 1), (1, 3), (3, 17), (5, 129), (300, 130)] {
            let (x, w, b) = (ramp::<f64>(rows * width, 1), ramp(width, 2), ramp(width, 3));
            let layer = norm_rows(&x, &w, Some(&b), EPS).y;
            let rms = norm_rows(&x, &w, None, EPS).y;
            for (r, row) in x.chunks(width).enumerate() {
                let (mean, variance) = moments(row);
                let square = variance + mean * mean;
                for j in 0..width {
                    let want = (row[j] - mean) / (variance + EPS).sqrt() * w[j] + b[j];
                    assert_close(layer[r * width + j], want, 1e-9);
                    assert_close(rms[r * width + j], row[j] / (square + EPS).sqrt() * w[j], 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_large_offset_costs_no_accuracy() {
        let x: Vec<f32> = ramp::<f32>(129, 1).iter().map(|x| x + 1000.0).collect();
        let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (mean, variance) = moments(&exact);
        let ones = vec![1.0; 129];
        let y = norm_rows(&x, &ones, Some(&vec![0.0; 129]), EPS).y;
        for (y, x) in y.into_iter().zip(exact) {
            // One rounding of the mean, relative to a deviation near 0.58.
            assert_close(f64::from(y), (x - mean) / (variance + EPS).sqrt(), 2e-4);
        }
    }

    #[test]
    fn groups_agree_with_the_definition() {
        for (batch, channels, time, groups) in
            [(1, 1, 7, 1), (2, 6, 5, 3), (3, 4, 129, 4), (2, 4, 3, 1)]
        {
            let x = ramp::<f64>(batch * channels * time, 1);
            let (w, b) = (ramp(channels, 2), ramp(channels, 3));
            let y = group_norm(&x, (groups, time), &w, &b, EPS).y;
            for (i, group) in x.chunks(channels / groups * time).enumerate() {
                let (mean, variance) = moments(group);
                for (j, x) in group.iter().enumerate() {
                    let at = i * group.len() + j;
                    let c = at / time % channels;
                    assert_close(y[at], (x - mean) / (variance + EPS).sqrt() * w[c] + b[c], 1e-9);
                }
            }
        }
    }

    #[test]
    fn input_gradients_are_orthogonal_to_shift_and_scale() {
        let (rows, width) = (5, 37);
        let (x, dy, w) = (ramp::<f64>(rows * width, 1), ramp(rows * width, 2), ramp(width, 3));
        let zeros = vec![0.0; width];
        let stats = norm_rows(&x, &w, Some(&zeros), 0.0).stats;
        let dx = norm_rows_backward(&x, &dy, &stats, &w, true).dx;
        for (dx, x) in dx.chunks(width).zip(x.chunks(width)) {
            assert_close(dx.iter().sum(), 0.0, 1e-12);
            assert_close(dx.iter().zip(x).map(|(dx, x)| dx * x).sum(), 0.0, 1e-12);
        }
    }

    #[test]
    fn thread_count_changes_no_bit() {
        let (rows, width) = (300, 130);
        let (x, dy, w) = (ramp::<f32>(rows * width, 1), ramp(rows * width, 2), ramp(width, 3));
        same_bits_on_one_and_two_threads(|| {
            let Normalized { mut y, stats } = norm_rows(&x, &w, Some(&w), EPS);
            let rows = norm_rows_backward(&x, &dy, &stats, &w, true);
            let w = &w[..65];
            let group = group_norm(&x, (5, 2), w, w, EPS);
            let groups = group_norm_backward(&x, &dy, &group.stats, (5, 2), w);
            for part in [rows.dx, rows.dweight, rows.dbias, group.y, groups.dx, groups.dweight] {
                y.extend(part);
            }
            y
        });
    }
}
