//! Ragged batches of clouds.

use std::borrow::Cow;

use crate::error::{KernelError, Result};
use crate::place::{Cloud, Host, Place};
use crate::points::Points;

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
    use ndarray::Array2;

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
    fn empty_items_and_single_clouds_are_batches() {
        let rows = Array2::<f32>::zeros((2, 1));
        let batch = Ragged::new(rows.view().into(), &[0, 0, 2, 2]).unwrap();
        assert_eq!((batch.items(), batch.range(0), batch.range(2)), (3, 0..0, 2..2));
        let single = Ragged::single(rows.view().into());
        assert_eq!((single.items(), single.offsets()), (1, &[0, 2][..]));
    }
}
