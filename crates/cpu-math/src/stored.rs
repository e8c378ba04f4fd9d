//! The types of stored weights, and how they widen to f32: exactly.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, __mmask16, _mm_loadu_si128, _mm_maskz_loadu_epi8, _mm256_loadu_si256,
    _mm256_maskz_loadu_epi16, _mm512_castsi512_ps, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
    _mm512_slli_epi32,
};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A number that f32 holds exactly.
pub(crate) trait Stored: bytemuck::Pod + Send + Sync {
    /// The same number.
    fn wide(self) -> f32;

    /// The same numbers; slices of one length.
    #[inline(always)]
    fn widen(source: &[Self], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(source) {
            *out = x.wide();
        }
    }

    /// Sixteen numbers.
    ///
    /// # Safety
    ///
    /// They may be read from `source` on; the machine has AVX-512 F, BW and VL.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(source: *const Self) -> __m512;

    /// The numbers of the lanes in `lanes`, and zeros.
    ///
    /// # Safety
    ///
    /// As [`load`](Self::load), for these lanes.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_lanes(lanes: __mmask16, source: *const Self) -> __m512;
}

impl Stored for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_lanes(lanes: __mmask16, source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_maskz_loadu_ps(lanes, source) }
    }
}

impl Stored for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        // The upper half of an f32.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_lanes(lanes: __mmask16, source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        }
    }
}

impl Stored for f16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn widen(source: &[Self], out: &mut [f32]) {
        // By instructions of its own where the machine has them.
        source.convert_to_f32_slice(out);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(source.cast())) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_lanes(lanes: __mmask16, source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, source.cast())) }
    }
}

impl Stored for i8 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from(self)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(source.cast()))) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_lanes(lanes: __mmask16, source: *const Self) -> __m512 {
        // SAFETY: by contract.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, source))) }
    }
}
