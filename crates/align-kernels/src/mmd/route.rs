//! Which way an item goes: the same on every place.

use super::moments;
use super::options::{Estimator, Kernel, Options};

/// How the discrepancy of one item is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Route<'o> {
    /// Value 0, no gradient.
    Nothing,
    /// Quadruples of points.
    LinearTime(&'o Kernel),
    /// Means.
    Linear,
    /// Second moments: the kernel `(x . y + offset)^2`.
    Moments { offset: f64 },
    /// All pairs, by their products.
    Products { degree: u32, offset: f64 },
    /// All pairs, by their distances.
    Distances { bandwidths: &'o [f64] },
}

impl Options {
    /// The route of an item of `n` and `m` points.
    pub(crate) fn route(&self, n: usize, m: usize, width: usize) -> Route<'_> {
        if width == 0 || n.min(m) < self.fewest_points() {
            return Route::Nothing;
        }
        match &self.kernel {
            kernel if self.estimator == Estimator::LinearTime => Route::LinearTime(kernel),
            // The offset of degree 1 cancels.
            Kernel::Linear | Kernel::Polynomial { degree: 1, .. } => Route::Linear,
            &Kernel::Polynomial { degree: 2, offset } if moments::pays(n, m, width) => {
                Route::Moments { offset }
            }
            &Kernel::Polynomial { degree, offset } => Route::Products { degree, offset },
            Kernel::Gaussian { bandwidths } => Route::Distances { bandwidths },
        }
    }
}
