//! Matrices in device memory, borrowed.

use bytemuck::Pod;
use gpu_runtime::{BlasElement, DeviceSlice, DeviceSliceMut, MapElement};
use half::bf16;

use crate::error::{MathError, Result};

/// Extents and strides are below this, so that kernels count elements and bytes of a row in 32 bits.
const MOST: usize = 1 << 30;

/// Bytes that kernels on tensor cores copy at once.
const PIECE: usize = 16;

/// What matrices are made of: f32 or bf16. No other type implements this.
pub trait Element: Pod + BlasElement + MapElement + sealed::Sealed {}

pub(crate) mod sealed {
    /// What the kernels must know of an element.
    pub trait Sealed {
        /// Whether it is bf16.
        const IS_BF16: bool;
    }
}

impl sealed::Sealed for f32 {
    const IS_BF16: bool = false;
}

impl sealed::Sealed for bf16 {
    const IS_BF16: bool = true;
}

impl Element for f32 {}
impl Element for bf16 {}

/// A matrix, or a batch of equal ones, to read: `rows x cols`, row-major, rows a stride apart.
///
/// What lies between the rows is never read.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T: Element> {
    pub(crate) values: DeviceSlice<'a, T>,
    pub(crate) form: Form,
    /// Stored as the transpose of what it stands for.
    pub(crate) is_turned: bool,
}

/// A matrix, or a batch of equal ones, to write.
#[derive(Debug)]
pub struct MatrixMut<'a, T: Element> {
    pub(crate) values: DeviceSliceMut<'a, T>,
    pub(crate) form: Form,
}

/// Extents as stored, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    /// Matrices of the batch, and elements from one to the next.
    pub count: usize,
    pub step: usize,
}

impl<'a, T: Element> Matrix<'a, T> {
    /// `rows` rows of `cols` elements, `stride` elements from one row to the next.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) for a stride below `cols`, an extent of 2^30 or more, and
    /// rows past the last value.
    pub fn new(
        values: impl Into<DeviceSlice<'a, T>>,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Result<Self> {
        Self::batch(values, [1, rows, cols], stride, 0)
    }

    /// A batch of `[count, rows, cols]`: matrix `i` starts at `i * step`. With a step of 0 all are one.
    ///
    /// # Errors
    ///
    /// As [`Matrix::new`].
    pub fn batch(
        values: impl Into<DeviceSlice<'a, T>>,
        [count, rows, cols]: [usize; 3],
        stride: usize,
        step: usize,
    ) -> Result<Self> {
        let values = values.into();
        let form = Form { rows, cols, stride, count, step };
        form.check(values.len())?;
        Ok(Self { values, form, is_turned: false })
    }

    /// Its transpose: a view, nothing moves.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { is_turned: !self.is_turned, ..self }
    }

    /// Rows of what it stands for.
    pub fn rows(&self) -> usize {
        if self.is_turned { self.form.cols } else { self.form.rows }
    }

    /// Columns of what it stands for.
    pub fn cols(&self) -> usize {
        if self.is_turned { self.form.rows } else { self.form.cols }
    }

    /// Matrices of the batch.
    pub fn count(&self) -> usize {
        self.form.count
    }

    /// Whether every row of every matrix starts at a multiple of 16 bytes.
    pub(crate) fn is_aligned(&self) -> bool {
        let Form { stride, step, count, .. } = self.form;
        let apart = |elements: usize| (elements * size_of::<T>()).is_multiple_of(PIECE);
        let starts = self.values.address().is_multiple_of(PIECE as u64);
        starts && apart(stride) && (count <= 1 || apart(step))
    }
}

impl<'a, T: Element> MatrixMut<'a, T> {
    /// As [`Matrix::new`].
    ///
    /// # Errors
    ///
    /// As [`Matrix::new`].
    pub fn new(
        values: impl Into<DeviceSliceMut<'a, T>>,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Result<Self> {
        Self::batch(values, [1, rows, cols], stride, 0)
    }

