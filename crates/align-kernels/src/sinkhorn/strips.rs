//! Products of a block of rows with vectors, on AVX-512 with every sum in a register.
//!
//! The compiler makes neither of these from loops: it keeps accumulator arrays of several rows on the
//! stack, and adds up their lanes one row after another.

use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_fmadd_ps, _mm512_load_ps, _mm512_permute_ps, _mm512_permutex2var_ps, _mm512_set1_ps,
    _mm512_setr_epi32, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_store_ps,
    _mm512_unpackhi_pd, _mm512_unpacklo_pd,
};

use super::lanes::{LANES, Lanes};

/// Rows whose sums are kept at once: enough for both multipliers, and few enough for an address each.
const ROWS: usize = 8;
/// Most vectors of a strip of columns.
const STRIP: usize = 12;

/// Products of up to sixteen rows of `k` with `v`; 1 in lanes without a row.
///
/// # Safety
///
/// The machine has AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dot_block(k: &[Lanes], width: usize, v: &[Lanes]) -> Lanes {
    let rows = k.len() / width;
    let mut halves = [_mm512_setzero_ps(); 2];
    for (half, sums) in halves.iter_mut().enumerate() {
        let first = half * ROWS;
        if first < rows {
            // Rows that are missing repeat the first one.
            let row = |r: usize| if first + r < rows { first + r } else { first };
            let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            *sums = dot_rows(k, rows, &v[..width]);
        }
    }
    // Where `dot_rows` leaves the sum of each row.
    let at = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 16, 20, 24, 28, 18, 22, 26, 30);
    let mut out = Lanes([1.0; LANES]);
    // SAFETY: one vector, aligned as its type says.
    unsafe {
        _mm512_store_ps(out.0.as_mut_ptr(), _mm512_permutex2var_ps(halves[0], at, halves[1]));
    }
    out.0[rows.min(LANES)..].fill(1.0);
    out
}

/// Sums of eight rows: row `r` in lanes `4 (r % 4) + 2 (r / 4)` and the one after. Lanes are added by
/// halves, as `Lanes::sum` does.
#[target_feature(enable = "avx512f")]
fn dot_rows(k: &[Lanes], rows: [usize; ROWS], v: &[Lanes]) -> __m512 {
    let width = v.len();
    assert!(rows.iter().all(|row| (row + 1) * width <= k.len()), "rows lie in the block");
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for j in 0..width {
        // SAFETY: `j` is below the width of `v` and of every row; vectors are aligned.
        unsafe {
            let v = load(v.as_ptr().add(j));
            for r in 0..ROWS {
                let k = load(k.as_ptr().add(rows[r] * width + j));
                sums[r] = _mm512_fmadd_ps(k, v, sums[r]);
            }
        }
    }
    // Eight lanes a row, two rows a vector; then four and four.
    let mut eights = [_mm512_setzero_ps(); 4];
    for (i, sum) in eights.iter_mut().enumerate() {
        let (a, b) = (sums[2 * i], sums[2 * i + 1]);
        let low = _mm512_shuffle_f32x4::<0x44>(a, b);
        *sum = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xee>(a, b));
    }
    let mut fours = [_mm512_setzero_ps(); 2];
    for (i, sum) in fours.iter_mut().enumerate() {
        let (a, b) = (eights[2 * i], eights[2 * i + 1]);
        let even = _mm512_shuffle_f32x4::<0x88>(a, b);
        *sum = _mm512_add_ps(even, _mm512_shuffle_f32x4::<0xdd>(a, b));
    }
    let [a, b] = [_mm512_castps_pd(fours[0]), _mm512_castps_pd(fours[1])];
    let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    let twos = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    _mm512_add_ps(twos, _mm512_permute_ps::<0xb1>(twos))
}

/// Adds the rows of `k`, each times its factor, to `out`. With `AHEAD` the vectors that lie `ahead`
/// further on are asked for meanwhile: the block that follows, in a matrix that no cache holds.
///
/// # Safety
///
/// The machine has AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn axpy_block<const AHEAD: bool>(
    k: &[Lanes],
    factors: &Lanes,
    ahead: isize,
    out: &mut [Lanes],
) {
    let width = out.len();
    let strips = width.div_ceil(STRIP);
    for strip in 0..strips {
        let (from, to) = (strip * width / strips, (strip + 1) * width / strips);
        let (k, out) = (&k[from..], &mut out[from..to]);
        match to - from {
            1 => axpy_strip::<1, AHEAD>(k, (width, ahead), factors, out),
            2 => axpy_strip::<2, AHEAD>(k, (width, ahead), factors, out),
            3 => axpy_strip::<3, AHEAD>(k, (width, ahead), factors, out),
            4 => axpy_strip::<4, AHEAD>(k, (width, ahead), factors, out),
            5 => axpy_strip::<5, AHEAD>(k, (width, ahead), factors, out),
            6 => axpy_strip::<6, AHEAD>(k, (width, ahead), factors, out),
            7 => axpy_strip::<7, AHEAD>(k, (width, ahead), factors, out),
            8 => axpy_strip::<8, AHEAD>(k, (width, ahead), factors, out),
            9 => axpy_strip::<9, AHEAD>(k, (width, ahead), factors, out),
            10 => axpy_strip::<10, AHEAD>(k, (width, ahead), factors, out),
            11 => axpy_strip::<11, AHEAD>(k, (width, ahead), factors, out),
            _ => axpy_strip::<STRIP, AHEAD>(k, (width, ahead), factors, out),
        }
    }
}

#[target_feature(enable = "avx512f")]
fn axpy_strip<const W: usize, const AHEAD: bool>(
    k: &[Lanes],
    (width, ahead): (usize, isize),
    factors: &Lanes,
    out: &mut [Lanes],
) {
    let out: &mut [Lanes] = &mut out[..W];
    let mut sums = [_mm512_setzero_ps(); W];
    for (sum, out) in sums.iter_mut().zip(&*out) {
        // SAFETY: a vector of the slice, aligned.
        *sum = unsafe { load(out) };
    }
    for (row, factor) in k.chunks(width).zip(&factors.0) {
        let (row, factor) = (&row[..W], _mm512_set1_ps(*factor));
        for (k, sum) in row.iter().zip(&mut sums) {
            // SAFETY: as above; a prefetch reads nothing.
            unsafe {
                if AHEAD {
                    let next = std::ptr::from_ref(k).wrapping_offset(ahead);
                    _mm_prefetch::<_MM_HINT_T1>(next.cast());
                }
                *sum = _mm512_fmadd_ps(load(k), factor, *sum);
            }
        }
    }
    for (&sum, out) in sums.iter().zip(out) {
        // SAFETY: as above.
        unsafe { _mm512_store_ps(out.0.as_mut_ptr(), sum) };
    }
}

/// # Safety
///
/// `x` points to a vector.
#[inline(always)]
unsafe fn load(x: *const Lanes) -> __m512 {
    // SAFETY: a vector by contract, aligned as its type says.
    unsafe { _mm512_load_ps(x.cast()) }
}
