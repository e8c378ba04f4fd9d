//! Special functions of a float, with and without fast arithmetic.
//!
//! Bounds come from NVIDIA's documentation: of the functions in ulp (CUDA C++ Programming Guide,
//! "Mathematical Functions"), of the `.approx` instructions below them in the PTX manual. Where a
//! function's bound was measured on hardware whose `ex2.approx` beats its own bound of 2^-22, that
//! bound is added, since a simulated device may use all of it.

use std::f64::consts::{LN_2, PI};

use crate::device::{Device, Noise, ROUNDING, ULP, args, assert_near, cover, on_each};

/// Bound of `ex2.approx` and, away from 1, of `lg2.approx`.
const EX2: f64 = 2.0 * ULP;

/// Results that the kernel `specials` writes for an element.
const RESULTS: usize = 12;

fn specials(device: &Device, x: &[f32], y: &[f32]) -> Vec<f32> {
    let out = device.room::<f32>(RESULTS * x.len());
    let list = args![device.put(x), device.put(y), out, x.len() as i32];
    device.launch("specials", cover(x.len(), 32), &list);
    device.get(out, RESULTS * x.len())
}

#[test]
fn special_functions_keep_their_documented_bounds() {
    on_each("float_special", |device| {
        let mut noise = Noise(22);
        let mut x: Vec<f32> = (0..75).map(|_| noise.real(-60.0, 60.0).exp2() as f32).collect();
        x.extend([1.0, 0.999, 1.001, 1.5, 2.0, 4.0]);
        let mut y = noise.floats(x.len(), -12.0, 12.0);
        // Below and above the size at which the sine turns to its long reduction.
        y[..6].copy_from_slice(&[0.0, 1e-6, -105_000.0, 106_000.0, 3.7e8, -1e30]);
        for (at, got) in specials(device, &x, &y).chunks(RESULTS).enumerate() {
            let (a, b) = (f64::from(x[at]), f64::from(y[at]));
            let power = f64::from(y[at] * 0.125);
            let exact = [
                b.exp(),
                a.ln(),
                a.sqrt(),
                a.sqrt().recip(),
                b.tanh(),
                b.sin(),
                b.cos(),
                b / a,
                a.powf(power),
                a.recip(),
                a.ln_1p() + b.exp2(),
                error_function(b),
            ];
            let allowed = if device.fast { fast(a, b, power) } else { precise(a, b) };
            for (result, exact) in exact.into_iter().enumerate() {
                let what = format!("result {result} of {a:e} and {b:e}");
                // Results beyond the range of f32 become infinite; tiny ones lose bits, or all of
                // them when flushed to zero.
                let exact =
                    if (exact as f32).is_infinite() { f64::from(exact as f32) } else { exact };
                let tiny = f64::from(if device.fast { f32::MIN_POSITIVE } else { 1e-45 });
                assert_near(got[result], exact, allowed[result].of(exact) + tiny, &what);
            }
        }
    });
}

/// How far a result may be off.
#[derive(Clone, Copy)]
enum Bound {
    Relative(f64),
    Absolute(f64),
}
use Bound::{Absolute, Relative};

impl Bound {
    fn of(self, exact: f64) -> f64 {
        match self {
            // An infinite or zero result has no room.
            Relative(by) if exact.is_finite() => by * exact.abs(),
            Relative(_) => 0.0,
            Absolute(by) => by,
        }
    }
}

/// Correctly rounded, or the documented ulp.
fn precise(a: f64, b: f64) -> [Bound; RESULTS] {
    [
        Relative(2.0 * ULP + EX2),
        Relative(ULP),
        Relative(ROUNDING),
        Relative(2.0 * ULP),
        // The exponential of 2 |b|, its reciprocal and the last subtraction.
        Relative(2.0 * ULP + EX2),
        Relative(2.0 * ULP),
        Relative(2.0 * ULP),
        Relative(ROUNDING),
        Relative(4.0 * ULP + EX2),
        Relative(ROUNDING),
        Absolute((2.0 * ULP + EX2) * (a.ln_1p() + b.exp2()).min(f64::MAX)),
        Relative(2.0 * ULP + EX2),
    ]
}

