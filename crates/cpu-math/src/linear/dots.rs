//! `y = x W'` as dot products along the rows of both operands, which lie so in memory.
//!
//! Sixteen partial sums run along the depth, number `l` over the places `p = l mod 16`, and are added
//! pairwise in the end: an order that does not depend on the rows beside one. Weights are read once, in
//! place, and widened in registers.

use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::dots_avx512::Avx512;
use super::tile::{LANES, Lanes, Operand, Part, Tile};
use super::{Extents, Source};
#[cfg(target_arch = "x86_64")]
use crate::dispatch::{Isa, isa};
use crate::parallel::SharedMut;
use crate::scratch::with_scratch;
use crate::simd_dispatch;
use crate::stored::Stored;

/// Most rows of this path: those for which reading the weights is what takes the time, and some more.
pub(super) const MOST_ROWS: usize = 32;
/// Most dot products of all rows and the columns of a tile, in whole tiles.
const MOST_SUMS: usize = 128;
/// Depth for which widened weights stay in a first-level cache.
const BLOCK: usize = 768;
/// Weights that repay a task.
const TASK_WEIGHTS: usize = 1 << 16;
/// Most jobs that a product is cut into.
const MOST_JOBS: usize = 64;

/// `y = x W'` for at most [`MOST_ROWS`] rows; extents are not zero.
pub(super) fn product(extents: Extents, x: &[f32], w: impl Source, y: &mut [f32]) {
    let (_, n, k) = extents;
    let jobs = (n * k / TASK_WEIGHTS).clamp(1, MOST_JOBS.min(n));
    let out = SharedMut::new(y);
    let run = |job: usize| {
        let cols = job * n / jobs..(job + 1) * n / jobs;
        #[cfg(target_arch = "x86_64")]
        if isa() == Isa::Avx512 {
            // SAFETY: the machine has it.
            return unsafe { run_avx512(extents, x, w, cols, &out) };
        }
        run_portable(extents, x, w, cols, &out);
    };
    if jobs == 1 {
        run(0);
    } else {
        (0..jobs).into_par_iter().for_each(run);
    }
}

simd_dispatch! {
    fn run_portable<W: Source>(
        extents: Extents,
        x: &[f32],
        w: W,
        cols: Range<usize>,
        out: &SharedMut<'_, f32>,
    ) {
        run_job::<Portable, W>(extents, x, w, cols, out);
    }
}

/// # Safety
///
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_avx512<W: Source>(
    extents: Extents,
    x: &[f32],
    w: W,
    cols: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    run_job::<Avx512, W>(extents, x, w, cols, out);
}

/// Computes some columns of the output.
#[inline(always)]
pub(super) fn run_job<T: Tile, W: Source>(
    (m, n, k): Extents,
    x: &[f32],
    w: W,
    cols: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    let (height, width) = (m.min(T::MOST_ROWS), T::columns_for(m));
    let direct = w.direct();
    let mut sums = [Lanes([0.0; LANES]); MOST_SUMS];
    let used = m.div_ceil(height) * height * width;
    let (block, room) = match direct {
        Some(_) => (k, 0),
        None => (BLOCK, width * BLOCK.min(k)),
    };
    with_scratch(room, |wide: &mut [f32]| {
        for col in cols.clone().step_by(width) {
            let lines = width.min(cols.end - col);
            for from in (0..k).step_by(block) {
                let depth = block.min(k - from);
                if direct.is_none() {
                    for (line, wide) in wide.chunks_exact_mut(depth).take(lines).enumerate() {
                        w.widen(col + line, from, wide);
                    }
                }
                let lanes = sums[..used].chunks_exact_mut(height * width);
                for (row, lanes) in (0..m).step_by(height).zip(lanes) {
                    let x = Operand {
                        data: &x[row * k + from..],
                        stride: k,
                        lines: height.min(m - row),
                    };
                    let part = Part { depth, keep: from > 0, lanes, width };
                    // SAFETY: `product` picks a tile that the machine has.
                    unsafe {
                        match direct {
                            Some(w) => {
                                let w = Operand { data: &w[col * k..], stride: k, lines };
                                T::add(x, w, width * k, part);
                            }
                            None => {
                                T::add(x, Operand { data: &*wide, stride: depth, lines }, 0, part);
                            }
                        }
                    }
                }
            }
            let mut values = [0.0; MOST_SUMS];
            let (sixteens, _) = sums.as_chunks::<LANES>();
            let (parts, _) = values.as_chunks_mut::<LANES>();
            for (values, lanes) in parts.iter_mut().zip(sixteens).take(used.div_ceil(LANES)) {
                // SAFETY: as above.
                *values = unsafe { T::reduce(lanes) };
            }
            for (row, values) in values[..used].chunks_exact(width).take(m).enumerate() {
                // SAFETY: jobs own disjoint rectangles; this is a part of a row of this one's.
                unsafe { out.write(row * n + col, &values[..lines]) };
            }
        }
    });
}

/// Plain loops.
pub(super) struct Portable;

impl Tile for Portable {
    const MOST_ROWS: usize = 2;

    #[inline(always)]
    fn columns_for(rows: usize) -> usize {
        if rows == 1 { 4 } else { 3 }
    }

    #[inline(always)]
    unsafe fn add<E: Stored>(x: Operand<'_, f32>, w: Operand<'_, E>, _: usize, part: Part<'_>) {
        x.check(part.depth);
        w.check(part.depth);
        let Part { depth, keep, lanes, width } = part;
        for row in 0..x.lines {
            let x = &x.data[row * x.stride..][..depth];
            for col in 0..w.lines {
                let w = &w.data[col * w.stride..][..depth];
                let sums = &mut lanes[row * width + col].0;
                if !keep {
                    *sums = [0.0; LANES];
                }
                add_line(x, w, sums);
            }
        }
    }

    #[inline(always)]
    unsafe fn reduce(lanes: &[Lanes; LANES]) -> [f32; LANES] {
        lanes.map(|Lanes(mut sums)| {
            for half in [8, 4, 2, 1] {
                for l in 0..half {
                    sums[l] += sums[l + half];
                }
            }
            sums[0]
        })
    }
}

/// Adds the products of two lines to their partial sums.
#[inline(always)]
fn add_line<E: Stored>(x: &[f32], w: &[E], sums: &mut [f32; LANES]) {
    let mut wide = [0.0; LANES];
    let mut local = *sums;
    let (x, w) = (x.chunks(LANES), w.chunks(LANES));
    for (x, w) in x.zip(w) {
        E::widen(w, &mut wide[..w.len()]);
        for ((sum, &x), &w) in local.iter_mut().zip(x).zip(&wide) {
            *sum = x.mul_add(w, *sum);
        }
    }
    *sums = local;
}
