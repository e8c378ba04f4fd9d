//! Matrix products of bf16 operands, accumulated in f32.
//!
//! With AVX512-BF16, `vdpbf16ps` multiplies pairs along K: operands are packed once, in parallel,
//! into panels of K-pairs (14 rows of `a`, 32 columns of `b`), and a 14 x 32 register tile runs
//! over them. Elsewhere operands are widened and go to the f32 product.
//!
//! The order of sums along K does not depend on tiles or threads.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::cpu::gemm::{MatRef, SERIAL_WORK, gemm_batched};
use crate::cpu::parallel::{CHUNK, for_each_chunk};

#[cfg(target_arch = "x86_64")]
mod avx512;

/// What an f32 accumulator is stored as.
pub(crate) trait Bf16Output: bytemuck::Pod + Send + Sync {
    /// Whether accumulators are stored as they are.
    const IS_F32: bool;
    /// Rounds `from` into `to`.
    fn store(from: &[f32], to: &mut [Self]);
}

impl Bf16Output for f32 {
    const IS_F32: bool = true;
    fn store(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Bf16Output for bf16 {
    const IS_F32: bool = false;
    fn store(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
}

/// `out = a x b`, with f32 sums rounded once when `out` is bf16.
///
/// # Shapes
///
/// | argument  | shape               |
/// |-----------|---------------------|
/// | `extents` | `(M, N, K)`         |
/// | `a`       | `(M, K)`            |
/// | `b`       | `(K, N)`            |
/// | `out`     | `(M, N)`, row-major |
///
/// # Numerics
///
/// Products are exact in f32. The instruction treats subnormal operands as zero.
///
/// # Panics
///
/// When a matrix lies outside its slice.
pub(crate) fn gemm<O: Bf16Output>(
    extents: (usize, usize, usize),
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    out: &mut [O],
) {
    let (m, n, k) = extents;
    assert_eq!(out.len(), m * n, "the output holds (M, N)");
    a.check(m, k);
    b.check(k, n);
    if m * n * k == 0 {
        return out.fill(O::zeroed());
    }
    #[cfg(target_arch = "x86_64")]
    if avx512::is_available() {
        return avx512::gemm(extents, a, b, out);
    }
    widened(extents, a, b, out);
}

/// The same product for every matrix of a batch, `out: (B, M, N)`.
pub(crate) fn gemm_each<O: Bf16Output>(
    extents: (usize, usize, usize),
    a: &[MatRef<'_, bf16>],
    b: &[MatRef<'_, bf16>],
    out: &mut [O],
) {
    let (m, n, k) = extents;
    assert_eq!((a.len(), out.len()), (b.len(), a.len() * m * n), "one output a pair of operands");
    if out.is_empty() {
        return;
    }
    // Tasks of several small products; a large one is parallel inside.
    let per_task = SERIAL_WORK.div_ceil((m * n * k).max(1)).min(a.len());
    for_each_chunk(out, per_task * m * n, |start, out| {
        let first = start / (m * n);
        for (i, out) in out.chunks_mut(m * n).enumerate() {
            gemm(extents, a[first + i], b[first + i], out);
        }
    });
}

/// The portable path: widens both operands and multiplies in f32.
fn widened<O: Bf16Output>(
    extents: (usize, usize, usize),
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    out: &mut [O],
) {
    let (m, n, k) = extents;
    let (wide_a, wide_b) = (widen(a, m, k), widen(b, k, n));
    let product = |out: &mut [f32]| {
        let a = MatRef::new(&wide_a, (a.row_stride, a.col_stride));
        let b = MatRef::new(&wide_b, (b.row_stride, b.col_stride));
        gemm_batched(extents, &[a], &[b], out);
    };
    if O::IS_F32 {
        return product(bytemuck::cast_slice_mut(out));
    }
    let mut sums = vec![0.0; m * n];
    product(&mut sums);
    for_each_chunk(out, CHUNK, |start, out| O::store(&sums[start..start + out.len()], out));
}

/// The part of the slice that a `rows x cols` matrix spans, in f32 with the same strides.
fn widen(x: MatRef<'_, bf16>, rows: usize, cols: usize) -> Vec<f32> {
    let span = (rows - 1) * x.row_stride + (cols - 1) * x.col_stride + 1;
    let mut wide = vec![0.0; span];
    for_each_chunk(&mut wide, CHUNK, |start, out| {
        x.data[start..start + out.len()].convert_to_f32_slice(out);
    });
    wide
}

#[cfg(test)]
mod tests;
