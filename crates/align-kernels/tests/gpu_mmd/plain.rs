//! The yardstick: the plain loop over pairs in f32, and what rounding to bf16 may move.

use align_kernels::mmd::{Estimator, Kernel, Options};

/// Value and gradients of one item, everything in f32.
pub fn mmd(x: &[f32], y: &[f32], width: usize, options: &Options) -> (f32, Vec<f32>, Vec<f32>) {
    let (mut value, mut grad) = (0.0f32, vec![0.0f32; x.len() + y.len()]);
    for_each_pair(x, y, width, options, |(i, a), (j, b), weight| {
        let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        // Slope by the other point, and by the difference to it.
        let (k, of_other, of_gap) = match &options.kernel {
            Kernel::Linear => (product, 1.0, 0.0),
            Kernel::Polynomial { degree, offset } => {
                let base = product + *offset as f32;
                let below = base.powi(*degree as i32 - 1);
                (below * base, *degree as f32 * below, 0.0)
            }
            Kernel::Gaussian { bandwidths } => {
                let square: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                bandwidths.iter().fold((0.0, 0.0, 0.0), |(k, _, slope), &s| {
                    let s = s as f32;
                    let e = (-square / (2.0 * s * s)).exp();
                    (k + e, 0.0, slope + e / (s * s))
                })
            }
            _ => unreachable!("no other kernel"),
        };
        value += weight * k;
        for d in 0..width {
            grad[i * width + d] += weight * (of_other * b[d] + of_gap * (b[d] - a[d]));
            grad[j * width + d] += weight * (of_other * a[d] + of_gap * (a[d] - b[d]));
        }
    });
    let grad_y = grad.split_off(x.len());
    (value, grad, grad_y)
}

/// Calls with both points, among `x` then `y`, and the weight of each pair that counts.
fn for_each_pair(
    x: &[f32],
    y: &[f32],
    width: usize,
    options: &Options,
    mut each: impl FnMut((usize, &[f32]), (usize, &[f32]), f32),
) {
    let (n, m) = (x.len() / width, y.len() / width);
    let all = [x, y].concat();
    let point = |i: usize| (i, &all[i * width..(i + 1) * width]);
    let mut add = |i: usize, j: usize, weight: f32| each(point(i), point(j), weight);
    let fewest = if options.estimator == Estimator::Biased { 1 } else { 2 };
    if n.min(m) < fewest {
        return;
    }
    if options.estimator == Estimator::LinearTime {
        let count = n.min(m) / 2;
        for q in 0..count {
            let ((x0, x1), (y0, y1)) = ((2 * q, 2 * q + 1), (n + 2 * q, n + 2 * q + 1));
            let weight = 1.0 / count as f32;
            for (i, j, sign) in [(x0, x1, 1.0), (y0, y1, 1.0), (x0, y1, -1.0), (x1, y0, -1.0)] {
                add(i, j, sign * weight);
            }
        }
        return;
    }
    let unbiased = options.estimator == Estimator::Unbiased;
    for (first, count) in [(0, n), (n, m)] {
        let pairs = if unbiased { count * (count - 1) } else { count * count };
        for i in first..first + count {
            for j in (first..first + count).filter(|&j| i != j || !unbiased) {
                add(i, j, 1.0 / pairs as f32);
            }
        }
    }
    (0..n).for_each(|i| (n..n + m).for_each(|j| add(i, j, -2.0 / (n * m) as f32)));
}

/// The largest sum of absolute terms of an element of the gradient. What products are made with is
/// rounded to bf16 once, half a unit in its ninth place: that part of it may go astray.
pub fn absolute_terms(x: &[f32], y: &[f32], width: usize, options: &Options) -> f64 {
    let mut sums = vec![0.0f64; x.len() + y.len()];
    for_each_pair(x, y, width, options, |(i, a), (j, b), weight| {
        let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        let square: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
        for d in 0..width {
            let (by_a, by_b) = match &options.kernel {
                Kernel::Polynomial { degree, offset } => {
                    let base = (product + *offset as f32).abs();
                    let slope = *degree as f32 * base.powi(*degree as i32 - 1);
                    (slope * b[d].abs(), slope * a[d].abs())
                }
                Kernel::Gaussian { bandwidths } => {
                    let slope: f32 = bandwidths
                        .iter()
                        .map(|&s| s as f32)
                        .map(|s| (-square / (2.0 * s * s)).exp() / (s * s))
                        .sum();
                    let pull = slope * (a[d] - b[d]).abs();
                    (pull, pull)
                }
                _ => (0.0, 0.0),
            };
            sums[i * width + d] += f64::from(weight.abs() * by_a);
            sums[j * width + d] += f64::from(weight.abs() * by_b);
        }
    });
    sums.into_iter().fold(0.0, f64::max)
}
