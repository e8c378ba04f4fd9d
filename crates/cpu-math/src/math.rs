//! Elementary functions of `f32` without branches, tables or calls, so that loops vectorise.
//!
//! Each reduces its argument to a short interval and evaluates a polynomial there. The
//! coefficients are our own weighted minimax fits (Lawson iteration at Chebyshev nodes in 40
//! digits, then rounded to `f32`). Errors, measured in the tests below, are under 2 units in the
//! last place for `exp`, `ln` and `erf`, and under 3 for `tanh` and `sigmoid`. NaN comes out as
//! NaN. All expect `#[inline(always)]` into a function compiled with FMA.

/// `c[0] + c[1] x + ..` by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, c[i]);
    }
    sum
}

/// `e^x`: infinity above 88.73, 0 below -104, subnormal in between as it should be.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons with NaN are false, so NaN passes both clamps.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the significand.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let exponent = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    let n = shifted - SHIFT;
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = polynomial(
        r,
        [0.5, 0.166_666_66, 0.041_666_295, 0.008_333_498, 0.001_394_475_9, 0.000_197_902_48],
    );
    let e = (r * r).mul_add(p, r) + 1.0;
    // Two factors, because 2^n alone leaves the range of exponents at either end.
    let half = exponent >> 1;
    e * power_of_two(half) * power_of_two(exponent.wrapping_sub(half))
}

/// `2^n` for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Natural logarithm: -infinity at 0, NaN below.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // Subnormals are scaled into the normal range first.
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let offset = if tiny { -23.0 } else { 0.0 };
    // Splits x = 2^n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let bits = scaled.to_bits().wrapping_sub(SQRT_HALF);
    let n = ((bits as i32) >> 23) as f32 + offset;
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    let p = polynomial(
        f,
        [
            0.333_333_13,
            -0.250_000_1,
            0.200_021_2,
            -0.166_679_96,
            0.142_195_51,
            -0.124_055_915,
            0.118_881_75,
            -0.116_756_41,
            0.067_466_01,
        ],
    );
    let square = f * f;
    let tail = (square * f).mul_add(p, n * -2.121_944_4e-4);
    let sum = n.mul_add(0.693_359_4, (-0.5f32).mul_add(square, tail) + f);
    let sum = if x == f32::INFINITY { x } else { sum };
    let sum = if x == 0.0 { f32::NEG_INFINITY } else { sum };
    if x >= 0.0 { sum } else { f32::NAN }
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = polynomial(
        z,
        [-0.333_333_3, 0.133_332_06, -0.053_946_763, 0.021_700_7, -0.008_177_395, 0.002_142_958_8],
    );
    let near = (a * z).mul_add(p, a);
    let far = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    (if a < 0.625 { near } else { far }).copysign(x)
}

/// Error function, `2 / sqrt(pi)` times the integral of `exp(-t^2)` from 0 to x.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    // Near 0: x + x P(x^2). Farther out: 1 - exp(-Q(|x|)); beyond 4.1 that is 1 in f32.
    let near = polynomial(
        x * x,
        [
            0.128_379_23,
            -0.376_126_32,
            0.112_836_64,
            -0.026_857_706,
            0.005_196_952,
            -0.000_809_770_25,
            8.185_091e-5,
        ],
    );
    let near = a.mul_add(near, a);
    let capped = if a > 4.1 { 4.1 } else { a };
    let far = polynomial(
        capped,
        [
            -0.000_169_205_1,
            1.129_488_3,
            0.633_400_86,
            0.108_220_38,
            -0.025_080_616,
            0.004_156_254_7,
            -0.000_431_393_54,
            2.082_861_6e-5,
        ],
    );
    let far = 1.0 - exp(-far);
    (if a < 0.93 { near } else { far }).copysign(x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error in units of the last place of the correctly rounded result.
    fn worst_ulp(ours: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let steps = 200_000;
        (0..=steps)
            .map(|i| from + (to - from) * (i as f32 / steps as f32))
            .map(|x| {
                let want = exact(f64::from(x));
                let exponent = want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32;
                (f64::from(ours(x)) - want).abs() / 2f64.powi(exponent - 23)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_stay_within_the_stated_ulps() {
        let sigmoid_f64 = |x: f64| 1.0 / (1.0 + (-x).exp());
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64, &'static [(f32, f32)]);
        let cases: [Case; 5] = [
            ("exp", exp, f64::exp, 2.0, &[(-1.0, 1.0), (-87.0, 88.7), (-103.9, -87.0)]),
            ("ln", ln, f64::ln, 2.0, &[(1e-45, 1e-38), (1e-30, 0.1), (0.5, 2.0), (2.0, 1e30)]),
            ("tanh", tanh, f64::tanh, 3.0, &[(-1e-3, 1e-3), (-1.0, 1.0), (-12.0, 12.0)]),
            ("erf", erf, libm::erf, 2.0, &[(-1e-3, 1e-3), (-1.0, 1.0), (-6.0, 6.0)]),
            ("sigmoid", sigmoid, sigmoid_f64, 3.0, &[(-1.0, 1.0), (-87.0, 40.0)]),
        ];
        for (name, ours, exact, bound, ranges) in cases {
            for &(from, to) in ranges {
                let worst = worst_ulp(ours, exact, from, to);
                assert!(worst <= bound, "{name} on [{from}, {to}]: {worst} ulp");
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        let inf = f32::INFINITY;
        assert_eq!((exp(inf), exp(-inf), exp(0.0), exp(89.0)), (inf, 0.0, 1.0, inf));
        assert_eq!((ln(inf), ln(0.0), ln(1.0)), (inf, -inf, 0.0));
        assert_eq!((tanh(inf), tanh(-inf), tanh(0.0)), (1.0, -1.0, 0.0));
        assert_eq!((erf(inf), erf(-inf), erf(0.0)), (1.0, -1.0, 0.0));
        assert_eq!((sigmoid(inf), sigmoid(-inf), sigmoid(0.0)), (1.0, 0.0, 0.5));
        assert!(tanh(-0.0).is_sign_negative() && erf(-0.0).is_sign_negative());
    }

    #[test]
    fn nan_comes_out_as_nan() {
        for f in [exp, ln, tanh, erf, sigmoid] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(ln(-1.0).is_nan() && ln(-f32::INFINITY).is_nan());
    }
}
