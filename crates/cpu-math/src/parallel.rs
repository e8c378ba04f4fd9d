//! Loops over chunks whose borders depend on the shape alone.
//!
//! A lone chunk runs on the calling thread: waking the pool costs microseconds.
//!
//! Rayon hands out contiguous chunks. Where a work item's output lies apart, as one head's rows in
//! a `(B, T, H, D)` array do, [`SharedMut`] is the way to write it without a copy at the end.

use std::marker::PhantomData;

use rayon::prelude::*;

/// Elements of a flat slice that one task handles: 64 KiB of f32, within a core's second-level
/// cache together with its operands.
pub const CHUNK: usize = 16 * 1024;

/// Rows of `width` elements that make up about one [`CHUNK`], at least one.
pub fn rows_per_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Calls `f(start, part)` for every chunk of `out`.
pub fn for_each_chunk<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= chunk {
        f(0, out);
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
    }
}

/// `f(0), f(1), ..` in order.
pub fn map_tasks<R: Send>(count: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if count <= 1 {
        (0..count).map(f).collect()
    } else {
        (0..count).into_par_iter().map(f).collect()
    }
}

/// A mutable slice that tasks write to at disjoint places.
pub struct SharedMut<'a, T> {
    data: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: every access goes through `pointer` or `write`, whose callers promise disjoint places.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Borrows the slice for as long as tasks write to it.
    pub fn new(data: &'a mut [T]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), borrow: PhantomData }
    }

    /// A pointer to element `offset`.
    ///
    /// # Safety
    ///
    /// - `offset` is at most the slice's length.
    /// - No two tasks reach one element through the result.
    pub unsafe fn pointer(&self, offset: usize) -> *mut T {
        debug_assert!(offset <= self.len, "{offset} is outside a slice of {}", self.len);
        // SAFETY: within the slice, by this function's contract.
        unsafe { self.data.add(offset) }
    }

    /// Copies `values` to the elements from `offset` on.
    ///
    /// # Safety
    ///
    /// - No other thread reaches these elements while this object lives.
    pub unsafe fn write(&self, offset: usize, values: &[T])
    where
        T: Copy,
    {
        assert!(
            offset.checked_add(values.len()).is_some_and(|end| end <= self.len),
            "{} elements at {offset} lie outside a slice of {}",
            values.len(),
            self.len
        );
        // SAFETY: inside the borrowed slice by the assertion; unaliased by the caller's promise;
        // `values` is a live shared slice and so cannot overlap the exclusive borrow.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.data.add(offset), values.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_that_lie_apart_are_written_by_their_owner() {
        let mut values = vec![0; 3 * 101];
        let shared = SharedMut::new(&mut values);
        (0..101).into_par_iter().for_each(|r| {
            // SAFETY: each row of three has one writer.
            unsafe { shared.write(3 * r + 1, &[r, r + 1]) }
        });
        for (r, row) in values.chunks(3).enumerate() {
            assert_eq!(row, [0, r, r + 1]);
        }
    }

    #[test]
    #[should_panic(expected = "1 elements at 6 lie outside a slice of 6")]
    fn a_write_past_the_end_is_refused() {
        // SAFETY: one thread.
        unsafe { SharedMut::new(&mut [0; 6]).write(6, &[1]) }
    }

    #[test]
    fn chunks_cover_a_slice_once() {
        for len in [0, 1, 5, 6, 17] {
            let mut values = vec![0; len];
            for_each_chunk(&mut values, 5, |start, part| {
                part.iter_mut().enumerate().for_each(|(i, v)| *v += start + i);
            });
            assert!(values.into_iter().eq(0..len));
        }
        assert_eq!(map_tasks(4, |i| i * i), [0, 1, 4, 9]);
        assert_eq!((rows_per_chunk(0), rows_per_chunk(100_000)), (CHUNK, 1));
    }
}
