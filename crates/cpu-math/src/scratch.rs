//! Work memory kept by each thread, for operands that are packed before a product.
//!
//! Fresh pages from the system cost as much as writing to them; products come by the thousand.

use std::cell::Cell;

use bytemuck::Pod;

/// Buffers up to this many words (64 MiB) stay for the next call.
const KEPT_WORDS: usize = 8 << 20;

thread_local! {
    static BUFFER: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// Runs `f` on `len` elements of unspecified content. Elements need no more than 8-byte alignment.
pub fn with_scratch<T: Pod, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    // Taken, not borrowed: a thread that waits inside `f` may run another task that comes here.
    let mut buffer = BUFFER.take();
    let words = (len * size_of::<T>()).div_ceil(size_of::<u64>());
    if buffer.len() < words {
        buffer.resize(words, 0);
    }
    let result = f(&mut bytemuck::cast_slice_mut(&mut buffer[..words])[..len]);
    if buffer.len() <= KEPT_WORDS {
        BUFFER.set(buffer);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_calls_get_memory_of_their_own() {
        with_scratch::<f32, _>(3, |outer| {
            outer.fill(1.0);
            with_scratch::<f64, _>(5, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 3]);
        });
        assert_eq!(with_scratch::<u32, _>(7, |words| words.len()), 7);
    }
}
