//! Elementwise loops over strided views.
//!
//! A pair of views is first collapsed: neighbouring dimensions that both walk as one are merged,
//! so that most calls end as a few long rows whose inner stride is 0 or 1.

use crate::shape::Layout;
use cpu_math::parallel::{CHUNK, for_each_chunk, rows_per_chunk};
use cpu_math::simd_dispatch;

/// Rows of equal length that read two operands.
struct Rows {
    /// Outer extents and the strides of both operands along them.
    outer: Vec<(usize, usize, usize)>,
    /// Inner length and strides.
    len: usize,
    inner: (usize, usize),
}

impl Rows {
    fn collapse(shape: &[usize], a: &[usize], b: &[usize]) -> Self {
        let mut dims: Vec<(usize, usize, usize)> = Vec::with_capacity(shape.len());
        for ((&extent, &sa), &sb) in shape.iter().zip(a).zip(b) {
            if extent == 1 {
                continue;
            }
            match dims.last_mut() {
                Some(last) if last.1 == sa * extent && last.2 == sb * extent => {
                    *last = (last.0 * extent, sa, sb);
                }
                _ => dims.push((extent, sa, sb)),
            }
        }
        let (len, sa, sb) = dims.pop().unwrap_or((1, 0, 0));
        Self { outer: dims, len, inner: (sa, sb) }
    }

    /// Offsets of both operands at the start of a row.
    #[inline(always)]
    fn start(&self, mut row: usize) -> (usize, usize) {
        let (mut a, mut b) = (0, 0);
        for &(extent, sa, sb) in self.outer.iter().rev() {
            let index = row % extent;
            row /= extent;
            a += index * sa;
            b += index * sb;
        }
        (a, b)
    }
}

/// Whole rows, or a part of one, of two operands that start at their views' offsets.
struct Piece<'a, A, B> {
    rows: &'a Rows,
    a: &'a [A],
    b: &'a [B],
    /// First row, and elements of it to skip.
    row: usize,
    skip: usize,
}

simd_dispatch! {
    fn fill<A: Copy, B: Copy, U: Copy, F: Fn(A, B) -> U>(
        piece: Piece<'_, A, B>,
        f: &F,
        out: &mut [U],
    ) {
        let Piece { rows, a, b, row, skip } = piece;
        let (sa, sb) = rows.inner;
        for (i, out) in out.chunks_mut(rows.len).enumerate() {
            let (start_a, start_b) = rows.start(row + i);
            let (a, b) = (&a[start_a + skip * sa..], &b[start_b + skip * sb..]);
            match (sa, sb) {
                (1, 1) => {
                    for ((out, &x), &y) in out.iter_mut().zip(a).zip(b) {
                        *out = f(x, y);
                    }
                }
                (1, 0) => {
                    let y = b[0];
                    for (out, &x) in out.iter_mut().zip(a) {
                        *out = f(x, y);
                    }
                }
                (0, 1) => {
                    let x = a[0];
                    for (out, &y) in out.iter_mut().zip(b) {
                        *out = f(x, y);
                    }
                }
                _ => {
                    for (i, out) in out.iter_mut().enumerate() {
                        *out = f(a[i * sa], b[i * sb]);
                    }
                }
            }
        }
    }

    fn map<T: Copy, U: Copy, F: Fn(T) -> U>(x: &[T], f: &F, out: &mut [U]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = f(x);
        }
    }

    fn add(sum: &mut [f32], addend: &[f32]) {
        for (sum, &x) in sum.iter_mut().zip(addend) {
            *sum += x;
        }
    }

    fn add_row(rows: &mut [f32], row: &[f32]) {
        for target in rows.chunks_exact_mut(row.len()) {
            for (target, &x) in target.iter_mut().zip(row) {
                *target += x;
            }
        }
    }
}