    /// As [`Matrix::batch`], for matrices that do not share rows.
    ///
    /// # Errors
    ///
    /// As [`Matrix::new`], and for a step that lets two matrices meet.
    pub fn batch(
        values: impl Into<DeviceSliceMut<'a, T>>,
        [count, rows, cols]: [usize; 3],
        stride: usize,
        step: usize,
    ) -> Result<Self> {
        let values = values.into();
        let form = Form { rows, cols, stride, count, step };
        form.check(values.len())?;
        // Checked: one matrix ends inside the values.
        let extent = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        if count > 1 && step < extent {
            let detail = format!("matrices {step} elements apart, expected at least {extent}");
            return Err(MathError::shape("matrix", detail).hint("each output has its own place"));
        }
        Ok(Self { values, form })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.form.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.form.cols
    }
}

impl Form {
    /// Refuses what does not lie inside `len` values.
    fn check(&self, len: usize) -> Result<()> {
        let Form { rows, cols, stride, count, step } = *self;
        for (what, value) in [("rows", rows), ("cols", cols), ("stride", stride)] {
            if value >= MOST {
                let detail = format!("{what} is {value}, expected below {MOST}");
                return Err(MathError::shape("matrix", detail));
            }
        }
        if stride < cols {
            let detail = format!("rows of {cols} elements {stride} apart, expected no overlap");
            return Err(MathError::shape("matrix", detail).hint("the stride counts elements"));
        }
        let last = count.saturating_sub(1).checked_mul(step);
        let end = match rows.min(cols).min(count) {
            0 => Some(0),
            _ => last.and_then(|last| last.checked_add((rows - 1) * stride + cols)),
        };
        if end.is_none_or(|end| end > len) {
            let detail = format!(
                "{len} values, expected {count} x {rows} x {cols} with rows {stride} and matrices \
                 {step} apart"
            );
            return Err(MathError::shape("matrix", detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn values(len: usize) -> DeviceSlice<'static, f32> {
        // SAFETY: no test below lets a device touch the address.
        unsafe { DeviceSlice::from_raw(0x1000, len) }
    }

    #[test]
    fn a_view_turns_rows_and_columns_over() {
        let matrix = Matrix::new(values(13), 2, 5, 8).unwrap();
        assert_eq!((matrix.rows(), matrix.cols()), (2, 5));
        let turned = matrix.transposed();
        assert_eq!((turned.rows(), turned.cols(), turned.form), (5, 2, matrix.form));
        assert!(!turned.transposed().is_turned);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fits = |len, rows, cols, stride| Matrix::new(values(len), rows, cols, stride);
        fits(0, 0, 5, 5).unwrap();
        fits(0, 7, 0, 0).unwrap();
        for (len, rows, cols, stride, expected) in [
            (12, 2, 5, 8, "12 values, expected 1 x 2 x 5 with rows 8"),
            (10, 2, 5, 4, "rows of 5 elements 4 apart, expected no overlap"),
            (10, 1 << 30, 0, 0, "rows is 1073741824, expected below 1073741824"),
            (10, 1, 1, 1 << 30, "stride is 1073741824"),
        ] {
            let error = fits(len, rows, cols, stride).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Shape);
            assert!(error.to_string().starts_with(&format!("matrix: {expected}")), "{error}");
        }
    }

    #[test]
    fn matrices_of_a_batch_may_be_one_to_read_but_not_to_write() {
        Matrix::batch(values(6), [9, 2, 3], 3, 0).unwrap();
        Matrix::batch(values(12), [2, 2, 3], 3, 6).unwrap();
        assert!(Matrix::batch(values(11), [2, 2, 3], 3, 6).is_err());
        assert!(Matrix::batch(values(6), [3, 2, 3], 3, usize::MAX).is_err());
        // SAFETY: as above.
        let out = || unsafe { DeviceSliceMut::<f32>::from_raw(0x1000, 12) };
        MatrixMut::batch(out(), [2, 2, 3], 3, 6).unwrap();
        let error = MatrixMut::batch(out(), [2, 2, 3], 3, 5).unwrap_err();
        assert!(error.to_string().contains("5 elements apart, expected at least 6"), "{error}");
    }
}
