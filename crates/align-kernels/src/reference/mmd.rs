//! Reference maximum mean discrepancy: every pair of points, one after another. Twin of
//! [`mmd`](mod@crate::mmd).

use crate::mmd::{Estimator, Kernel, Options};

/// `k(x, y)` and its derivative with respect to `x`, written to `slope`.
///
/// Every kernel here is symmetric, so that the derivative with respect to `y` is that of
/// `k(y, x)` with respect to its first argument.
pub fn kernel(x: &[f64], y: &[f64], kernel: &Kernel, slope: &mut [f64]) -> f64 {
    let product: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
    match kernel {
        Kernel::Linear => {
            slope.copy_from_slice(y);
            product
        }
        Kernel::Polynomial { degree, offset } => {
            let base = product + offset;
            let outer = f64::from(*degree) * base.powi(*degree as i32 - 1);
            for (slope, y) in slope.iter_mut().zip(y) {
                *slope = outer * y;
            }
            base.powi(*degree as i32)
        }
        Kernel::Gaussian { bandwidths } => {
            let square: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
            let (mut value, mut outer) = (0.0, 0.0);
            for s in bandwidths {
                let k = (-square / (2.0 * s * s)).exp();
                value += k;
                outer -= k / (s * s);
            }
            for ((slope, x), y) in slope.iter_mut().zip(x).zip(y) {
                *slope = outer * (x - y);
            }
            value
        }
    }
}

/// A discrepancy with its gradients.
#[derive(Debug, Clone)]
pub struct Discrepancy {
    /// Estimate of the squared maximum mean discrepancy.
    pub value: f64,
    /// Derivative with respect to `x`: `(N, D)`.
    pub grad_x: Vec<f64>,
    /// Derivative with respect to `y`: `(M, D)`.
    pub grad_y: Vec<f64>,
}

/// Squared maximum mean discrepancy between two clouds.
///
/// ```text
/// biased       sum_ii' k(x_i, x_i') / n^2 + sum_jj' k(y_j, y_j') / m^2 - 2 sum_ij k(x_i, y_j) / (n m)
/// unbiased     the same with i != i' over n (n - 1), and j != j' over m (m - 1)
/// linear time  mean over q < min(n, m) / 2 of
///              k(x_2q, x_2q+1) + k(y_2q, y_2q+1) - k(x_2q, y_2q+1) - k(x_2q+1, y_2q)
/// ```
///
/// A cloud with too few points for the estimator (none, or fewer than two where different points
/// are paired) gives 0 and no gradient.
///
/// # Shapes
///
/// | argument | shape    | meaning                  |
/// |----------|----------|--------------------------|
/// | `x`      | `(N, D)` | row-major                |
/// | `y`      | `(M, D)` | row-major                |
/// | `width`  |          | `D`, at least 1          |
///
/// # Source
///
/// Gretton et al. 2012, JMLR 13:723-773: equations 5 (biased), 3 (unbiased), lemma 14 (linear
/// time).
pub fn mmd(x: &[f64], y: &[f64], width: usize, options: &Options) -> Discrepancy {
    let (n, m) = (x.len() / width, y.len() / width);
    let mut out = Pairs {
        x,
        y,
        width,
        kernel: &options.kernel,
        slope: vec![0.0; width],
        out: Discrepancy { value: 0.0, grad_x: vec![0.0; x.len()], grad_y: vec![0.0; y.len()] },
    };
    if n.min(m) < options.fewest_points() {
        return out.out;
    }
    if options.estimator == Estimator::LinearTime {
        let quadruples = n.min(m) / 2;
        let weight = 1.0 / quadruples as f64;
        for q in 0..quadruples {
            let (even, odd) = (2 * q, 2 * q + 1);
            out.add((Side::X, even), (Side::X, odd), weight);
            out.add((Side::Y, even), (Side::Y, odd), weight);
            out.add((Side::X, even), (Side::Y, odd), -weight);
            out.add((Side::X, odd), (Side::Y, even), -weight);
        }
        return out.out;
    }
    let unbiased = options.estimator == Estimator::Unbiased;
    for (side, count) in [(Side::X, n), (Side::Y, m)] {
        let pairs = if unbiased { count * (count - 1) } else { count * count };
        for i in 0..count {
            for j in 0..count {
                if i != j || !unbiased {
                    out.add((side, i), (side, j), 1.0 / pairs as f64);
                }
            }
        }
    }
    for i in 0..n {
        for j in 0..m {
            out.add((Side::X, i), (Side::Y, j), -2.0 / (n * m) as f64);
        }
    }
    out.out
}

