//! The AVX512-BF16 product: packing, the register tile, and the cut into jobs.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};
use std::mem::transmute;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::gemm::{MatRef, SERIAL_WORK};
use crate::parallel::SharedMut;
use crate::scratch::with_scratch;

/// Rows of the register tile: 28 accumulators leave four registers for operands.
const TILE_ROWS: usize = 14;
/// Columns of the register tile, two vectors.
const TILE_COLS: usize = 32;
/// K-pairs between visits to the output: a panel of `b` (128 KiB) stays in the second-level cache.
const BLOCK_PAIRS: usize = 1024;
/// Row panels of one job.
const JOB_PANELS: usize = 8;
/// Jobs that a product is cut into at least, where it is large enough.
const MIN_JOBS: usize = 16;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
}

/// `out = a x b`, where the instruction [`is_available`]; extents are not zero and the operands
/// lie within their slices.
pub(super) fn gemm(
    (m, n, k): (usize, usize, usize),
    a: MatRef<'_, bf16>,
    b: MatRef<'_, bf16>,
    out: &mut [bf16],
) {
    let pairs = k.div_ceil(2);
    let (row_panels, col_panels) = (m.div_ceil(TILE_ROWS), n.div_ceil(TILE_COLS));
    let (words_a, words_b) = (row_panels * TILE_ROWS * pairs, col_panels * TILE_COLS * pairs);
    let serial = m * n * k <= SERIAL_WORK;

    let lanes_a = Lanes { data: a.data, lane_stride: a.row_stride, depth_stride: a.col_stride };
    let lanes_b = Lanes { data: b.data, lane_stride: b.col_stride, depth_stride: b.row_stride };
    let down = row_panels.div_ceil(JOB_PANELS);
    // Columns are cut only when rows alone give too few jobs.
    let group = (col_panels / MIN_JOBS.div_ceil(down)).max(2);
    let across = col_panels.div_ceil(group);
    let out = SharedMut::new(out);
    with_scratch(words_a + words_b, |packed: &mut [u32]| {
        let (packed_a, packed_b) = packed.split_at_mut(words_a);
        pack::<TILE_ROWS>(lanes_a, m, k, packed_a, serial);
        pack::<TILE_COLS>(lanes_b, n, k, packed_b, serial);
        let product = Product { m, n, pairs, a: packed_a, b: packed_b };
        let run = |job: usize| {
            let (row, col) = (job / across * JOB_PANELS, job % across * group);
            let rows = row..row_panels.min(row + JOB_PANELS);
            product.run_job(rows, col..col_panels.min(col + group), &out);
        };
        if serial {
            (0..down * across).for_each(run);
        } else {
            (0..down * across).into_par_iter().for_each(run);
        }
    });
}

/// An operand as lanes (rows of `a`, columns of `b`) that run along K.
#[derive(Clone, Copy)]
struct Lanes<'a> {
    data: &'a [bf16],
    lane_stride: usize,
    depth_stride: usize,
}

/// Packs `count` lanes of depth `k` into panels of `W` lanes: `out[panel][pair][lane]`, each word
/// two neighbours along K. Missing lanes and an odd last element are zeros.
fn pack<const W: usize>(x: Lanes<'_>, count: usize, k: usize, out: &mut [u32], serial: bool) {
    let panel_words = k.div_ceil(2) * W;
    let run = |(panel, out): (usize, &mut [u32])| {
        let first = panel * W;
        pack_panel::<W>(
            Lanes { data: &x.data[first * x.lane_stride..], ..x },
            W.min(count - first),
            k,
            out,
        );
    };
    if serial {
        out.chunks_mut(panel_words).enumerate().for_each(run);
    } else {
        out.par_chunks_mut(panel_words).enumerate().for_each(run);
    }
}

fn pack_panel<const W: usize>(x: Lanes<'_>, width: usize, k: usize, out: &mut [u32]) {
    let pair = |low: bf16, high: bf16| u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16;
    if width < W {
        out.fill(0);
    }
    let whole = k / 2;
    if x.depth_stride == 1 {
        // Neighbours along K are adjacent: a transposition of words, a cache line a lane at a
        // time.
        const SIDE: usize = 16;
        for (block, words) in out.chunks_mut(SIDE * W).enumerate() {
            let depth = 2 * block * SIDE..(2 * whole).min(2 * (block + 1) * SIDE);
            for lane in 0..width {
                let source = &x.data[lane * x.lane_stride..][depth.clone()];
                if let Ok(source) = <&[bf16; 2 * SIDE]>::try_from(source) {
                    for p in 0..SIDE {
                        words[p * W + lane] = pair(source[2 * p], source[2 * p + 1]);
                    }
                } else {
                    for (p, two) in source.chunks_exact(2).enumerate() {
                        words[p * W + lane] = pair(two[0], two[1]);
                    }
                }
            }
        }
    } else if x.lane_stride == 1 {
        // Lanes are adjacent: two rows interleave.
        for (p, words) in out.chunks_exact_mut(W).take(whole).enumerate() {
            let low = &x.data[2 * p * x.depth_stride..][..width];
            let high = &x.data[(2 * p + 1) * x.depth_stride..][..width];
            for ((word, &low), &high) in words.iter_mut().zip(low).zip(high) {
                *word = pair(low, high);
            }
        }
    } else {
        for (p, words) in out.chunks_exact_mut(W).take(whole).enumerate() {
            for (lane, word) in words[..width].iter_mut().enumerate() {
                let at = lane * x.lane_stride + 2 * p * x.depth_stride;
                *word = pair(x.data[at], x.data[at + x.depth_stride]);
            }
        }
    }
    if k % 2 == 1 {
        for (lane, word) in out[whole * W..][..width].iter_mut().enumerate() {
            *word = pair(x.data[lane * x.lane_stride + (k - 1) * x.depth_stride], bf16::ZERO);
        }
    }
}

