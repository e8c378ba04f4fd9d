//! Inner loops of the absorbed iteration.
//!
//! `K = exp((f + g - C) / eps)` is stored row-major. One sweep reads it once: sixteen rows at a time,
//! their products with the column scaling, the new row scalings, and at once the rows' share of the
//! column sums, while the block is still in the first-level cache.

#![expect(clippy::needless_range_loop, reason = "lanes by index become one vector")]

#[cfg(target_arch = "x86_64")]
use cpu_math::dispatch::{Isa, isa};
use cpu_math::math::exp;
use cpu_math::simd_dispatch;

use super::lanes::{LANES, Lanes, flat, flat_mut};
use super::scaling::{Rule, Scaling, Seen, Watch, update_block};
#[cfg(target_arch = "x86_64")]
use super::strips;

/// Most vectors of a row of which two blocks of sixteen fit in the first-level cache.
const NEAR: usize = 24;

/// Product of a row of `k` with `v`. Row by row, in sums as wide as four vectors: sums of several rows at
/// once would be vectorised across the rows.
#[inline(always)]
fn dot(k: &[Lanes], v: &[Lanes]) -> f32 {
    const WIDE: usize = 4 * LANES;
    let (k, k_rest) = flat(k).as_chunks::<WIDE>();
    let (v, v_rest) = flat(v).as_chunks::<WIDE>();
    let mut sums = [0f32; WIDE];
    for (k, v) in k.iter().zip(v) {
        for l in 0..WIDE {
            sums[l] = k[l].mul_add(v[l], sums[l]);
        }
    }
    for ((sum, k), v) in sums.iter_mut().zip(k_rest).zip(v_rest) {
        *sum = k.mul_add(*v, *sum);
    }
    let mut lanes = Lanes([0.0; LANES]);
    for l in 0..LANES {
        lanes.0[l] = (sums[l] + sums[l + LANES]) + (sums[l + 2 * LANES] + sums[l + 3 * LANES]);
    }
    lanes.sum()
}

/// Adds four rows of `k`, each times its factor, to `out`. Over flat slices: a loop over vectors would
/// be vectorised across them.
#[inline(always)]
fn axpy_four(k: &[Lanes], width: usize, factors: &[f32; 4], out: &mut [Lanes]) {
    let (k0, k) = k.split_at(width);
    let (k1, k) = k.split_at(width);
    let (k2, k3) = k.split_at(width);
    let (k0, k1, k2, k3) = (flat(k0), flat(k1), flat(k2), flat(k3));
    let out = &mut flat_mut(out)[..k0.len()];
    let [f0, f1, f2, f3] = *factors;
    for ((((out, k0), k1), k2), k3) in out.iter_mut().zip(k0).zip(k1).zip(k2).zip(k3) {
        *out = k3.mul_add(f3, k2.mul_add(f2, k1.mul_add(f1, k0.mul_add(f0, *out))));
    }
}

#[inline(always)]
fn axpy_one(k: &[Lanes], factor: f32, out: &mut [Lanes]) {
    for (out, k) in flat_mut(out).iter_mut().zip(flat(k)) {
        *out = k.mul_add(factor, *out);
    }
}

/// Products of up to sixteen rows of `k` with `v`; 1 in lanes without a row.
#[inline(always)]
fn dot_block(k: &[Lanes], width: usize, v: &[Lanes]) -> Lanes {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        // SAFETY: the machine has AVX-512.
        return unsafe { strips::dot_block(k, width, v) };
    }
    let mut sums = Lanes::splat(1.0);
    for (sum, row) in sums.0.iter_mut().zip(k.chunks_exact(width)) {
        *sum = dot(row, v);
    }
    sums
}

/// Adds up to sixteen rows of `k`, each times its factor, to `out`. `ahead` is how many vectors further on
/// the next rows are, where they come from memory.
#[inline(always)]
fn axpy_block(k: &[Lanes], width: usize, factors: &Lanes, ahead: Option<isize>, out: &mut [Lanes]) {
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        // SAFETY: the machine has AVX-512.
        return unsafe {
            match ahead {
                Some(ahead) => strips::axpy_block::<true>(k, factors, ahead, out),
                None => strips::axpy_block::<false>(k, factors, 0, out),
            }
        };
    }
    let _ = ahead;
    let fours = k.chunks_exact(4 * width);
    let rest = fours.remainder();
    let mut at = 0;
    for four in fours {
        let f = &factors.0[at..at + 4];
        axpy_four(four, width, &[f[0], f[1], f[2], f[3]], out);
        at += 4;
    }
    for one in rest.chunks_exact(width) {
        axpy_one(one, factors.0[at], out);
        at += 1;
    }
}

