//! Panels of an operand, packed for the register tile: `panel[depth][line]`.

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_castpd_ps, _mm512_castps_pd, _mm512_mask_storeu_ps,
    _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use crate::lines::Lines;
use crate::stored::Stored;

/// Lanes of a vector, and the side of the squares that are transposed in registers.
const SIDE: usize = 16;

/// Packs the first `count` lines, to `depth`, into panels of `W`; lines missing in the last are zeros.
///
/// # Safety
///
/// The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn pack_panels<const W: usize, E: Stored>(
    x: Lines<'_, E>,
    count: usize,
    depth: usize,
    out: &mut [f32],
) {
    // Lines that run along memory are read to their end; across it, all panels take a few cache lines
    // of each row in turn, because rows a power of two apart leave the caches at once.
    let step = if x.depth_stride == 1 { depth } else { SIDE };
    for at in (0..depth).step_by(step) {
        for (panel, out) in out.chunks_exact_mut(depth * W).enumerate() {
            let first = panel * W;
            let x = x.part(first, at);
            pack_panel::<W, E>(x, W.min(count - first), step.min(depth - at), &mut out[at * W..]);
        }
    }
}

/// Packs the first `count` lines, to `depth`, into the first rows of a panel.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pack_panel<const W: usize, E: Stored>(
    x: Lines<'_, E>,
    count: usize,
    depth: usize,
    out: &mut [f32],
) {
    let out = &mut out[..depth * W];
    if x.depth_stride == 1 {
        for first in (0..W.min(count.next_multiple_of(SIDE))).step_by(SIDE) {
            let (lines, room) = (SIDE.min(count - first), SIDE.min(W - first));
            let x = x.part(first, 0);
            assert!(
                (lines - 1) * x.line_stride + depth <= x.data.len(),
                "lines lie in their slice"
            );
            let whole = if lines == SIDE { depth / SIDE * SIDE } else { 0 };
            for at in (0..whole).step_by(SIDE) {
                let mut square = [_mm512_setzero_ps(); SIDE];
                for (line, vector) in square.iter_mut().enumerate() {
                    let source = x.data.as_ptr().wrapping_add(line * x.line_stride + at);
                    // SAFETY: inside the slice by the assertion.
                    *vector = unsafe { E::load(source) };
                }
                store(transpose(square), room, W, &mut out[at * W + first..]);
            }
            for at in (whole..depth).step_by(SIDE) {
                let part = SIDE.min(depth - at);
                let mut square = [_mm512_setzero_ps(); SIDE];
                for (line, vector) in square.iter_mut().enumerate().take(lines) {
                    let source = x.data.as_ptr().wrapping_add(line * x.line_stride + at);
                    // SAFETY: as above, and no more than `part` elements are read.
                    *vector = unsafe { E::load_lanes(first_lanes(part), source) };
                }
                let rows = transpose(square);
                for (row, &vector) in rows.iter().enumerate().take(part) {
                    let slots = &mut out[(at + row) * W + first..][..room];
                    // SAFETY: the slice has `room` elements, and no more are written.
                    unsafe {
                        _mm512_mask_storeu_ps(slots.as_mut_ptr(), first_lanes(room), vector);
                    }
                }
            }
        }
        for first in (count.next_multiple_of(SIDE)..W).step_by(SIDE) {
            out.chunks_exact_mut(W).for_each(|row| row[first..W.min(first + SIDE)].fill(0.0));
        }
    } else if x.line_stride == 1 {
        for row in 0..depth {
            let source = &x.data[row * x.depth_stride..][..count];
            let slots = &mut out[row * W..];
            if count == W && W.is_multiple_of(SIDE) {
                for first in (0..W).step_by(SIDE) {
                    // SAFETY: a whole vector of both rows.
                    unsafe {
                        let vector = E::load(source.as_ptr().wrapping_add(first));
                        _mm512_storeu_ps(slots.as_mut_ptr().wrapping_add(first), vector);
                    }
                }
                continue;
            }
            for first in (0..W).step_by(SIDE) {
                let lanes = first_lanes(count.saturating_sub(first));
                // SAFETY: reads the lines from `first` on and writes a vector, or what is left of
                // `W`, from there: both in their slices.
                unsafe {
                    let source = source.as_ptr().wrapping_add(first);
                    let vector = E::load_lanes(lanes, source);
                    let slots = slots.as_mut_ptr().wrapping_add(first);
                    _mm512_mask_storeu_ps(slots, first_lanes(W - first), vector);
                }
            }
        }
    } else {
        for (row, slots) in out.chunks_exact_mut(W).enumerate() {
            for (line, slot) in slots.iter_mut().enumerate() {
                let at = line * x.line_stride + row * x.depth_stride;
                *slot = if line < count { x.data[at].wide() } else { 0.0 };
            }
        }
    }
}

/// Writes the first `room` lanes of each vector, `stride` elements apart. Lanes past these go where the
/// next rows will be written, or nowhere.
#[target_feature(enable = "avx512f")]
fn store(rows: [__m512; SIDE], room: usize, stride: usize, out: &mut [f32]) {
    assert!(out.len() >= (SIDE - 1) * stride + room, "rows lie in the panel");
    for (row, &vector) in rows.iter().enumerate() {
        let slots = out.as_mut_ptr().wrapping_add(row * stride);
        // SAFETY: the slice holds `room` elements from the start of every row on, and a whole vector
        // where that is written.
        unsafe {
            if row * stride + SIDE <= out.len() {
                _mm512_storeu_ps(slots, vector);
            } else {
                _mm512_mask_storeu_ps(slots, first_lanes(room), vector);
            }
        }
    }
}

/// Rows to columns: words within pairs of rows, pairs within fours, and then quarters of vectors.
#[target_feature(enable = "avx512f")]
fn transpose(x: [__m512; SIDE]) -> [__m512; SIDE] {
    let mut pairs = [_mm512_setzero_ps(); SIDE];
    for i in 0..SIDE / 2 {
        pairs[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    // `fours[4 i + c]` holds column `c` of each quarter, of rows `4 i` to `4 i + 3`.
    let mut fours = [_mm512_setzero_ps(); SIDE];
    for i in 0..SIDE / 4 {
        for half in 0..2 {
            let low = _mm512_castps_pd(pairs[4 * i + half]);
            let high = _mm512_castps_pd(pairs[4 * i + 2 + half]);
            fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    let mut out = [_mm512_setzero_ps(); SIDE];
    for c in 0..4 {
        let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
        // Quarters 0 and 1 of two vectors, and 2 and 3.
        let (ab, de) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(d, e));
        out[c] = _mm512_shuffle_f32x4::<0x88>(ab, de);
        out[4 + c] = _mm512_shuffle_f32x4::<0xdd>(ab, de);
        let (ab, de) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(d, e));
        out[8 + c] = _mm512_shuffle_f32x4::<0x88>(ab, de);
        out[12 + c] = _mm512_shuffle_f32x4::<0xdd>(ab, de);
    }
    out
}

/// The first `count` of 16 lanes.
pub(crate) fn first_lanes(count: usize) -> __mmask16 {
    if count >= SIDE { !0 } else { (1 << count) - 1 }
}