/// Packed operands of one product.
struct Product<'a> {
    m: usize,
    n: usize,
    pairs: usize,
    a: &'a [u32],
    b: &'a [u32],
}

impl Product<'_> {
    /// Computes the output of a range of row panels and column panels.
    fn run_job(
        &self,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        out: &SharedMut<'_, bf16>,
    ) {
        let (row, row_end) = (rows.start * TILE_ROWS, self.m.min(rows.end * TILE_ROWS));
        let (col, col_end) = (cols.start * TILE_COLS, self.n.min(cols.end * TILE_COLS));
        let width = col_end - col;
        let mut sums = vec![0.0f32; (row_end - row) * width];
        // SAFETY: the buffer holds the rectangle with rows `width` elements apart, and `gemm` is
        // called where `is_available` alone.
        unsafe { self.accumulate(rows, cols, sums.as_mut_ptr(), width) };
        for (r, sums) in (row..row_end).zip(sums.chunks(width)) {
            // SAFETY: jobs own disjoint rectangles; this is one row of this job's.
            let out =
                unsafe { std::slice::from_raw_parts_mut(out.pointer(r * self.n + col), width) };
            out.convert_from_f32_slice(sums);
        }
    }

    /// Writes f32 sums to the rectangle whose top left element is `out`.
    ///
    /// # Safety
    ///
    /// - The rectangle, with rows `stride` elements apart, is writable and no one else's.
    /// - The machine has AVX512-BF16.
    unsafe fn accumulate(
        &self,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        out: *mut f32,
        stride: usize,
    ) {
        for block in (0..self.pairs).step_by(BLOCK_PAIRS) {
            let pairs = BLOCK_PAIRS.min(self.pairs - block);
            for col in cols.clone() {
                let b = &self.b[(col * self.pairs + block) * TILE_COLS..][..pairs * TILE_COLS];
                let width = TILE_COLS.min(self.n - col * TILE_COLS);
                for row in rows.clone() {
                    let a = &self.a[(row * self.pairs + block) * TILE_ROWS..][..pairs * TILE_ROWS];
                    let height = TILE_ROWS.min(self.m - row * TILE_ROWS);
                    let at =
                        (row - rows.start) * TILE_ROWS * stride + (col - cols.start) * TILE_COLS;
                    // SAFETY: the tile lies in the rectangle; the caller vouches for the rest.
                    unsafe {
                        let tile = Tile { out: out.add(at), stride, width, add: block > 0 };
                        match height {
                            0..=2 => tile.run::<2>(a, b, height),
                            3..=4 => tile.run::<4>(a, b, height),
                            5..=6 => tile.run::<6>(a, b, height),
                            7..=8 => tile.run::<8>(a, b, height),
                            9..=10 => tile.run::<10>(a, b, height),
                            11..=12 => tile.run::<12>(a, b, height),
                            _ => tile.run::<TILE_ROWS>(a, b, height),
                        }
                    }
                }
            }
        }
    }
}

/// Where one register tile goes.
struct Tile {
    out: *mut f32,
    stride: usize,
    /// Columns to write, up to [`TILE_COLS`].
    width: usize,
    /// Whether to add to what is there.
    add: bool,
}

impl Tile {
    /// Multiplies the first `R` rows of a panel of `a` by a panel of `b` and writes `height` of
    /// them.
    ///
    /// # Safety
    ///
    /// - `height <= R`, and `height` rows of `width` elements are writable.
    /// - The machine has AVX512-BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn run<const R: usize>(&self, a: &[u32], b: &[u32], height: usize) {
        let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        for (a, b) in a.chunks_exact(TILE_ROWS).zip(b.chunks_exact(TILE_COLS)) {
            // SAFETY: a panel row of `b` is two vectors of words.
            let (left, right) = unsafe {
                let b = b.as_ptr();
                (_mm512_loadu_si512(b.cast()), _mm512_loadu_si512(b.add(16).cast()))
            };
            let (left, right) = (as_bf16(left), as_bf16(right));
            for r in 0..R {
                let row = as_bf16(_mm512_set1_epi32(a[r] as i32));
                sums[r][0] = _mm512_dpbf16_ps(sums[r][0], row, left);
                sums[r][1] = _mm512_dpbf16_ps(sums[r][1], row, right);
            }
        }
        let masks = [lane_mask(self.width), lane_mask(self.width.saturating_sub(16))];
        for (r, sums) in sums.iter().enumerate().take(height) {
            for (half, &sum) in sums.iter().enumerate() {
                let out = self.out.wrapping_add(r * self.stride + 16 * half);
                // SAFETY: masked lanes are not touched; the others are writable by contract.
                unsafe {
                    let old = if self.add {
                        _mm512_maskz_loadu_ps(masks[half], out)
                    } else {
                        _mm512_setzero_ps()
                    };
                    _mm512_mask_storeu_ps(out, masks[half], _mm512_add_ps(old, sum));
                }
            }
        }
    }
}

/// The same bits as 32 bf16 values.
#[inline(always)]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both types are plain 512-bit vectors.
    unsafe { transmute::<__m512i, __m512bh>(words) }
}

/// The first `count` of 16 lanes.
fn lane_mask(count: usize) -> __mmask16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}