#[derive(Clone, Copy)]
enum Side {
    X,
    Y,
}

/// A sum of kernels of pairs, with its gradient.
struct Pairs<'a> {
    x: &'a [f64],
    y: &'a [f64],
    width: usize,
    kernel: &'a Kernel,
    slope: Vec<f64>,
    out: Discrepancy,
}

impl Pairs<'_> {
    /// Adds `weight * k(a, b)`.
    fn add(&mut self, a: (Side, usize), b: (Side, usize), weight: f64) {
        let points = |side: Side| match side {
            Side::X => self.x,
            Side::Y => self.y,
        };
        let row = |(side, at): (Side, usize)| &points(side)[at * self.width..][..self.width];
        let (p, q) = (row(a), row(b));
        self.out.value += weight * kernel(p, q, self.kernel, &mut self.slope);
        add_slope(&mut self.out, self.width, a, weight, &self.slope);
        kernel(q, p, self.kernel, &mut self.slope);
        add_slope(&mut self.out, self.width, b, weight, &self.slope);
    }
}

fn add_slope(
    out: &mut Discrepancy,
    width: usize,
    (side, at): (Side, usize),
    weight: f64,
    slope: &[f64],
) {
    let grad = match side {
        Side::X => &mut out.grad_x,
        Side::Y => &mut out.grad_y,
    };
    for (grad, slope) in grad[at * width..][..width].iter_mut().zip(slope) {
        *grad += weight * slope;
    }
}

#[cfg(test)]
mod tests {
    use cpu_math::testing::ramp;

    use super::*;

    fn every_option() -> Vec<Options> {
        let kernels = [
            Options::linear(),
            Options::polynomial(2, 0.5),
            Options::polynomial(3, 1.0),
            Options::gaussian(&[0.7, 1.4]),
        ];
        let estimators = [Estimator::Biased, Estimator::Unbiased, Estimator::LinearTime];
        kernels.iter().flat_map(|k| estimators.map(|e| k.clone().with(e))).collect()
    }

    #[test]
    fn gradients_are_the_differences_of_values() {
        let (n, m, width) = (5, 4, 3);
        let (x, y) = (ramp::<f64>(n * width, 1), ramp::<f64>(m * width, 2));
        for options in every_option() {
            let out = mmd(&x, &y, width, &options);
            let check = |grad: &[f64], value: &dyn Fn(usize, f64) -> f64| {
                for (at, &grad) in grad.iter().enumerate() {
                    let step = 1e-5;
                    let slope = (value(at, step) - value(at, -step)) / (2.0 * step);
                    assert!((slope - grad).abs() < 1e-8, "{options:?} {at}: {slope} {grad}");
                }
            };
            let moved = |points: &[f64], at: usize, by: f64| {
                let mut points = points.to_vec();
                points[at] += by;
                points
            };
            check(&out.grad_x, &|at, by| mmd(&moved(&x, at, by), &y, width, &options).value);
            check(&out.grad_y, &|at, by| mmd(&x, &moved(&y, at, by), width, &options).value);
        }
    }

    #[test]
    fn equal_clouds_have_no_discrepancy_and_other_clouds_a_positive_one() {
        let (x, y) = (ramp::<f64>(21, 1), ramp::<f64>(12, 2));
        for options in every_option().iter().filter(|o| o.estimator == Estimator::Biased) {
            assert!(mmd(&x, &x, 3, options).value.abs() < 1e-13);
            assert!(mmd(&x, &y, 3, options).value > 1e-4);
        }
    }

    #[test]
    fn vectors_of_the_reference_notes() {
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 5e-13, "{got}");
        let (a, b) = ([0.1, -0.2, 0.3, 0.4], [0.5, 0.1, -0.3, 0.2]);
        near(mmd(&a, &b, 1, &Options::polynomial(2, 0.0)).value, 0.00050625);
        near(mmd(&a, &b, 1, &Options::linear()).value, 0.000625);
        near(mmd(&a, &b, 1, &Options::gaussian(&[1.0])).value, 0.001024074526);
        let unit = |v: [f64; 4]| {
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            v.map(|v| v / norm)
        };
        near(mmd(&unit(a), &unit(b), 1, &Options::polynomial(2, 0.0)).value, 0.0);
        near(mmd(&unit(a), &unit(b), 1, &Options::gaussian(&[1.0])).value, 0.004137720009);
    }
}
