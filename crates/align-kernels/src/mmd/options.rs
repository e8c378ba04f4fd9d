//! Which kernel compares the points, and which estimator of the discrepancy is computed.

use crate::error::{KernelError, Result};

/// Largest degree of a polynomial kernel: beyond it f32 products leave their range.
const MAX_DEGREE: u32 = 16;

/// A positive definite kernel `k(x, y)` between points.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kernel {
    /// `x . y`: the discrepancy is the squared distance between the means.
    Linear,
    /// `(x . y + offset)^degree`.
    Polynomial {
        /// Power, from 1 to 16.
        degree: u32,
        /// Added to every product; at least 0.
        offset: f64,
    },
    /// `sum over s of exp(-|x - y|^2 / (2 s^2))`.
    ///
    /// Up to three bandwidths whose squares lie powers of two apart share one exponential, the
    /// others being its squares: `s, s sqrt(2), 2 s` costs one. Longer chains would lose digits.
    Gaussian {
        /// Each `s`, in the units of the points; one or more, above 0.
        bandwidths: Vec<f64>,
    },
}

/// How a squared discrepancy between distributions is estimated from samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Estimator {
    /// Means over all pairs, a point with itself included. Never negative; 0 for equal samples.
    #[default]
    Biased,
    /// Own terms over pairs of different points. Its mean is the discrepancy, and it may be
    /// negative. Needs two points on either side.
    Unbiased,
    /// A mean over disjoint quadruples `(x_2i, x_2i+1, y_2i, y_2i+1)`: unbiased, noisy, and linear
    /// in the number of points. Needs two points on either side; points beyond the last whole
    /// quadruple take no part.
    LinearTime,
}

/// Options of [`mmd`](fn@crate::mmd::mmd).
///
/// # Examples
///
/// ```
/// use align_kernels::mmd::{Estimator, Options};
///
/// let options = Options::gaussian(&[0.5, 1.0, 2.0]).with(Estimator::Unbiased);
/// assert_eq!(options.estimator, Estimator::Unbiased);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Compares two points.
    pub kernel: Kernel,
    /// Combines what it says.
    pub estimator: Estimator,
}

impl Options {
    /// The biased estimator with a linear kernel.
    pub fn linear() -> Self {
        Self { kernel: Kernel::Linear, estimator: Estimator::Biased }
    }

    /// The biased estimator with the kernel `(x . y + offset)^degree`.
    pub fn polynomial(degree: u32, offset: f64) -> Self {
        Self { kernel: Kernel::Polynomial { degree, offset }, estimator: Estimator::Biased }
    }

    /// The biased estimator with a sum of Gaussian kernels.
    pub fn gaussian(bandwidths: &[f64]) -> Self {
        let kernel = Kernel::Gaussian { bandwidths: bandwidths.to_vec() };
        Self { kernel, estimator: Estimator::Biased }
    }

    /// The same kernel with another estimator.
    pub fn with(self, estimator: Estimator) -> Self {
        Self { estimator, ..self }
    }

    /// Refuses what no kernel is defined for.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.kernel {
            Kernel::Linear => Ok(()),
            Kernel::Polynomial { degree, .. } if !(1..=MAX_DEGREE).contains(degree) => {
                let detail = format!("degree is {degree}, expected 1 to {MAX_DEGREE}");
                Err(KernelError::option("mmd", detail, "2 compares second moments"))
            }
            Kernel::Polynomial { offset, .. } if !(offset.is_finite() && *offset >= 0.0) => {
                let detail = format!("offset is {offset}, expected a finite number of at least 0");
                Err(KernelError::option("mmd", detail, "0 or 1 is usual"))
            }
            Kernel::Polynomial { .. } => Ok(()),
            Kernel::Gaussian { bandwidths } if bandwidths.is_empty() => {
                let detail = "no bandwidths, expected 1 or more".to_string();
                Err(KernelError::option("mmd", detail, "median_bandwidth gives one"))
            }
            Kernel::Gaussian { bandwidths } => match bandwidths.iter().find(|&&s| !usable(s)) {
                Some(s) => {
                    let detail = format!("bandwidth is {s}, expected 1e-15 to 1e15");
                    Err(KernelError::option("mmd", detail, "median_bandwidth gives one"))
                }
                None => Ok(()),
            },
        }
    }

    /// Fewest points on either side for which the estimator says anything.
    pub(crate) fn fewest_points(&self) -> usize {
        match self.estimator {
            Estimator::Biased => 1,
            Estimator::Unbiased | Estimator::LinearTime => 2,
        }
    }
}

/// Whether `1 / s^2` is an ordinary number in f32.
pub(crate) fn usable(bandwidth: f64) -> bool {
    (1e-15..=1e15).contains(&bandwidth)
}
