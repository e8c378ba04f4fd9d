//! The updates as log-sum-exps, shifted by each row's or column's largest term.
//!
//! Slower than the absorbed form and safe at any temperature: where an iteration starts, and what it
//! falls back on when a sum leaves the range of f32.

#![expect(clippy::needless_range_loop, reason = "lanes by index become one vector")]

use cpu_math::math::{exp, ln};
use cpu_math::simd_dispatch;

use super::lanes::{LANES, Lanes, flat, flat_mut};

/// `h / eps + ln weight`: minus infinity where there is no mass.
pub(super) fn terms(h: &[Lanes], weights: &[Lanes], eps: f64) -> Vec<Lanes> {
    let inv_eps = (1.0 / eps) as f32;
    let mut out = h.to_vec();
    for (out, &w) in flat_mut(&mut out).iter_mut().zip(flat(weights)) {
        *out = if w == 0.0 { f32::NEG_INFINITY } else { (*out).mul_add(inv_eps, w.ln()) };
    }
    out
}

simd_dispatch! {
    /// `out_i = factor ln sum_j exp(h_j - C_ij / eps)`.
    pub(super) fn rows(
        cost: &[Lanes],
        h: &[Lanes],
        inv_eps: f32,
        factor: f32,
        out: &mut [Lanes],
    ) -> () {
        let width = h.len();
        for (cost, out) in cost.chunks_exact(width).zip(flat_mut(out)) {
            let mut highest = [f32::NEG_INFINITY; LANES];
            for j in 0..width {
                for l in 0..LANES {
                    let t = (-inv_eps).mul_add(cost[j].0[l], h[j].0[l]);
                    highest[l] = if t > highest[l] { t } else { highest[l] };
                }
            }
            let max = highest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0f32; LANES];
            for j in 0..width {
                for l in 0..LANES {
                    sums[l] += exp((-inv_eps).mul_add(cost[j].0[l], h[j].0[l]) - max);
                }
            }
            *out = factor * (max + Lanes(sums).sum().ln());
        }
    }

    /// `out_j = factor ln sum_i exp(h_i - C_ij / eps)` over the `n` rows, `stride` vectors apart, of
    /// which the first `out.len()` are taken.
    pub(super) fn columns(
        cost: &[Lanes],
        stride: usize,
        h: &[Lanes],
        n: usize,
        inv_eps: f32,
        factor: f32,
        out: &mut [Lanes],
    ) -> () {
        // Over flat slices: a loop over vectors would be vectorised across them.
        let (lanes, h) = (out.len() * LANES, &flat(h)[..n]);
        let (out, cost, stride) = (flat_mut(out), flat(cost), stride * LANES);
        let mut highest = vec![f32::NEG_INFINITY; lanes];
        for (cost, &h) in cost.chunks(stride).zip(h) {
            for (highest, &c) in highest.iter_mut().zip(cost) {
                let t = (-inv_eps).mul_add(c, h);
                *highest = if t > *highest { t } else { *highest };
            }
        }
        let mut sums = vec![0f32; lanes];
        for (cost, &h) in cost.chunks(stride).zip(h) {
            for ((sum, &highest), &c) in sums.iter_mut().zip(&highest).zip(cost) {
                *sum += exp((-inv_eps).mul_add(c, h) - highest);
            }
        }
        for ((out, &highest), &sum) in out.iter_mut().zip(&highest).zip(&sums) {
            *out = factor * (highest + ln(sum));
        }
    }
}
