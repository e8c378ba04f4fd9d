//! Clouds of points, alone or packed into ragged batches.

use std::borrow::Cow;

use cpu_math::number::Number;
use half::{bf16, f16};
use ndarray::{Array2, ArrayView2};

use crate::error::{KernelError, Result};
use crate::place::{Cloud, Host, Place};

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

/// `B` clouds of their own lengths, packed one after another: nothing is padded.
///
/// Item `k` is the rows `offsets[k]..offsets[k + 1]` (`cu_seqlens` of attention kernels); it may be
/// empty. `P` says where the points are: on the [`Host`], unless they are
/// `DevicePoints` on a `Gpu`.
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use ndarray::Array2;
///
/// let rows = Array2::<f32>::zeros((5, 3));
/// let batch = Ragged::new(rows.view().into(), &[0, 2, 5])?; // two points, then three
/// assert_eq!((batch.items(), batch.range(1)), (2, 2..5));
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ragged<'a, P: Place = Host> {
    points: P::Points<'a>,
    offsets: Cow<'a, [usize]>,
}

impl<'a> Ragged<'a> {
    /// Packs the rows of `points` into items.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) unless `offsets` starts at 0, never falls, and ends at the
    /// number of points.
    pub fn new(points: Points<'a>, offsets: &'a [usize]) -> Result<Self> {
        Self::pack(points, offsets)
    }

    /// A batch of one item.
    pub fn single(points: Points<'a>) -> Self {
        Self::alone(points)
    }
}

impl<'a, P: Place> Ragged<'a, P> {
    pub(crate) fn pack(points: P::Points<'a>, offsets: &'a [usize]) -> Result<Self> {
        let n = points.count();
        let complaint = if offsets.first() != Some(&0) {
            format!("offsets start with {:?}, expected 0", offsets.first())
        } else if let Some(k) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            format!("offsets fall from {} to {} at item {k}", offsets[k], offsets[k + 1])
        } else if offsets.last() != Some(&n) {
            format!("offsets end with {:?}, expected the {n} points", offsets.last())
        } else {
            return Ok(Self { points, offsets: Cow::Borrowed(offsets) });
        };
        Err(KernelError::shape("ragged", complaint))
    }

    pub(crate) fn alone(points: P::Points<'a>) -> Self {
        let offsets = vec![0, points.count()];
        Self { points, offsets: Cow::Owned(offsets) }
    }

    /// Number of items, `B`.
    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of item `k`.
    pub fn range(&self, k: usize) -> std::ops::Range<usize> {
        self.offsets[k]..self.offsets[k + 1]
    }

    /// Where items start, and where the last one ends: `(B + 1,)`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// All points.
    pub fn points(&self) -> P::Points<'a> {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn wrong_offsets_are_named() {
        let rows = Array2::<f32>::zeros((4, 2));
        for (offsets, text) in [
            (&[][..], "ragged: offsets start with None, expected 0"),
            (&[1, 4], "ragged: offsets start with Some(1), expected 0"),
            (&[0, 3, 2, 4], "ragged: offsets fall from 3 to 2 at item 1"),
            (&[0, 3], "ragged: offsets end with Some(3), expected the 4 points"),
            (&[0, 5], "ragged: offsets end with Some(5), expected the 4 points"),
        ] {
            let error = Ragged::new(rows.view().into(), offsets).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::Shape));
        }
    }

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

    #[test]
    fn empty_items_and_single_clouds_are_batches() {
        let rows = Array2::<f32>::zeros((2, 1));
        let batch = Ragged::new(rows.view().into(), &[0, 0, 2, 2]).unwrap();
        assert_eq!((batch.items(), batch.range(0), batch.range(2)), (3, 0..0, 2..2));
        let single = Ragged::single(rows.view().into());
        assert_eq!((single.items(), single.offsets()), (1, &[0, 2][..]));
    }
}