/// `f(a[i], b[i])` for two views of one shape, in row-major order.
pub(crate) fn binary<A, B, U, F>(a: &[A], la: &Layout, b: &[B], lb: &Layout, f: F) -> Vec<U>
where
    A: Copy + Sync,
    B: Copy + Sync,
    U: Copy + Send + Default,
    F: Fn(A, B) -> U + Sync,
{
    debug_assert_eq!(la.shape, lb.shape);
    let mut out = vec![U::default(); la.elem_count()];
    if out.is_empty() {
        return out;
    }
    let rows = Rows::collapse(&la.shape, &la.strides, &lb.strides);
    let (a, b) = (&a[la.offset..], &b[lb.offset..]);
    let piece = |row: usize, skip: usize| Piece { rows: &rows, a, b, row, skip };
    if rows.len >= CHUNK {
        // Few long rows: cut each one.
        for (row, out) in out.chunks_mut(rows.len).enumerate() {
            for_each_chunk(out, CHUNK, |start, out| fill(piece(row, start), &f, out));
        }
    } else {
        for_each_chunk(&mut out, rows_per_chunk(rows.len) * rows.len, |start, out| {
            fill(piece(start / rows.len, 0), &f, out);
        });
    }
    out
}

/// `f(x[i])` over a slice.
pub(crate) fn unary<T, U, F>(x: &[T], f: F) -> Vec<U>
where
    T: Copy + Sync,
    U: Copy + Send + Default,
    F: Fn(T) -> U + Sync,
{
    let mut out = vec![U::default(); x.len()];
    for_each_chunk(&mut out, CHUNK, |at, out| map(&x[at..][..out.len()], &f, out));
    out
}

/// `sum[i] += addend[i]`.
pub(crate) fn add_assign(sum: &mut [f32], addend: &[f32]) {
    for_each_chunk(sum, CHUNK, |at, sum| add(sum, &addend[at..][..sum.len()]));
}

/// `rows[r * row.len() + i] += row[i]` for every row.
pub(crate) fn add_row_assign(rows: &mut [f32], row: &[f32]) {
    if !row.is_empty() {
        for_each_chunk(rows, rows_per_chunk(row.len()) * row.len(), |_, rows| add_row(rows, row));
    }
}

/// The elements of a view in row-major order.
pub(crate) fn gather<T: Copy + Send + Sync + Default>(source: &[T], layout: &Layout) -> Vec<T> {
    let unit = [()];
    let nothing =
        Layout { shape: layout.shape.clone(), strides: vec![0; layout.shape.len()], offset: 0 };
    binary(source, layout, &unit, &nothing, |x, ()| x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[usize]) -> Layout {
        Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset: 0 }
    }

    #[test]
    fn a_transposed_view_is_read_in_its_own_order() {
        let values: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let transposed = layout(&[3, 2], &[1, 3]);
        assert_eq!(gather(&values, &transposed), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn broadcast_rows_and_columns_repeat() {
        let (row, column) = ([10.0, 20.0, 30.0], [1.0, 2.0]);
        let sum =
            binary(&row, &layout(&[2, 3], &[0, 1]), &column, &layout(&[2, 3], &[1, 0]), |x, y| {
                x + y
            });
        assert_eq!(sum, [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
    }

    #[test]
    fn long_short_and_strided_rows_agree_with_a_plain_loop() {
        for (rows, cols) in [(1, 100_003), (70_001, 3), (257, 300), (3, 0)] {
            let a: Vec<f64> = (0..rows * cols).map(|v| v as f64).collect();
            let b: Vec<f64> = (0..rows).map(|v| v as f64 * 0.5).collect();
            let got = binary(
                &a,
                &layout(&[cols, rows], &[1, cols]),
                &b,
                &layout(&[cols, rows], &[0, 1]),
                |x, y| x - y,
            );
            for (i, value) in got.iter().enumerate() {
                let (col, row) = (i / rows, i % rows);
                assert_eq!(*value, a[row * cols + col] - b[row]);
            }
            assert_eq!(got.len(), rows * cols);
        }
    }
}
