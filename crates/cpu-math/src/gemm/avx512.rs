//! The f32 product on AVX-512: how it is cut into jobs, and the register tile.
//!
//! `a` is packed once for all jobs. A job is a rectangle of the output; for every block of the depth it
//! packs its columns of `b` into the second-level cache and takes panel after panel of `a` past them.
//! Both panels of a register tile are then read from there, in step.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_prefetch, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
};
use std::ops::Range;

use rayon::prelude::*;

use super::panels::first_lanes;
use super::{MatRef, Onto};
use crate::lines::Lines;
use crate::operand::{Operand, depth_block};
use crate::parallel::SharedMut;
use crate::scratch::with_scratch;

/// Rows of the register tile: 28 accumulators leave four registers for operands.
pub(crate) const TILE_ROWS: usize = 14;
/// Columns of the register tile, two vectors.
pub(crate) const TILE_COLS: usize = 32;
/// Most column panels of a job: a block of them (512 KiB) stays in the second-level cache.
const JOB_PANELS: usize = 8;
/// Jobs that a product is cut into at least, where it is large enough.
const MIN_JOBS: usize = 16;
/// Row panels of a job that repay packing its columns.
const LEAST_PANELS: usize = 12;
/// Row panels that one task packs.
const PACK_PANELS: usize = 4;
/// Elements of packed rows that all jobs read before the next depth: 8 MiB, within a shared cache.
const PACKED: usize = 1 << 21;
/// How far ahead of its use a panel of `a` is asked for, in elements.
const AHEAD: usize = 96 * TILE_ROWS;

/// What later parts of the depth are added to.
const KEEP: Onto<'static, f32> = Onto { keep: true, rows: None };

/// Multiply-adds from which this product is the faster one whatever the layout, and those from which it
/// is where `b` comes transposed and has few rows to be packed for.
const LEAST_WORK: [usize; 2] = [1 << 30, 1 << 22];
const FEW_ROWS: usize = 256;
/// Less depth does not repay the visits to the output.
const LEAST_DEPTH: usize = 256;

/// Whether this product is faster than tiles; says nothing about the machine.
pub(super) fn suits((m, n, k): (usize, usize, usize), b_is_transposed: bool) -> bool {
    let least = LEAST_WORK[usize::from(b_is_transposed && m <= FEW_ROWS)];
    m >= 3 * TILE_ROWS && n >= TILE_COLS && k >= LEAST_DEPTH && m * n * k >= least
}

/// `out = alpha a b + onto`, where the machine has AVX-512; extents are not zero and the operands lie
/// within their slices.
pub(super) fn gemm(
    extents: (usize, usize, usize),
    alpha: f32,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    onto: Onto<'_, f32>,
    out: &mut [f32],
) {
    let b = Lines { data: b.data, line_stride: b.col_stride, depth_stride: b.row_stride };
    product(extents, alpha, a, b, onto, out);
}

/// As [`gemm`], with a right operand of any form; its lines are the columns.
pub(crate) fn product(
    (m, n, k): (usize, usize, usize),
    alpha: f32,
    a: MatRef<'_, f32>,
    lines_b: impl Operand,
    onto: Onto<'_, f32>,
    out: &mut [f32],
) {
    let (row_panels, col_panels) = (m.div_ceil(TILE_ROWS), n.div_ceil(TILE_COLS));
    let lines_a = Lines { data: a.data, line_stride: a.row_stride, depth_stride: a.col_stride };
    let across = col_panels.div_ceil(JOB_PANELS).max(MIN_JOBS.min(col_panels / 2)).max(1);
    let down = MIN_JOBS.div_ceil(across).min(row_panels.div_ceil(LEAST_PANELS));
    let part =
        |job: usize, jobs: usize, panels: usize| job * panels / jobs..(job + 1) * panels / jobs;
    let lines = row_panels * TILE_ROWS;
    let block = depth_block(k);
    let step = (PACKED / lines / block).max(1) * block;
    let out = SharedMut::new(out);
    with_scratch(lines * step.min(k), |packed: &mut [f32]| {
        for from in (0..k).step_by(step) {
            let depth = step.min(k - from);
            let packed = &mut packed[..lines * depth];
            pack_rows(lines_a.from(0, from), (m, depth), block, packed);
            let (b, onto) = (lines_b.from(0, from), if from == 0 { onto } else { KEEP });
            let product = Product { m, n, k: depth, block, alpha, a: packed, b, onto };
            (0..down * across).into_par_iter().for_each(|job| {
                let rows = part(job / across, down, row_panels);
                let cols = part(job % across, across, col_panels);
                with_scratch(cols.len() * TILE_COLS * block + 16, |packed: &mut [f32]| {
                    // Whole cache lines: a vector across two of them costs two loads.
                    let skip = packed.as_ptr().align_offset(64).min(16);
                    product.run_job(rows, cols, &mut packed[skip..], &out);
                });
            });
        }
    });
}

