//! Inner loops of the absorbed iteration.
//!
//! `K = exp((f + g - C) / eps)` is stored row-major. One sweep reads it once: sixteen rows at a time,
//! their products with the column scaling, the new row scalings, and at once the rows' share of the
//! column sums, while the block is still in the first-level cache.

#![expect(clippy::needless_range_loop, reason = "lanes by index become one vector")]

use cpu_math::math::{exp, ln};
use cpu_math::simd_dispatch;

use super::lanes::{LANES, Lanes, flat, flat_mut};

/// Sums below this, or above its inverse, are not trusted: terms near them are lost.
const LEAST_SUM: f32 = 1e-30;

/// How a scaling follows from a sum.
pub(super) trait Rule: Copy + Send + Sync {
    /// The next scaling, from the present one, the sum, and the potential's share of the damping.
    fn next(self, scale: f32, sum: f32, shift: f32) -> f32;
    /// Relative distance of the present scaling from its equation.
    fn residual(self, scale: f32, sum: f32, next: f32) -> f32;
}

/// `1 / sum`: fits the marginal exactly.
#[derive(Clone, Copy)]
pub(super) struct Exact;

impl Rule for Exact {
    #[inline(always)]
    fn next(self, _: f32, sum: f32, _: f32) -> f32 {
        1.0 / sum
    }
    #[inline(always)]
    fn residual(self, scale: f32, sum: f32, _: f32) -> f32 {
        (scale * sum - 1.0).abs()
    }
}

/// `scale (scale sum)^-omega`: past the fit when `omega > 1`, halfway when it is 1/2.
#[derive(Clone, Copy)]
pub(super) struct Relaxed {
    pub omega: f32,
}

impl Rule for Relaxed {
    #[inline(always)]
    fn next(self, scale: f32, sum: f32, _: f32) -> f32 {
        scale * exp(-self.omega * ln(scale * sum))
    }
    #[inline(always)]
    fn residual(self, scale: f32, sum: f32, _: f32) -> f32 {
        (scale * sum - 1.0).abs()
    }
}

/// Unbalanced: the log of the scaling goes to `-damping ln sum - shift`, `omega` of the way.
#[derive(Clone, Copy)]
pub(super) struct Damped {
    pub omega: f32,
    pub damping: f32,
}

impl Rule for Damped {
    #[inline(always)]
    fn next(self, scale: f32, sum: f32, shift: f32) -> f32 {
        let log = ln(scale);
        exp(log + self.omega * (-self.damping * ln(sum) - shift - log))
    }
    #[inline(always)]
    fn residual(self, scale: f32, _: f32, next: f32) -> f32 {
        (next / scale - 1.0).abs() / self.omega
    }
}

/// One side of the plan: weights, damping shifts, scalings, and weights times scalings.
pub(super) struct Scaling<'a> {
    pub weight: &'a [Lanes],
    pub shift: &'a [Lanes],
    pub scale: &'a mut [Lanes],
    pub mass: &'a mut [Lanes],
}

/// What an update saw.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Weighted L1 distance from the equation before the update.
    pub error: f64,
    /// Whether every sum could be trusted.
    pub sound: bool,
    /// Largest `|log2 scale|` after the update.
    pub drift: f32,
}

impl Seen {
    pub fn join(self, other: Self) -> Self {
        Self {
            error: self.error + other.error,
            sound: self.sound && other.sound,
            drift: self.drift.max(other.drift),
        }
    }
}

/// Lane-wise statistics of an update.
struct Watch {
    error: [f32; LANES],
    low_sum: [f32; LANES],
    high_sum: [f32; LANES],
    low: [f32; LANES],
    high: [f32; LANES],
}

impl Watch {
    #[inline(always)]
    fn new() -> Self {
        let one = [1.0; LANES];
        Self { error: [0.0; LANES], low_sum: one, high_sum: one, low: one, high: one }
    }

    fn finish(&self) -> Seen {
        let least = |x: &[f32; LANES]| x.iter().copied().fold(1.0, f32::min);
        let most = |x: &[f32; LANES]| x.iter().copied().fold(1.0, f32::max);
        let error: f64 = self.error.iter().map(|&e| f64::from(e)).sum();
        let sound = error.is_finite()
            && least(&self.low_sum) >= LEAST_SUM
            && most(&self.high_sum) <= 1.0 / LEAST_SUM;
        Seen { error, sound, drift: most(&self.high).log2().max(-least(&self.low).log2()) }
    }
}

#[inline(always)]
fn update_block<R: Rule>(
    rule: R,
    sums: &Lanes,
    (weight, shift): (&Lanes, &Lanes),
    (scale, mass): (&mut Lanes, &mut Lanes),
    watch: &mut Watch,
) {
    // Loops and no closures over arrays: a closure that is not inlined is compiled for the baseline,
    // where every multiply-add is a call.
    let (weight, old, shift) = (weight.0, scale.0, shift.0);
    let mut sum = sums.0;
    for l in 0..LANES {
        sum[l] = if weight[l] > 0.0 { sum[l] } else { 1.0 };
    }
    let mut next = [1.0; LANES];
    for l in 0..LANES {
        let fitted = rule.next(old[l], sum[l], shift[l]);
        next[l] = if weight[l] > 0.0 { fitted } else { 1.0 };
    }
    for l in 0..LANES {
        watch.error[l] += weight[l] * rule.residual(old[l], sum[l], next[l]);
    }
    for l in 0..LANES {
        watch.low_sum[l] = if sum[l] < watch.low_sum[l] { sum[l] } else { watch.low_sum[l] };
        watch.high_sum[l] = if sum[l] > watch.high_sum[l] { sum[l] } else { watch.high_sum[l] };
        watch.low[l] = if next[l] < watch.low[l] { next[l] } else { watch.low[l] };
        watch.high[l] = if next[l] > watch.high[l] { next[l] } else { watch.high[l] };
    }
    scale.0 = next;
    for l in 0..LANES {
        mass.0[l] = weight[l] * next[l];
    }
}

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
    let mut sums = Lanes::splat(1.0);
    for (sum, row) in sums.0.iter_mut().zip(k.chunks_exact(width)) {
        *sum = dot(row, v);
    }
    sums
}

#[inline(always)]
fn axpy_block(k: &[Lanes], width: usize, factors: &Lanes, out: &mut [Lanes]) {
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
    /// New row scalings from `K v`, and the column sums `K' u` that go with them.
    pub(super) fn sweep<R: Rule>(
        rule: R,
        k: &[Lanes],
        v: &[Lanes],
        rows: Scaling<'_>,
        columns: &mut [Lanes],
    ) -> Seen {
        let (width, mut watch) = (v.len(), Watch::new());
        let Scaling { weight, shift, scale, mass } = rows;
        columns.fill(Lanes::splat(0.0));
        for (block, k) in k.chunks(LANES * width).enumerate() {
            let sums = dot_block(k, width, v);
            let given = (&weight[block], &shift[block]);
            update_block(rule, &sums, given, (&mut scale[block], &mut mass[block]), &mut watch);
            axpy_block(k, width, &mass[block], columns);
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
