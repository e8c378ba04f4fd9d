//! Shapes, strides and broadcasting.

use crate::error::{Error, Result};

/// How a view reads its storage: element `(i0, i1, ..)` is at `offset + sum(i_d * strides[d])`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    /// In elements; 0 along a broadcast dimension.
    pub(crate) strides: Vec<usize>,
    pub(crate) offset: usize,
}

impl Layout {
    /// Row-major layout from the start of a storage.
    pub(crate) fn contiguous(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), strides: row_major(shape), offset: 0 }
    }

    pub(crate) fn elem_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements are in row-major order without gaps, from `offset` on.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if extent != 1 && stride != expected {
                return self.elem_count() == 0;
            }
            expected *= extent;
        }
        true
    }

    /// How far the items along the first dimension lie apart, when each of them is row-major
    /// without gaps.
    pub(crate) fn item_stride(&self) -> Option<usize> {
        let (&stride, rest) = self.strides.split_first()?;
        let item = Self { shape: self.shape[1..].to_vec(), strides: rest.to_vec(), offset: 0 };
        item.is_contiguous().then_some(stride)
    }

    /// The same elements with extents of 1 repeated up to `shape`.
    pub(crate) fn broadcast_to(&self, shape: &[usize], op: &str) -> Result<Self> {
        let fail = || {
            Error::shape(op, format!("cannot broadcast {:?} to {shape:?}", self.shape))
                .with_hint("extents must be equal or 1, aligned at the last dimension")
        };
        let lead = shape.len().checked_sub(self.shape.len()).ok_or_else(fail)?;
        let mut strides = vec![0; lead];
        for ((&extent, &stride), &target) in
            self.shape.iter().zip(&self.strides).zip(&shape[lead..])
        {
            if extent == target {
                strides.push(stride);
            } else if extent == 1 {
                strides.push(0);
            } else {
                return Err(fail());
            }
        }
        Ok(Self { shape: shape.to_vec(), strides, offset: self.offset })
    }

    /// The same elements under another shape, when no copy is needed for it.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Option<Self> {
        self.is_contiguous().then(|| Self { offset: self.offset, ..Self::contiguous(shape) })
    }
}

/// The product of extents that come from a caller or a file.
///
/// Extents of 0 do not excuse the others, whose product is a stride; and elements of 8 bytes must
/// fit in one allocation.
pub(crate) fn checked_count(shape: &[usize], op: &str) -> Result<usize> {
    let fits = shape
        .iter()
        .try_fold(1usize, |count, &extent| count.checked_mul(extent.max(1)))
        .is_some_and(|count| count <= isize::MAX as usize / size_of::<f64>());
    if !fits {
        return Err(Error::shape(op, format!("{shape:?} has more elements than memory")));
    }
    Ok(shape.iter().product())
}

/// Row-major strides, in elements.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// The shape two operands broadcast to, aligned at the last dimension as in NumPy.
pub(crate) fn broadcast_shape(a: &[usize], b: &[usize], op: &str) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], d: usize| {
        (d + shape.len()).checked_sub(rank).map_or(1, |index| shape[index])
    };
    (0..rank)
        .map(|d| match (at(a, d), at(b, d)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Error::shape(op, format!("{a:?} and {b:?} do not broadcast"))
                .with_hint("extents must be equal or 1, aligned at the last dimension")),
        })
        .collect()
}

/// Resolves a possibly negative dimension; -1 is the last.
pub(crate) fn resolve_dim(dim: isize, rank: usize, op: &str) -> Result<usize> {
    let resolved = if dim < 0 { dim + rank as isize } else { dim };
    if resolved < 0 || resolved >= rank as isize {
        return Err(Error::shape(op, format!("dimension {dim} of a tensor of rank {rank}")));
    }
    Ok(resolved as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast_shape(&[5, 1, 4], &[3, 1], "t").unwrap(), [5, 3, 4]);
        assert_eq!(broadcast_shape(&[], &[2], "t").unwrap(), [2]);
        let error = broadcast_shape(&[2, 3], &[4], "add").unwrap_err();
        assert!(error.to_string().starts_with("add: [2, 3] and [4] do not broadcast"), "{error}");
    }

    #[test]
    fn extents_of_one_never_break_contiguity() {
        let layout = Layout { shape: vec![2, 1, 3], strides: vec![3, 77, 1], offset: 0 };
        assert!(layout.is_contiguous());
        let column = Layout { shape: vec![3, 2], strides: vec![1, 3], offset: 0 };
        assert!(!column.is_contiguous());
    }

    #[test]
    fn items_may_lie_apart_when_each_has_no_gaps() {
        let cache = Layout { shape: vec![2, 3, 4], strides: vec![40, 4, 1], offset: 8 };
        assert_eq!((cache.is_contiguous(), cache.item_stride()), (false, Some(40)));
        let column = Layout { shape: vec![2, 3, 4], strides: vec![4, 8, 1], offset: 0 };
        assert_eq!(column.item_stride(), None);
        assert_eq!(Layout::contiguous(&[]).item_stride(), None);
    }

    #[test]
    fn extents_beyond_memory_are_refused_even_beside_a_zero() {
        assert_eq!(checked_count(&[], "t").unwrap(), 1);
        assert_eq!(checked_count(&[3, 0, 5], "t").unwrap(), 0);
        for shape in [&[usize::MAX, 2][..], &[0, usize::MAX, 2], &[usize::MAX / 8]] {
            let error = checked_count(shape, "zeros").unwrap_err().to_string();
            assert_eq!(error, format!("zeros: {shape:?} has more elements than memory"));
        }
    }

    #[test]
    fn negative_dimensions_count_from_the_end() {
        assert_eq!(resolve_dim(-1, 3, "t").unwrap(), 2);
        assert!(resolve_dim(3, 3, "t").is_err());
        assert!(resolve_dim(-1, 0, "t").is_err());
    }
}
