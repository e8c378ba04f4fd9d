//! The right operand of a product, copied so that a column of tiles reads one contiguous block.

use rayon::prelude::*;

use super::MatRef;
use crate::real::Real;

/// Copies `b: (K, N)` to blocks of `width` columns, each `(K, width)` row-major, one after
/// another; the last is narrower.
pub(super) fn pack_column_blocks<T: Real>(
    b: &MatRef<'_, T>,
    (n, k): (usize, usize),
    width: usize,
    out: &mut [T],
) {
    /// Rows that a task packs.
    const ROWS: usize = 128;
    out.par_chunks_mut(width * k).enumerate().for_each(|(block, out)| {
        let (col, width) = (block * width, width.min(n - block * width));
        out.par_chunks_mut(ROWS * width).enumerate().for_each(|(part, out)| {
            let source = &b.data[part * ROWS * b.row_stride + col * b.col_stride..];
            if b.col_stride == 1 {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    out.copy_from_slice(&source[row * b.row_stride..][..width]);
                }
            } else {
                transpose(source, (b.row_stride, b.col_stride), width, out);
            }
        });
    });
}

/// Copies a matrix of `width` columns, far apart in `source`, to rows.
fn transpose<T: Real>(
    source: &[T],
    (row_stride, col_stride): (usize, usize),
    width: usize,
    out: &mut [T],
) {
    /// Side of a square that is read along columns and written along rows, in whole cache lines.
    const SIDE: usize = 16;
    let rows = out.len() / width;
    for col in (0..width).step_by(SIDE) {
        let cols = SIDE.min(width - col);
        for row in (0..rows).step_by(SIDE) {
            let source = &source[row * row_stride + col * col_stride..];
            if row_stride == 1 && cols == SIDE && row + SIDE <= rows {
                let mut square = [[T::ZERO; SIDE]; SIDE];
                for (j, column) in square.iter_mut().enumerate() {
                    column.copy_from_slice(&source[j * col_stride..][..SIDE]);
                }
                for i in 0..SIDE {
                    let out = &mut out[(row + i) * width + col..][..SIDE];
                    for (value, column) in out.iter_mut().zip(&square) {
                        *value = column[i];
                    }
                }
            } else {
                for i in 0..SIDE.min(rows - row) {
                    for j in 0..cols {
                        out[(row + i) * width + col + j] = source[i * row_stride + j * col_stride];
                    }
                }
            }
        }
    }
}
