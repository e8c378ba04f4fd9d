//! How scalings follow from sums, sixteen at a time, and what is watched meanwhile.

#![expect(clippy::needless_range_loop, reason = "lanes by index become one vector")]

use cpu_math::math::{exp, ln};

use super::lanes::{LANES, Lanes};

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
pub(super) struct Watch {
    error: [f32; LANES],
    low_sum: [f32; LANES],
    high_sum: [f32; LANES],
    low: [f32; LANES],
    high: [f32; LANES],
}

impl Watch {
    #[inline(always)]
    pub fn new() -> Self {
        let one = [1.0; LANES];
        Self { error: [0.0; LANES], low_sum: one, high_sum: one, low: one, high: one }
    }

    #[inline(always)]
    pub fn finish(&self) -> Seen {
        let (mut low_sum, mut high_sum) = (self.low_sum, self.high_sum);
        let (mut low, mut high) = (self.low, self.high);
        let mut error = [0f64; LANES];
        for l in 0..LANES {
            error[l] = f64::from(self.error[l]);
        }
        // By halves: one long chain of sums would take as long as a block of rows.
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                error[l] += error[l + half];
                low_sum[l] = low_sum[l].min(low_sum[l + half]);
                high_sum[l] = high_sum[l].max(high_sum[l + half]);
                low[l] = low[l].min(low[l + half]);
                high[l] = high[l].max(high[l + half]);
            }
        }
        let sound =
            error[0].is_finite() && low_sum[0] >= LEAST_SUM && high_sum[0] <= 1.0 / LEAST_SUM;
        Seen { error: error[0], sound, drift: high[0].max(1.0 / low[0]).log2() }
    }
}

/// Updates sixteen scalings from their sums.
#[inline(always)]
pub(super) fn update_block<R: Rule>(
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
