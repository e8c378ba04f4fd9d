//! Group normalisation: neighbouring channels by their common statistics.

use rayon::prelude::*;

use super::{NormGradients, Normalized, Stats};
use crate::cpu::reduce::{col_sums, sum_map, sum_map2};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

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

simd_dispatch! {
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
