//! The dot products of a tile on AVX-512: one vector of partial sums each.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_storeu_ps,
};

use super::tile::{LANES, Lanes, Operand, Part, Tile};
use crate::gemm::panels::first_lanes;
use crate::stored::Stored;

/// Bytes that a prefetch brings.
const CACHE_LINE: usize = 64;

pub(super) struct Avx512;

impl Tile for Avx512 {
    const MOST_ROWS: usize = 8;

    /// 24 accumulators at most leave eight registers for operands.
    fn columns_for(rows: usize) -> usize {
        match rows {
            0..=2 => 8,
            3..=4 => 6,
            _ => 3,
        }
    }

    unsafe fn add<E: Stored>(x: Operand<'_, f32>, w: Operand<'_, E>, ahead: usize, part: Part<'_>) {
        // SAFETY: by this function's contract.
        unsafe {
            match (x.lines, part.width) {
                (1, 8) => add::<1, 8, E>(x, w, ahead, part),
                (_, 8) => add::<2, 8, E>(x, w, ahead, part),
                (_, 6) => add::<4, 6, E>(x, w, ahead, part),
                (1..=4, _) => add::<4, 3, E>(x, w, ahead, part),
                _ => add::<8, 3, E>(x, w, ahead, part),
            }
        }
    }

    unsafe fn reduce(lanes: &[Lanes; LANES]) -> [f32; LANES] {
        // SAFETY: by this function's contract.
        unsafe { reduce(lanes) }
    }
}

/// # Safety
///
/// The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn add<const R: usize, const C: usize, E: Stored>(
    x: Operand<'_, f32>,
    w: Operand<'_, E>,
    ahead: usize,
    part: Part<'_>,
) {
    let Part { depth, keep, lanes, width } = part;
    x.check(depth);
    w.check(depth);
    assert!(x.lines <= R && w.lines <= C && C == width, "no more lines than the tile has");
    // Lines that are not there repeat the last.
    let rows: [*const f32; R] =
        std::array::from_fn(|r| x.data.as_ptr().wrapping_add(r.min(x.lines - 1) * x.stride));
    let cols: [*const E; C] =
        std::array::from_fn(|c| w.data.as_ptr().wrapping_add(c.min(w.lines - 1) * w.stride));
    let mut sums = [[_mm512_setzero_ps(); C]; R];
    if keep {
        for (sums, lanes) in sums.iter_mut().zip(lanes.chunks_exact(C)) {
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                // SAFETY: sixteen floats.
                *sum = unsafe { _mm512_loadu_ps(lanes.0.as_ptr()) };
            }
        }
    }
    let whole = depth / LANES * LANES;
    let mut at = 0;
    while at < whole {
        // SAFETY: sixteen elements of each line from `at` on, by the checks; a prefetch reads nothing.
        unsafe {
            if ahead > 0 && at.is_multiple_of(CACHE_LINE / size_of::<E>()) {
                for col in cols {
                    _mm_prefetch::<_MM_HINT_T0>(col.wrapping_add(at + ahead).cast());
                }
            }
            let w: [__m512; C] = std::array::from_fn(|c| E::load(cols[c].wrapping_add(at)));
            for r in 0..R {
                let x = _mm512_loadu_ps(rows[r].wrapping_add(at));
                for c in 0..C {
                    sums[r][c] = _mm512_fmadd_ps(x, w[c], sums[r][c]);
                }
            }
        }
        at += LANES;
    }
    if whole < depth {
        let rest = first_lanes(depth - whole);
        // SAFETY: as above, for the lanes of `rest`.
        unsafe {
            let w: [__m512; C] =
                std::array::from_fn(|c| E::load_lanes(rest, cols[c].wrapping_add(whole)));
            for r in 0..R {
                let x = f32::load_lanes(rest, rows[r].wrapping_add(whole));
                for c in 0..C {
                    sums[r][c] = _mm512_fmadd_ps(x, w[c], sums[r][c]);
                }
            }
        }
    }
    for (sums, lanes) in sums.iter().zip(lanes.chunks_exact_mut(C)) {
        for (&sum, lanes) in sums.iter().zip(lanes) {
            // SAFETY: sixteen floats.
            unsafe { _mm512_storeu_ps(lanes.0.as_mut_ptr(), sum) };
        }
    }
}

/// Halves are added until one sum is left, of two dot products at a time, then four, and so on.
///
/// # Safety
///
/// The machine has AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn reduce(lanes: &[Lanes; LANES]) -> [f32; LANES] {
    // SAFETY: sixteen floats each.
    let dots: [__m512; LANES] =
        std::array::from_fn(|i| unsafe { _mm512_loadu_ps(lanes[i].0.as_ptr()) });
    // Eight sums of two.
    let halves: [__m512; 8] = std::array::from_fn(|i| {
        let (a, b) = (dots[2 * i], dots[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b))
    });
    // Four sums of four: a quarter of the vector each.
    let quarters: [__m512; 4] = std::array::from_fn(|i| {
        let (a, b) = (halves[2 * i], halves[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
    });
    // Pairs of eight, and then all sixteen: number `i` of each four in quarter `i`.
    let pairs: [__m512; 2] = std::array::from_fn(|i| {
        let (a, b) = (quarters[2 * i], quarters[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xee>(a, b))
    });
    let [a, b] = pairs;
    let sums = _mm512_add_ps(_mm512_shuffle_ps::<0x88>(a, b), _mm512_shuffle_ps::<0xdd>(a, b));
    let mut turned = [0.0; LANES];
    // SAFETY: sixteen floats.
    unsafe { _mm512_storeu_ps(turned.as_mut_ptr(), sums) };
    std::array::from_fn(|i| turned[i % 4 * 4 + i / 4])
}