/// Packs all rows of `a`: `out[block][panel][depth][row]`.
fn pack_rows(a: Lines<'_, f32>, (m, k): (usize, usize), block: usize, out: &mut [f32]) {
    let panels = m.div_ceil(TILE_ROWS);
    let groups = panels.div_ceil(PACK_PANELS);
    let out = SharedMut::new(out);
    (0..k.div_ceil(block) * groups).into_par_iter().for_each(|task| {
        let (from, group) = (task / groups * block, task % groups * PACK_PANELS);
        let depth = block.min(k - from);
        let start = (from * panels + group * depth) * TILE_ROWS;
        let count = PACK_PANELS.min(panels - group) * TILE_ROWS;
        let first = group * TILE_ROWS;
        // SAFETY: each panel of a block is written by one task; `gemm` is called where there is
        // AVX-512 alone.
        unsafe {
            let out = std::slice::from_raw_parts_mut(out.pointer(start), count * depth);
            a.from(first, from).pack::<TILE_ROWS>(count.min(m - first), depth, out);
        }
    });
}

/// One product, its left operand packed.
struct Product<'a, B> {
    m: usize,
    n: usize,
    k: usize,
    /// Depth between visits to the output.
    block: usize,
    alpha: f32,
    a: &'a [f32],
    b: B,
    onto: Onto<'a, f32>,
}

impl<B: Operand> Product<'_, B> {
    /// Computes the output of a range of row panels and column panels. `packed` is work memory.
    fn run_job(
        &self,
        rows: Range<usize>,
        cols: Range<usize>,
        packed: &mut [f32],
        out: &SharedMut<'_, f32>,
    ) {
        for from in (0..self.k).step_by(self.block) {
            let depth = self.block.min(self.k - from);
            let packed = &mut packed[..cols.len() * TILE_COLS * depth];
            let first = cols.start * TILE_COLS;
            let count = (cols.len() * TILE_COLS).min(self.n - first);
            // SAFETY: `gemm` is called where there is AVX-512 alone.
            unsafe { self.b.from(first, from).pack::<TILE_COLS>(count, depth, packed) };
            for row in rows.clone() {
                for (col, b) in cols.clone().zip(packed.chunks(depth * TILE_COLS)) {
                    self.run_tile((row, col), (from, depth), b, out);
                }
            }
        }
    }

    /// Adds one block of the depth to one register tile.
    fn run_tile(
        &self,
        (row, col): (usize, usize),
        (from, depth): (usize, usize),
        b: &[f32],
        out: &SharedMut<'_, f32>,
    ) {
        let start = (from * self.m.div_ceil(TILE_ROWS) + row * depth) * TILE_ROWS;
        let a = &self.a[start..][..depth * TILE_ROWS];
        let (row, col) = (row * TILE_ROWS, col * TILE_COLS);
        let height = TILE_ROWS.min(self.m - row);
        let at = row * self.n + col;
        let mut tile = Tile {
            // SAFETY: the tile's first element; jobs own disjoint rectangles.
            out: unsafe { out.pointer(at) },
            stride: self.n,
            width: TILE_COLS.min(self.n - col),
            height,
            alpha: self.alpha,
            keep: from > 0 || self.onto.keep,
            rows: None,
        };
        if let (0, Some((scales, rows))) = (from, self.onto.rows) {
            tile.rows = Some((&scales[row..][..height], &rows[at..]));
        }
        // SAFETY: the tile lies in this job's rectangle of the output, and `rows` has the output's
        // extents; AVX-512 as above.
        unsafe {
            match height {
                0..=4 => tile.run::<4>(a, b),
                5..=6 => tile.run::<6>(a, b),
                7..=8 => tile.run::<8>(a, b),
                9..=10 => tile.run::<10>(a, b),
                11..=12 => tile.run::<12>(a, b),
                _ => tile.run::<TILE_ROWS>(a, b),
            }
        }
    }
}

