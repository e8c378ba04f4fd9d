//! log10 of a row of powers, in arithmetic that the compiler turns into vector code.
//!
//! A library logarithm is one call a value and would cost as much as the FFT. Here `x = 2^e m` with
//! `sqrt(1/2) <= m < sqrt(2)`, and
//!
//! ```text
//! ln m = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + s^7/7 + s^9/9 + ...),   s = (m - 1) / (m + 1)
//! ```
//!
//! With `|s| < 0.1716` the first term left out is below 1e-9, so that f32 rounding is all the error.

use std::f32::consts::{LN_10, LOG10_2};

/// Bits of `sqrt(1/2)`, where the mantissa's range starts.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// Replaces each `x` by `max(log10(x), log_floor)`, where `floor` is `10^log_floor` and normal. NaN stays
/// NaN, and silence is `log_floor` exactly.
#[inline]
pub(super) fn log10_clamped<const N: usize>(row: &mut [f32; N], floor: f32, log_floor: f32) {
    for x in row {
        let y = log10(if *x < floor { floor } else { *x });
        *x = if y < log_floor { log_floor } else { y };
    }
}

/// `log10` of a positive normal number; NaN and infinity stay what they are.
#[inline]
fn log10(x: f32) -> f32 {
    let offset = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (offset.cast_signed() >> 23) as f32;
    let m = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    let value = exponent * LOG10_2 + s * series * (2.0 / LN_10);
    if x < f32::INFINITY { value } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_over_all_normal_exponents() {
        let mut worst = 0.0_f64;
        for exponent in 1..255_u32 {
            for step in 0..997_u32 {
                let x = f32::from_bits((exponent << 23) | (step * 8413));
                let want = f64::from(x).log10();
                let error = (f64::from(log10(x)) - want).abs() / want.abs().max(1.0);
                worst = worst.max(error);
            }
        }
        assert!(worst < 2e-7, "{worst:e}");
    }

    #[test]
    fn special_values_are_not_laundered() {
        let mut row = [0.0, -1.0, 1e-12, f32::INFINITY, f32::NAN, 1.0];
        log10_clamped(&mut row, 1e-10, -10.0);
        assert_eq!(row[3], f32::INFINITY);
        assert!(row[4].is_nan());
        assert_eq!(row[5], 0.0);
        assert_eq!(row[..3], [-10.0; 3]);
    }
}