/// The intrinsics that `--use_fast_math` puts in.
fn fast(a: f64, b: f64, power: f64) -> [Bound; RESULTS] {
    // 2^-20.5 within 2 pi; 2^-14.7 within 100 pi; nothing is promised beyond.
    let turn = match b.abs() / PI {
        ..=2.0 => Absolute((-20.5_f64).exp2()),
        ..=100.0 => Absolute((-14.7_f64).exp2()),
        _ => Absolute(f64::INFINITY),
    };
    // Absolute within (1/2, 2), relative outside.
    let log2 = EX2 * a.log2().abs().max(1.0);
    // The logarithm's error and the product's rounding, scaled, then the exponential's own.
    let exponent = power.abs() * log2 + (power * a.log2()).abs() * ROUNDING;
    [
        Relative((2.0 + (1.173 * b).abs().floor()) * ULP),
        Absolute(log2 * LN_2 * (1.0 + ULP) + a.ln().abs() * ULP),
        Relative(2.0 * ULP),
        Relative(2.0 * ULP),
        Relative((-10.987_f64).exp2()),
        turn,
        turn,
        Relative(2.0 * ULP),
        if b.abs() > 100.0 { Absolute(f64::INFINITY) } else { Relative(LN_2 * exponent + EX2) },
        Relative(2.0 * ULP),
        Absolute(4.0 * ULP * (a.ln_1p() + b.exp2()).min(f64::MAX)),
        Relative(2.0 * ULP + EX2),
    ]
}

/// erf by its series of positive terms, which loses nothing to cancellation.
fn error_function(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

#[test]
fn special_functions_take_the_edges() {
    const INF: f32 = f32::INFINITY;
    on_each("float_special", |device| {
        let got = specials(device, &[0.0, INF, f32::NAN, 1e-40], &[INF, -INF, f32::NAN, 0.0]);
        // Flushed to zero, a tiny number has no logarithm and no reciprocal root.
        let tiny = f64::from(1e-40_f32);
        let log_of_tiny = if device.fast { f32::NEG_INFINITY } else { tiny.ln() as f32 };
        let root_of_tiny = if device.fast { INF } else { tiny.sqrt().recip() as f32 };
        let cases = [
            ("exp inf", got[0], INF),
            ("log 0", got[1], -INF),
            ("sqrt 0", got[2], 0.0),
            ("rsqrt 0", got[3], INF),
            ("tanh inf", got[4], 1.0),
            ("sin inf", got[5], f32::NAN),
            ("cos inf", got[6], f32::NAN),
            ("inf / 0", got[7], INF),
            ("1 / 0", got[9], INF),
            ("erf inf", got[11], 1.0),
            ("exp -inf", got[12], 0.0),
            ("log inf", got[13], INF),
            ("sqrt inf", got[14], INF),
            ("rsqrt inf", got[15], 0.0),
            ("tanh -inf", got[16], -1.0),
            ("-inf / inf", got[19], f32::NAN),
            ("1 / inf", got[21], 0.0),
            ("erf -inf", got[23], -1.0),
            ("exp 0", got[36], 1.0),
            ("log tiny", got[37], log_of_tiny),
            ("rsqrt tiny", got[39], root_of_tiny),
            ("tanh 0", got[40], 0.0),
            ("sin 0", got[41], 0.0),
            ("cos 0", got[42], 1.0),
            ("0 / tiny", got[43], if device.fast { f32::NAN } else { 0.0 }),
            ("erf 0", got[47], 0.0),
        ];
        for (what, got, expected) in cases {
            // `ex2.approx` may be off by its bound even here, and a fast sine by its own.
            let turn = device.fast && (what == "sin 0" || what == "cos 0");
            let allowed = if turn { (-20.5_f64).exp2() } else { EX2 * f64::from(expected.abs()) };
            assert_near(got, f64::from(expected), allowed, what);
        }
        for (at, result) in got[24..36].iter().enumerate() {
            assert!(result.is_nan(), "result {at} of NaN is {result}");
        }
    });
}

#[test]
fn roundings_are_exact() {
    on_each("float_special", |device| {
        let mut noise = Noise(23);
        let mut y = noise.floats(70, -1000.0, 1000.0);
        y.extend([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.499_999_97, 8_388_609.0, -7.0]);
        let out = device.room::<i32>(8 * y.len());
        device.launch("roundings", cover(y.len(), 32), &args![device.put(&y), out, y.len() as i32]);
        for (&b, got) in y.iter().zip(device.get::<i32>(out, 8 * y.len()).chunks(8)) {
            let class =
                i32::from(b.is_sign_negative()) * 4 + i32::from(b == b.round_ties_even()) * 8;
            let expected = [
                b.floor() as i32,
                b.ceil() as i32,
                b as i32,
                b.round_ties_even() as i32,
                b.round() as i32,
                1.5_f32.copysign(b).to_bits() as i32,
                b.abs() as i32 + b as i32,
                class,
            ];
            assert_eq!(got, expected, "roundings of {b}");
        }
    });
}