/// Where one register tile goes.
struct Tile<'a> {
    out: *mut f32,
    stride: usize,
    /// Columns and rows to write.
    width: usize,
    height: usize,
    alpha: f32,
    /// Whether to add to what is there.
    keep: bool,
    /// Scales, and a matrix as wide as the output whose scaled rows are added.
    rows: Option<(&'a [f32], &'a [f32])>,
}

impl Tile<'_> {
    /// Multiplies the first `R` rows of a panel of `a` by a panel of `b` and writes `height` of them.
    ///
    /// # Safety
    ///
    /// - `height <= R`; `height` rows of `width` elements, `stride` apart, are writable from `out` on
    ///   and readable in `rows`.
    /// - The machine has AVX-512.
    #[target_feature(enable = "avx512f")]
    unsafe fn run<const R: usize>(&self, a: &[f32], b: &[f32]) {
        let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        for r in 0..self.height {
            // SAFETY: within the output by contract; a prefetch reads nothing.
            unsafe {
                let line = self.out.add(r * self.stride);
                _mm_prefetch::<_MM_HINT_T0>(line.cast());
                _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(16).cast());
            }
        }
        for (a, b) in a.chunks_exact(TILE_ROWS).zip(b.chunks_exact(TILE_COLS)) {
            // SAFETY: a row of the panel of `b` is two vectors; a prefetch reads nothing.
            let (left, right) = unsafe {
                _mm_prefetch::<_MM_HINT_T0>(a.as_ptr().wrapping_add(AHEAD).cast());
                (_mm512_loadu_ps(b.as_ptr()), _mm512_loadu_ps(b.as_ptr().add(16)))
            };
            for r in 0..R {
                let row = _mm512_set1_ps(a[r]);
                sums[r][0] = _mm512_fmadd_ps(row, left, sums[r][0]);
                sums[r][1] = _mm512_fmadd_ps(row, right, sums[r][1]);
            }
        }
        let masks = [first_lanes(self.width), first_lanes(self.width.saturating_sub(16))];
        let alpha = _mm512_set1_ps(self.alpha);
        for (r, sums) in sums.iter().enumerate().take(self.height) {
            for (half, (&sum, &mask)) in sums.iter().zip(&masks).enumerate() {
                let at = r * self.stride + 16 * half;
                let out = self.out.wrapping_add(at);
                // SAFETY: masked lanes are not touched; the others may be reached by contract.
                unsafe {
                    let mut value = if self.keep {
                        _mm512_fmadd_ps(alpha, sum, _mm512_maskz_loadu_ps(mask, out))
                    } else {
                        _mm512_mul_ps(alpha, sum)
                    };
                    if let Some((scales, rows)) = self.rows {
                        let row = _mm512_maskz_loadu_ps(mask, rows.as_ptr().wrapping_add(at));
                        value = _mm512_fmadd_ps(_mm512_set1_ps(scales[r]), row, value);
                    }
                    _mm512_mask_storeu_ps(out, mask, value);
                }
            }
        }
    }
}