simd_dispatch! {
    /// New row scalings from `K v`, and the column sums `K' u` that go with them; the last rows first
    /// where `backwards` says so.
    pub(super) fn sweep<R: Rule>(
        rule: R,
        backwards: bool,
        k: &[Lanes],
        v: &[Lanes],
        rows: Scaling<'_>,
        columns: &mut [Lanes],
    ) -> Seen {
        let (width, mut watch) = (v.len(), Watch::new());
        let Scaling { weight, shift, scale, mass } = rows;
        columns.fill(Lanes::splat(0.0));
        let (is_far, blocks) = (width > NEAR, scale.len());
        let step = (LANES * width) as isize;
        let ahead = is_far.then_some(if backwards { -step } else { step });
        let at = |i: usize| if backwards { blocks - 1 - i } else { i };
        let rows_of = |i: usize| {
            let start = at(i) * LANES * width;
            &k[start..k.len().min(start + LANES * width)]
        };
        let mut sums = Lanes::splat(1.0);
        for i in 0..blocks {
            if i == 0 || is_far {
                sums = dot_block(rows_of(i), width, v);
            }
            let block = at(i);
            let given = (&weight[block], &shift[block]);
            update_block(rule, &sums, given, (&mut scale[block], &mut mass[block]), &mut watch);
            // The next products hide the latency of the update, where both blocks fit in the
            // first-level cache.
            if !is_far && i + 1 < blocks {
                sums = dot_block(rows_of(i + 1), width, v);
            }
            axpy_block(rows_of(i), width, &mass[block], ahead, columns);
        }
        watch.finish()
    }

    /// New scalings from given sums.
    pub(super) fn update<R: Rule>(rule: R, sums: &[Lanes], side: Scaling<'_>) -> Seen {
        let mut watch = Watch::new();
        let Scaling { weight, shift, scale, mass } = side;
        for block in 0..sums.len() {
            let given = (&weight[block], &shift[block]);
            let slots = (&mut scale[block], &mut mass[block]);
            update_block(rule, &sums[block], given, slots, &mut watch);
        }
        watch.finish()
    }

    /// `K v`, one lane a row.
    pub(super) fn row_sums(k: &[Lanes], v: &[Lanes], out: &mut [Lanes]) -> () {
        let width = v.len();
        for (k, out) in k.chunks(LANES * width).zip(out) {
            *out = dot_block(k, width, v);
        }
    }

    /// `K = exp((f + g - C) / eps)`; adds `K' a` to `columns`.
    pub(super) fn absorb(
        cost: &[Lanes],
        f: &[Lanes],
        g: &[Lanes],
        a: &[Lanes],
        inv_eps: f32,
        kernel: &mut [Lanes],
        columns: &mut [Lanes],
    ) -> () {
        let width = g.len();
        let columns = &mut columns[..width];
        let rows = cost.chunks_exact(width).zip(kernel.chunks_exact_mut(width));
        for ((cost, kernel), (&f, &a)) in rows.zip(flat(f).iter().zip(flat(a))) {
            let slots = flat_mut(kernel).iter_mut().zip(flat_mut(columns));
            for (((kernel, sum), g), c) in slots.zip(flat(g)).zip(flat(cost)) {
                *kernel = exp((f + g - c) * inv_eps);
                *sum = kernel.mul_add(a, *sum);
            }
        }
    }

    /// The plan, its row sums and `sum P ln(P / ab)`; adds its column sums to `columns`.
    pub(super) fn plan(
        cost: &[Lanes],
        f: &[Lanes],
        g: &[Lanes],
        weights: (&[Lanes], &[Lanes]),
        inv_eps: f32,
        plan: &mut [Lanes],
        columns: &mut [Lanes],
    ) -> (Vec<f32>, f64) {
        let width = g.len();
        let (a, b, columns) = (weights.0, &weights.1[..width], &mut columns[..width]);
        let mut sums = Vec::with_capacity(cost.len() / width);
        let mut entropy = 0.0;
        let rows = cost.chunks_exact(width).zip(plan.chunks_exact_mut(width));
        for ((cost, plan), (&f, &a)) in rows.zip(flat(f).iter().zip(flat(a))) {
            let (mut row, mut log) = ([0f32; LANES], [0f32; LANES]);
            for j in 0..width {
                for l in 0..LANES {
                    let t = (f + g[j].0[l] - cost[j].0[l]) * inv_eps;
                    let p = exp(t) * (a * b[j].0[l]);
                    plan[j].0[l] = p;
                    row[l] += p;
                    log[l] += if p == 0.0 { 0.0 } else { p * t };
                    columns[j].0[l] += p;
                }
            }
            sums.push(Lanes(row).sum());
            entropy += f64::from(Lanes(log).sum());
        }
        (sums, entropy)
    }

    /// Row sums of `exp((f + g - C) / eps) b`; adds the column sums weighted by `a` to `columns`.
    pub(super) fn joint_sums(
        cost: &[Lanes],
        f: &[Lanes],
        g: &[Lanes],
        weights: (&[Lanes], &[Lanes]),
        inv_eps: f32,
        columns: &mut [Lanes],
    ) -> Vec<Lanes> {
        let width = g.len();
        let (a, b, columns) = (weights.0, &weights.1[..width], &mut columns[..width]);
        let mut sums = vec![Lanes::splat(0.0); a.len()];
        let ends = flat(f).iter().zip(flat(a));
        for (i, (cost, (&f, &a))) in cost.chunks_exact(width).zip(ends).enumerate() {
            let mut row = [0f32; LANES];
            for j in 0..width {
                for l in 0..LANES {
                    let e = exp((f + g[j].0[l] - cost[j].0[l]) * inv_eps);
                    row[l] = e.mul_add(b[j].0[l], row[l]);
                    columns[j].0[l] = e.mul_add(a, columns[j].0[l]);
                }
            }
            sums[i / LANES].0[i % LANES] = Lanes(row).sum();
        }
        sums
    }
}

/// Sums of a plan: over each row, over each column, and of `P ln(P / ab)`.
pub(super) struct PlanSums {
    pub rows: Vec<f32>,
    pub columns: Vec<f32>,
    pub entropy: f64,
}
