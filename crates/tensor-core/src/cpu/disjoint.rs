//! An output array that several work items fill, each its own rows.
//!
//! Rayon hands out contiguous chunks. Where a work item's rows lie apart, as one head's rows in a
//! `(B, T, H, D)` array do, this is the way to write them without a copy at the end.

use super::parallel::SharedMut;

/// Shared access to the rows of a slice, `width` elements each.
pub(crate) struct DisjointRows<'a, T> {
    elements: SharedMut<'a, T>,
    len: usize,
    width: usize,
}

impl<'a, T: Copy> DisjointRows<'a, T> {
    pub(crate) fn new(values: &'a mut [T], width: usize) -> Self {
        let len = values.len();
        Self { elements: SharedMut::new(values), len, width }
    }

    /// Copies `values` to the start of `row`; shorter than a row is allowed.
    ///
    /// # Safety
    ///
    /// - No other thread writes `row` while this object lives.
    pub(crate) unsafe fn write(&self, row: usize, values: &[T]) {
        // SAFETY: passed on.
        unsafe { self.write_at(row, 0, values) }
    }

    /// Copies `values` into `row` from `column` on.
    ///
    /// # Safety
    ///
    /// - No other thread writes these elements while this object lives.
    pub(crate) unsafe fn write_at(&self, row: usize, column: usize, values: &[T]) {
        let at = row * self.width + column;
        assert!(
            column + values.len() <= self.width && at + values.len() <= self.len,
            "row {row} of {} elements at {column} lies outside the array",
            values.len()
        );
        // SAFETY: inside the borrowed slice by the assertion; unaliased by the caller's promise;
        // `values` is a live shared slice and so cannot overlap the exclusive borrow.
        unsafe {
            let to = self.elements.pointer(at);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn every_row_is_written_by_its_owner() {
        let mut values = vec![0; 3 * 101];
        let rows = DisjointRows::new(&mut values, 3);
        (0..101).into_par_iter().for_each(|r| {
            // SAFETY: each row has one writer.
            unsafe { rows.write_at(r, 1, &[r, r + 1]) }
        });
        for (r, row) in values.chunks(3).enumerate() {
            assert_eq!(row, [0, r, r + 1]);
        }
    }

    #[test]
    #[should_panic(expected = "outside the array")]
    fn a_row_past_the_end_is_refused() {
        let mut values = vec![0; 6];
        // SAFETY: one thread.
        unsafe { DisjointRows::new(&mut values, 3).write(2, &[1]) }
    }
}
