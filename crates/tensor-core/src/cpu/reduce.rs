//! Sums in a fixed order.
//!
//! A row is summed in [`LANES`] interleaved lanes, which vectorise and keep the rounding error of
//! long sums small; the lanes are then added pairwise. Chunks are combined in f64, in order.

use cpu_math::parallel::{CHUNK, for_each_chunk, map_tasks, rows_per_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Accumulators of a row sum: two 512-bit registers of f32, enough to hide an addition's latency.
pub(crate) const LANES: usize = 32;

/// Adds neighbours until one value is left.
#[inline(always)]
fn combine<T: Real>(mut lanes: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] = f(lanes[l], lanes[l + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Sum of `f(x)` over a row.
#[inline(always)]
pub(crate) fn sum_map<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (blocks, tail) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] += f(block[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane += f(x);
    }
    combine(lanes, |a, b| a + b)
}

/// Sum of `f(x, y)` over two rows of one length.
#[inline(always)]
pub(crate) fn sum_map2<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (x_blocks, x_tail) = x.as_chunks::<LANES>();
    let (y_blocks, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for l in 0..LANES {
            lanes[l] += f(x[l], y[l]);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
        *lane += f(x, y);
    }
    combine(lanes, |a, b| a + b)
}

/// Largest element of a row; NaNs are passed over, and an empty row gives -infinity.
#[inline(always)]
pub(crate) fn row_max<T: Real>(x: &[T]) -> T {
    let mut lanes = [T::NEG_INFINITY; LANES];
    let (blocks, tail) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] = Real::max(block[l], lanes[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = Real::max(x, *lane);
    }
    combine(lanes, |a, b| Real::max(a, b))
}

simd_dispatch! {
    fn chunk_sum<T: Real>(x: &[T]) -> T {
        sum_map(x, |x| x)
    }

    fn chunk_sum_of_squares<T: Real>(x: &[T]) -> T {
        sum_map(x, |x| x * x)
    }

    fn sum_each_row<T: Real>(x: &[T], width: usize, out: &mut [T]) {
        for (row, sum) in x.chunks_exact(width).zip(out) {
            *sum = sum_map(row, |x| x);
        }
    }

    /// Adds the first `sums.len()` elements of every row, rows `stride` elements apart.
    fn add_rows<T: Real>(x: &[T], stride: usize, sums: &mut [T]) {
        for row in x.chunks(stride) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}

/// Sum of all elements.
pub(crate) fn sum<T: Real>(x: &[T]) -> T {
    let parts = map_tasks(x.len().div_ceil(CHUNK), |i| {
        chunk_sum(&x[i * CHUNK..x.len().min((i + 1) * CHUNK)]).to_f64()
    });
    T::from_f64(parts.into_iter().sum())
}

/// Sum of the squares of all elements.
pub(crate) fn sum_of_squares<T: Real>(x: &[T]) -> f64 {
    let parts = map_tasks(x.len().div_ceil(CHUNK), |i| {
        chunk_sum_of_squares(&x[i * CHUNK..x.len().min((i + 1) * CHUNK)]).to_f64()
    });
    parts.into_iter().sum()
}

/// Sum of every row: `(rows, cols) -> (rows)`.
pub(crate) fn row_sums<T: Real>(x: &[T], rows: usize, cols: usize) -> Vec<T> {
    let mut sums = vec![T::ZERO; rows];
    if cols == 1 {
        sums.copy_from_slice(x);
    } else if cols > 0 {
        for_each_chunk(&mut sums, rows_per_chunk(cols), |first, sums| {
            sum_each_row(&x[first * cols..][..sums.len() * cols], cols, sums);
        });
    }
    sums
}

/// Sum of every column: `(rows, cols) -> (cols)`. The gradient of a bias.
pub(crate) fn col_sums<T: Real>(x: &[T], rows: usize, cols: usize) -> Vec<T> {
    /// Columns whose sums stay in registers.
    const COLS: usize = 256;
    /// Rows of one task: 64 additions in sequence, then f64.
    const ROWS: usize = 64;
    const GROUPS: usize = 8;
    if rows * cols == 0 {
        return vec![T::ZERO; cols];
    }
    let (across, down) = (cols.div_ceil(COLS), rows.div_ceil(ROWS * GROUPS));
    let part = |task: usize| {
        let (col, first) = (task % across * COLS, task / across * ROWS * GROUPS);
        let width = COLS.min(cols - col);
        let mut totals = vec![0.0; width];
        for row in (first..rows.min(first + ROWS * GROUPS)).step_by(ROWS) {
            let mut sums = vec![T::ZERO; width];
            let last = rows.min(row + ROWS) - 1;
            add_rows(&x[row * cols + col..last * cols + col + width], cols, &mut sums);
            totals.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum.to_f64());
        }
        totals
    };
    let parts: Vec<Vec<f64>> = if rows * cols <= CHUNK {
        (0..across * down).map(part).collect()
    } else {
        map_tasks(across * down, part)
    };
    combine_partials(parts.chunks(across).map(|blocks| blocks.concat()), cols)
}

/// Adds vectors of length `width` in order, in f64.
pub(crate) fn combine_partials<T: Real>(
    parts: impl Iterator<Item = Vec<f64>>,
    width: usize,
) -> Vec<T> {
    let mut totals = vec![0.0; width];
    for part in parts {
        totals.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
    }
    totals.into_iter().map(T::from_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};

    #[test]
    fn sums_of_odd_shapes_agree_with_plain_loops() {
        for (rows, cols) in [(1, 1), (3, 17), (17, 129), (129, 1), (700, 300), (2, 40_000), (3, 0)]
        {
            let x = ramp::<f64>(rows * cols, 5);
            let close = |got: f64, want: f64| {
                assert!((got - want).abs() < 1e-12 * (1000.0 + want.abs()), "{got} {want}");
            };
            close(sum(&x), x.iter().sum());
            close(sum_of_squares(&x), x.iter().map(|x| x * x).sum());
            for (i, got) in row_sums(&x, rows, cols).into_iter().enumerate() {
                close(got, x[i * cols..(i + 1) * cols].iter().sum());
            }
            for (j, got) in col_sums(&x, rows, cols).into_iter().enumerate() {
                close(got, x.iter().skip(j).step_by(cols).sum());
            }
        }
    }

    #[test]
    fn a_million_equal_terms_lose_little() {
        // A lane adds 512 equal terms, a column 64, whose roundings all go one way.
        let x = vec![0.1f32; 1 << 20];
        let want = f64::from(0.1f32) * f64::from(1 << 20);
        assert!((f64::from(sum(&x)) / want - 1.0).abs() < 1e-5);
        assert!((f64::from(col_sums(&x, 1 << 18, 4)[3]) / (want / 4.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_row_maximum_passes_over_nan() {
        let mut x = ramp::<f32>(77, 1);
        x[40] = 9.0;
        x[41] = f32::NAN;
        assert_eq!(row_max(&x), 9.0);
        assert_eq!(row_max::<f32>(&[]), f32::NEG_INFINITY);
    }

    #[test]
    fn thread_count_changes_no_bit() {
        let x = ramp::<f32>(900 * 301, 3);
        same_bits_on_one_and_two_threads(|| {
            let mut all = col_sums(&x, 900, 301);
            all.extend(row_sums(&x, 900, 301));
            all.push(sum(&x));
            all.push(sum_of_squares(&x) as f32);
            all
        });
    }
}
