//! Elementwise loops over strided views.
//!
//! A pair of views is first collapsed: neighbouring dimensions that both walk as one are merged,
//! so that most calls end as a few long rows whose inner stride is 0 or 1.

use rayon::prelude::*;

use crate::shape::Layout;

/// Elements a task handles. Fixed, so that task borders do not depend on the thread count.
const GRAIN: usize = 1 << 15;

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

/// `f(a[i], b[i])` for two views of one shape, in row-major order.
pub(crate) fn binary<A, B, U, F>(a: &[A], la: &Layout, b: &[B], lb: &Layout, f: F) -> Vec<U>
where
    A: Copy + Sync,
    B: Copy + Sync,
    U: Copy + Send + Default,
    F: Fn(A, B) -> U + Sync,
{
    debug_assert_eq!(la.shape, lb.shape);
    let count = la.elem_count();
    let mut out = vec![U::default(); count];
    if count == 0 {
        return out;
    }
    let rows = Rows::collapse(&la.shape, &la.strides, &lb.strides);
    let run = |row: usize, skip: usize, out: &mut [U]| {
        let (start_a, start_b) = rows.start(row);
        let (sa, sb) = rows.inner;
        let a = &a[la.offset + start_a + skip * sa..];
        let b = &b[lb.offset + start_b + skip * sb..];
        match (sa, sb) {
            (1, 1) => out.iter_mut().zip(a).zip(b).for_each(|((o, &x), &y)| *o = f(x, y)),
            (1, 0) => {
                let y = b[0];
                out.iter_mut().zip(a).for_each(|(o, &x)| *o = f(x, y));
            }
            (0, 1) => {
                let x = a[0];
                out.iter_mut().zip(b).for_each(|(o, &y)| *o = f(x, y));
            }
            _ => out.iter_mut().enumerate().for_each(|(i, o)| *o = f(a[i * sa], b[i * sb])),
        }
    };
    if count <= GRAIN {
        out.chunks_mut(rows.len).enumerate().for_each(|(row, out)| run(row, 0, out));
    } else if rows.len >= GRAIN {
        // Few long rows: cut each one.
        out.chunks_mut(rows.len).enumerate().for_each(|(row, out)| {
            out.par_chunks_mut(GRAIN)
                .enumerate()
                .for_each(|(piece, out)| run(row, piece * GRAIN, out));
        });
    } else {
        let per_task = GRAIN.div_ceil(rows.len);
        out.par_chunks_mut(per_task * rows.len).enumerate().for_each(|(task, out)| {
            out.chunks_mut(rows.len)
                .enumerate()
                .for_each(|(row, out)| run(task * per_task + row, 0, out));
        });
    }
    out
}

/// `f(a[i])` over a slice.
pub(crate) fn unary<T, U, F>(a: &[T], f: F) -> Vec<U>
where
    T: Copy + Sync,
    U: Copy + Send + Default,
    F: Fn(T) -> U + Sync,
{
    let mut out = vec![U::default(); a.len()];
    let run = |out: &mut [U], a: &[T]| out.iter_mut().zip(a).for_each(|(o, &x)| *o = f(x));
    if a.len() <= GRAIN {
        run(&mut out, a);
    } else {
        out.par_chunks_mut(GRAIN).zip(a.par_chunks(GRAIN)).for_each(|(out, a)| run(out, a));
    }
    out
}

/// `sum[i] += addend[i]`.
pub(crate) fn add_assign(sum: &mut [f32], addend: &[f32]) {
    let run = |sum: &mut [f32], addend: &[f32]| {
        sum.iter_mut().zip(addend).for_each(|(s, &x)| *s += x);
    };
    if sum.len() <= GRAIN {
        run(sum, addend);
    } else {
        sum.par_chunks_mut(GRAIN).zip(addend.par_chunks(GRAIN)).for_each(|(s, a)| run(s, a));
    }
}

/// `rows[r * width + i] += row[i]` for every row.
pub(crate) fn add_row_assign(rows: &mut [f32], row: &[f32], width: usize) {
    let run = |rows: &mut [f32]| {
        for target in rows.chunks_mut(width) {
            target.iter_mut().zip(row).for_each(|(t, &x)| *t += x);
        }
    };
    if width == 0 {
        return;
    }
    let chunk = GRAIN.div_ceil(width) * width;
    if rows.len() <= chunk {
        run(rows);
    } else {
        rows.par_chunks_mut(chunk).for_each(run);
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
        let sum = binary(&row, &layout(&[2, 3], &[0, 1]), &column, &layout(&[2, 3], &[1, 0]), |x, y| {
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
