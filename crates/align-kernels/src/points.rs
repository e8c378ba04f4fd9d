//! A cloud of points on the host.

use std::borrow::Cow;

use cpu_math::number::Number;
use half::{bf16, f16};
use ndarray::{Array2, ArrayView2};

/// `N` points of width `D`, in the caller's precision.
///
/// The view may have any strides; kernels that need rows in one piece copy it once.
#[derive(Debug, Clone, Copy)]
pub enum Points<'a> {
    /// Single precision.
    F32(ArrayView2<'a, f32>),
    /// bfloat16: widened exactly, so that norms and products see one cloud.
    BF16(ArrayView2<'a, bf16>),
    /// IEEE half: as bfloat16.
    F16(ArrayView2<'a, f16>),
}

impl<'a> Points<'a> {
    /// Number of points, `N`.
    pub fn count(&self) -> usize {
        match self {
            Self::F32(view) => view.nrows(),
            Self::BF16(view) => view.nrows(),
            Self::F16(view) => view.nrows(),
        }
    }

    /// Extent of a point, `D`.
    pub fn width(&self) -> usize {
        match self {
            Self::F32(view) => view.ncols(),
            Self::BF16(view) => view.ncols(),
            Self::F16(view) => view.ncols(),
        }
    }

    /// The points as rows of f32 in one piece, borrowed where they already are.
    pub fn to_f32(&self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(view) => match view.to_slice() {
                Some(slice) => Cow::Borrowed(slice),
                None => Cow::Owned(view.iter().copied().collect()),
            },
            Self::BF16(view) => Cow::Owned(view.iter().map(|x| x.to_f32()).collect()),
            Self::F16(view) => Cow::Owned(view.iter().map(|x| x.to_f32()).collect()),
        }
    }

    /// The points as f64, for the references.
    pub fn to_f64(&self) -> Array2<f64> {
        match self {
            Self::F32(view) => view.mapv(f64::from),
            Self::BF16(view) => view.mapv(Number::to_f64),
            Self::F16(view) => view.mapv(Number::to_f64),
        }
    }
}

impl<'a> From<ArrayView2<'a, f32>> for Points<'a> {
    fn from(view: ArrayView2<'a, f32>) -> Self {
        Self::F32(view)
    }
}

impl<'a> From<ArrayView2<'a, bf16>> for Points<'a> {
    fn from(view: ArrayView2<'a, bf16>) -> Self {
        Self::BF16(view)
    }
}

impl<'a> From<ArrayView2<'a, f16>> for Points<'a> {
    fn from(view: ArrayView2<'a, f16>) -> Self {
        Self::F16(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_and_half_points_come_out_as_rows_of_f32() {
        let columns = Array2::from_shape_fn((3, 2), |(i, j)| (i * 10 + j) as f32);
        let turned = columns.t();
        assert_eq!(Points::from(turned).to_f32()[..], [0.0, 10.0, 20.0, 1.0, 11.0, 21.0]);
        let half = columns.mapv(bf16::from_f32);
        assert_eq!(Points::from(half.view()).to_f32()[..], [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        let half = columns.mapv(f16::from_f32);
        assert_eq!(Points::from(half.view()).to_f64()[[2, 1]], 21.0);
    }
}
