//! Matrix products in bf16, accumulated in f32 and rounded once.
//!
//! With AVX512-BF16, `vdpbf16ps` multiplies pairs along K: operands are packed once, in parallel,
//! into panels of K-pairs (14 rows of `a`, 32 columns of `b`), and a 14 x 32 register tile runs
//! over them. Elsewhere operands are widened and go to the f32 product.
//!
//! The order of sums along K does not depend on tiles or threads.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::gemm::{MatRef, SERIAL_WORK, gemm_batched};
use crate::parallel::{CHUNK, for_each_chunk};

#[cfg(target_arch = "x86_64")]
mod avx512;

/// `out[i] = a[i] x b[i]` for every matrix of a batch.
///
/// # Shapes
///
/// | argument  | shape                  |
/// |-----------|------------------------|
/// | `extents` | `(M, N, K)`            |
/// | `a`       | B matrices `(M, K)`    |
/// | `b`       | B matrices `(K, N)`    |
/// | `out`     | `(B, M, N)`, row-major |
///
/// # Numerics
///
/// Products are exact in f32. The instruction treats subnormal operands as zero.
///
/// # Panics
///
/// When a matrix lies outside its slice, or the counts differ.
pub fn gemm_each(
    extents: (usize, usize, usize),
    a: &[MatRef<'_, bf16>],
    b: &[MatRef<'_, bf16>],
    out: &mut [bf16],
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

/// One product, `out: (M, N)`.
fn gemm(
    extents: (usize, usize, usize),
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    out: &mut [bf16],
) {
    let (m, n, k) = extents;
    assert_eq!(out.len(), m * n, "the output holds (M, N)");
    a.check(m, k);
    b.check(k, n);
    if out.is_empty() || k == 0 {
        return out.fill(bf16::ZERO);
    }
    #[cfg(target_arch = "x86_64")]
    if avx512::is_available() {
        return avx512::gemm(extents, a, b, out);
    }
    widened(extents, a, b, out);
}

/// The portable path: widens both operands and multiplies in f32.
fn widened(
    extents: (usize, usize, usize),
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    out: &mut [bf16],
) {
    let (m, n, k) = extents;
    let (wide_a, wide_b) = (widen(a, m, k), widen(b, k, n));
    let a = MatRef::new(&wide_a, (a.row_stride, a.col_stride));
    let b = MatRef::new(&wide_b, (b.row_stride, b.col_stride));
    let mut sums = vec![0.0; m * n];
    gemm_batched(extents, &[a], &[b], &mut sums);
    for_each_chunk(out, CHUNK, |start, out| {
        out.convert_from_f32_slice(&sums[start..start + out.len()]);
    });
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
