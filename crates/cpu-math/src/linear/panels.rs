//! The product on machines without AVX-512: the same sums in the same order, in plain loops.

use rayon::prelude::*;

use super::Extents;
use crate::gemm::SERIAL_WORK;
use crate::operand::{Operand, depth_block};
use crate::parallel::SharedMut;
use crate::scratch::with_scratch;
use crate::simd_dispatch;

/// Columns of the register tile: two vectors of AVX2.
pub(super) const TILE_COLS: usize = 16;
/// Rows of the register tile: with two operands, 15 of 16 registers.
const TILE_ROWS: usize = 6;
/// Rows for which a panel is widened once.
const JOB_ROWS: usize = 96;

/// `out = x b`; extents are not zero.
pub(super) fn product<B: Operand>(extents: Extents, x: &[f32], b: B, out: &mut [f32]) {
    let (m, n, k) = extents;
    let (down, across) = (m.div_ceil(JOB_ROWS), n.div_ceil(TILE_COLS));
    let out = SharedMut::new(out);
    let run = |job: usize| {
        with_scratch(depth_block(k) * TILE_COLS, |panel: &mut [f32]| {
            run_job(extents, x, b, job / across * JOB_ROWS, job % across * TILE_COLS, panel, &out);
        });
    };
    if m * n * k <= SERIAL_WORK / 4 {
        (0..down * across).for_each(run);
    } else {
        (0..down * across).into_par_iter().for_each(run);
    }
}

simd_dispatch! {
    /// Computes [`TILE_COLS`] columns from `col` on of [`JOB_ROWS`] rows from `row` on.
    fn run_job<B: Operand>(
        extents: Extents,
        x: &[f32],
        b: B,
        row: usize,
        col: usize,
        panel: &mut [f32],
        out: &SharedMut<'_, f32>,
    ) {
        let (m, n, k) = extents;
        let (end, width) = (m.min(row + JOB_ROWS), TILE_COLS.min(n - col));
        let block = depth_block(k);
        for from in (0..k).step_by(block) {
            let depth = block.min(k - from);
            let panel = &mut panel[..depth * TILE_COLS];
            b.from(col, from).widen_panel::<TILE_COLS>(width, panel);
            let mut first = row;
            while first < end {
                let height = match end - first {
                    TILE_ROWS.. => TILE_ROWS,
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                let x = &x[first * k + from..];
                let mut sums = [[0.0; TILE_COLS]; TILE_ROWS];
                match height {
                    TILE_ROWS => add_rows::<TILE_ROWS>(x, k, panel, &mut sums),
                    4 => add_rows::<4>(x, k, panel, &mut sums),
                    2 => add_rows::<2>(x, k, panel, &mut sums),
                    _ => add_rows::<1>(x, k, panel, &mut sums),
                }
                for (r, sums) in sums.iter_mut().enumerate().take(height) {
                    // SAFETY: jobs own disjoint rectangles; this is a row of this one's.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(out.pointer((first + r) * n + col), width)
                    };
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = if from == 0 { *sum } else { *sum + *out };
                    }
                }
                first += height;
            }
        }
    }
}

/// Sums of the products of `R` rows, `stride` apart in `x`, and a panel.
#[inline(always)]
fn add_rows<const R: usize>(
    x: &[f32],
    stride: usize,
    panel: &[f32],
    out: &mut [[f32; TILE_COLS]; TILE_ROWS],
) {
    let depth = panel.len() / TILE_COLS;
    let rows: [&[f32]; R] = std::array::from_fn(|r| &x[r * stride..][..depth]);
    let mut sums = [[0.0f32; TILE_COLS]; R];
    for (p, b) in panel.chunks_exact(TILE_COLS).enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = row[p].mul_add(b, *sum);
            }
        }
    }
    out[..R].copy_from_slice(&sums);
}
