//! A matrix of any strides inside a slice: what products read.

/// A matrix inside a slice: element `(i, j)` is at `i * row_stride + j * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct MatRef<'a, T> {
    /// Holds the elements.
    pub data: &'a [T],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub col_stride: usize,
}

impl<'a, T> MatRef<'a, T> {
    /// The matrix that starts at the slice's first element, with (row, column) strides.
    pub fn new(data: &'a [T], (row_stride, col_stride): (usize, usize)) -> Self {
        Self { data, row_stride, col_stride }
    }

    /// # Panics
    ///
    /// When an element of a `rows x cols` matrix lies outside the slice.
    pub fn check(&self, rows: usize, cols: usize) {
        if rows == 0 || cols == 0 {
            return;
        }
        // Checked: unsafe code relies on this.
        let down = (rows - 1).checked_mul(self.row_stride);
        let across = (cols - 1).checked_mul(self.col_stride);
        let last = down.zip(across).and_then(|(down, across)| down.checked_add(across));
        assert!(last.is_some_and(|at| at < self.data.len()), "a matrix lies within its slice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_within_its_slice_is_accepted() {
        let data = [0.0; 12];
        MatRef::new(&data, (4, 1)).check(3, 4);
        MatRef::new(&data[2..], (4, 1)).check(3, 2);
        MatRef::new(&data, (0, 0)).check(usize::MAX, usize::MAX);
        MatRef::new(&data[..0], (4, 1)).check(0, 4);
    }

    #[test]
    #[should_panic(expected = "a matrix lies within its slice")]
    fn a_matrix_past_its_slice_is_refused() {
        MatRef::new(&[0.0; 11], (4, 1)).check(3, 4);
    }

    #[test]
    #[should_panic(expected = "a matrix lies within its slice")]
    fn a_stride_that_wraps_around_is_refused() {
        MatRef::new(&[0.0], (1 << (usize::BITS - 1), 1)).check(3, 1);
    }
}
