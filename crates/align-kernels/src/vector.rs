//! Sums over rows that the compiler vectorises, the same on every instruction set.

use cpu_math::simd_dispatch;

/// Partial sums that a dot product keeps: four AVX-512 registers.
const LANES: usize = 64;

/// Adds up `term(a, b)` in lanes, and the lanes in f64.
#[inline(always)]
fn lane_sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32, f32) -> f32) -> f64 {
    let mut sums = [0.0f32; LANES];
    let (mut a_blocks, mut b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a_blocks).zip(&mut b_blocks) {
        for lane in 0..LANES {
            sums[lane] = term(sums[lane], a[lane], b[lane]);
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(a_blocks.remainder()).zip(b_blocks.remainder()) {
        *sum = term(*sum, a, b);
    }
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

simd_dispatch! {
    /// `a . b`.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
        lane_sum(a, b, |sum, a, b| a.mul_add(b, sum))
    }

    /// `|a - b|^2`, from the differences.
    pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
        lane_sum(a, b, |sum, a, b| (a - b).mul_add(a - b, sum))
    }

    /// `|a|^2` in f64 throughout: right for rows whose squares leave f32.
    pub(crate) fn square_sum(a: &[f32]) -> f64 {
        const WIDE: usize = 16;
        let mut sums = [0.0f64; WIDE];
        let mut blocks = a.chunks_exact(WIDE);
        for a in &mut blocks {
            for lane in 0..WIDE {
                sums[lane] = f64::from(a[lane]).mul_add(f64::from(a[lane]), sums[lane]);
            }
        }
        for (sum, &a) in sums.iter_mut().zip(blocks.remainder()) {
            *sum = f64::from(a).mul_add(f64::from(a), *sum);
        }
        sums.iter().sum()
    }

    /// `out = scale (out + factor x)`.
    pub(crate) fn combine(out: &mut [f32], scale: f32, factor: f32, x: &[f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = scale * factor.mul_add(x, *out);
        }
    }

    /// `sums[d] += rows[.., d]`.
    pub(crate) fn add_rows(rows: &[f32], sums: &mut [f64]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
    }
}

/// Mean of the rows of `(N, D)` points: `(D,)`, in f64.
pub(crate) fn mean_row(points: &[f32], width: usize) -> Vec<f64> {
    let rows = cpu_math::parallel::rows_per_chunk(width);
    let parts = cpu_math::parallel::map_tasks(points.len().div_ceil(rows * width), |part| {
        let points = &points[part * rows * width..];
        let mut sums = vec![0.0; width];
        add_rows(&points[..points.len().min(rows * width)], &mut sums);
        sums
    });
    let count = (points.len() / width) as f64;
    let mut mean = vec![0.0; width];
    for part in parts {
        mean.iter_mut().zip(part).for_each(|(mean, sum)| *mean += sum);
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    mean
}
