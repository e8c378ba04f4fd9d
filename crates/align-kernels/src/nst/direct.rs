//! Sums of Gaussian kernels between numbers, one pair after another.
//!
//! For few activations, and for those spread over more than
//! [`Binned`](super::witness::Binned) holds.

use cpu_math::math::exp;
use cpu_math::simd_dispatch;

simd_dispatch! {
    /// `sum over y of exp(-(x - y)^2 / (2 s^2))`, and its derivative with respect to `x / s`.
    pub(super) fn kernel_sum(x: f32, ys: &[f32], narrow: f32) -> (f64, f64) {
        const LANES: usize = 32;
        let (mut sums, mut slopes) = ([0.0f32; LANES], [0.0f32; LANES]);
        let mut blocks = ys.chunks_exact(LANES);
        for block in &mut blocks {
            for lane in 0..LANES {
                let gap = (block[lane] - x) * narrow;
                let k = exp(-0.5 * gap * gap);
                sums[lane] += k;
                slopes[lane] = gap.mul_add(k, slopes[lane]);
            }
        }
        for (lane, &y) in blocks.remainder().iter().enumerate() {
            let gap = (y - x) * narrow;
            let k = exp(-0.5 * gap * gap);
            sums[lane] += k;
            slopes[lane] = gap.mul_add(k, slopes[lane]);
        }
        let wide = |lanes: [f32; LANES]| lanes.iter().map(|&sum| f64::from(sum)).sum();
        (wide(sums), wide(slopes))
    }
}

/// Mean of the kernel over all pairs of one set.
pub(super) fn own_term(ys: &[f32], narrow: f32) -> f64 {
    let n = ys.len() as f64;
    ys.iter().map(|&y| kernel_sum(y, ys, narrow).0).sum::<f64>() / (n * n)
}

/// Squared discrepancy between two sets of numbers, given the own term of `ys`; writes the
/// gradient with respect to `xs`.
pub(super) fn discrepancy(
    xs: &[f32],
    ys: &[f32],
    own_y: f64,
    narrow: f32,
    grad: &mut [f32],
) -> f64 {
    let (m, n) = (xs.len() as f64, ys.len() as f64);
    let (mut own, mut cross) = (0.0, 0.0);
    for (&x, grad) in xs.iter().zip(grad) {
        let (sum, slope) = kernel_sum(x, xs, narrow);
        let (cross_sum, cross_slope) = kernel_sum(x, ys, narrow);
        own += sum / m;
        cross += cross_sum / n;
        *grad = (2.0 / m * f64::from(narrow) * (slope / m - cross_slope / n)) as f32;
    }
    own / m + own_y - 2.0 * cross / m
}

/// Adds the gradient of that discrepancy with respect to `ys`.
pub(super) fn add_other_gradient(xs: &[f32], ys: &[f32], narrow: f32, grad: &mut [f64]) {
    let (m, n) = (xs.len() as f64, ys.len() as f64);
    for (&y, grad) in ys.iter().zip(grad) {
        let (own, cross) = (kernel_sum(y, ys, narrow).1, kernel_sum(y, xs, narrow).1);
        *grad += 2.0 / n * f64::from(narrow) * (own / n - cross / m);
    }
}
