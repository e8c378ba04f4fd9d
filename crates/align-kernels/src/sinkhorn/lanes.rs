//! Vectors of sixteen lanes, the unit that every inner loop works on.
//!
//! A row of `M` values is stored as `ceil(M / 16)` vectors; what pads the last one is chosen so that
//! it contributes nothing (weight 0, potential minus infinity).

use std::cell::Cell;

use bytemuck::{Pod, Zeroable};

/// Lanes of one vector.
pub(super) const LANES: usize = 16;

/// Sixteen values on a cache line of their own.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [f32; LANES]);

// SAFETY: sixteen f32 fill the 64 bytes, and all bits zero are sixteen zeros.
unsafe impl Zeroable for Lanes {}
// SAFETY: any bits are f32 values, and there is no padding.
unsafe impl Pod for Lanes {}

impl Lanes {
    /// The same value in every lane.
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    /// Sum of the lanes, by halves.
    #[inline(always)]
    pub fn sum(&self) -> f32 {
        let mut x = self.0;
        for half in [8, 4] {
            for l in 0..half {
                x[l] += x[l + half];
            }
        }
        (x[0] + x[2]) + (x[1] + x[3])
    }
}

/// Vectors that hold `len` values.
pub(super) fn vectors(len: usize) -> usize {
    len.div_ceil(LANES)
}

/// The values as vectors, the last one filled up with `pad`.
pub(super) fn pack(values: &[f32], pad: f32) -> Vec<Lanes> {
    let mut out = vec![Lanes::splat(pad); vectors(values.len())];
    flat_mut(&mut out)[..values.len()].copy_from_slice(values);
    out
}

/// The lanes of all vectors as one slice.
#[inline(always)]
pub(super) fn flat(x: &[Lanes]) -> &[f32] {
    bytemuck::cast_slice(x)
}

/// As [`flat`], to write to.
#[inline(always)]
pub(super) fn flat_mut(x: &mut [Lanes]) -> &mut [f32] {
    bytemuck::cast_slice_mut(x)
}

/// Buffers up to this many vectors (64 MiB) stay with their thread for the next pair.
const KEPT: usize = 1 << 20;

thread_local! {
    static BUFFERS: Cell<[Vec<Lanes>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
    static PRODUCTS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// The calling thread's buffers for the products of many pairs, of any length and content: pages fresh
/// from the system cost more than what is written to them.
pub(super) fn take_products() -> [Vec<f32>; 2] {
    PRODUCTS.take()
}

/// Gives buffers back for the next call, unless they are large.
pub(super) fn keep_products(mut buffers: [Vec<f32>; 2]) {
    for buffer in &mut buffers {
        if buffer.capacity() > KEPT * LANES {
            *buffer = Vec::new();
        }
    }
    PRODUCTS.set(buffers);
}

/// Runs `work` on two matrices of `len` vectors each, of unspecified content.
pub(super) fn with_matrices<R>(
    len: usize,
    work: impl FnOnce(&mut [Lanes], &mut [Lanes]) -> R,
) -> R {
    // Taken, not borrowed: a thread that waits inside `work` may start on another pair.
    let mut buffers = BUFFERS.take();
    for buffer in &mut buffers {
        if buffer.len() < len {
            buffer.resize(len, Lanes::splat(0.0));
        }
    }
    let [first, second] = &mut buffers;
    let result = work(&mut first[..len], &mut second[..len]);
    if buffers[0].len() <= KEPT {
        BUFFERS.set(buffers);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_keep_their_order_and_are_padded() {
        let values: Vec<f32> = (0..17).map(|i| i as f32).collect();
        let packed = pack(&values, -1.0);
        assert_eq!((packed.len(), flat(&packed)[16], flat(&packed)[17]), (2, 16.0, -1.0));
        assert_eq!((packed[0].sum(), pack(&[], 0.0).len()), (120.0, 0));
    }
}
