//! Layer, RMS and group normalisation.
//!
//! ```text
//! y = w (x - mean) rstd + b,   rstd = 1 / sqrt(mean((x - mean)^2) + norm_eps)
//! ```
//!
//! RMS normalisation takes the mean as 0 and has no `b`. With `h = (x - mean) rstd`,
//! `g = w dy` and means over what was normalised together,
//!
//! ```text
//! dx = rstd (g - mean(g) - h mean(g h)),   dw = sum(dy h),   db = sum(dy)
//! ```
//!
//! where RMS normalisation leaves out `mean(g)`.

mod group;
mod rows;

pub(crate) use group::{group_norm, group_norm_backward};
pub(crate) use rows::{norm_rows, norm_rows_backward};

use crate::cpu::reduce::sum_map;
use cpu_math::real::Real;

/// A normalised array with the statistics that its gradient needs, one a row or group.
pub(crate) struct Normalized<T> {
    pub(crate) y: Vec<T>,
    pub(crate) stats: Vec<Stats<T>>,
}

/// Mean (0 for RMS) and reciprocal standard deviation of what was normalised together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats<T> {
    mean: T,
    rstd: T,
}

impl<T: Real> Stats<T> {
    #[inline(always)]
    fn of(x: &[T], norm_eps: T, centred: bool) -> Self {
        let scale = T::ONE / T::from_f64(x.len() as f64);
        let mean = if centred { sum_map(x, |x| x) * scale } else { T::ZERO };
        let variance = sum_map(x, |x| (x - mean) * (x - mean)) * scale;
        Self { mean, rstd: T::ONE / Real::sqrt(variance + norm_eps) }
    }

    #[inline(always)]
    fn normalize(self, x: T) -> T {
        (x - self.mean) * self.rstd
    }
}

/// Gradients of a normalisation, in the shapes of `x`, `weight` and `bias`.
pub(crate) struct NormGradients<T> {
    pub(crate) dx: Vec<T>,
    pub(crate) dweight: Vec<T>,
    pub(crate) dbias: Vec<T>,
}

#[cfg(test)]
mod tests;
