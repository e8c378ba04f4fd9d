//! Half and bfloat16 arithmetic, scalar and in pairs.

use half::{bf16, f16};

use crate::device::{Device, Noise, ULP, args, assert_near, cover, on_each};

/// Odd, so that the last element has no pair.
const COUNT: usize = 77;

/// A 16-bit float, for roundings that are written once.
trait Narrow: Copy + Into<f64> + PartialEq + std::fmt::Debug {
    fn guess(exact: f64) -> Self;
    fn from_bits(bits: u16) -> Self;
    fn bits(self) -> u16;

    /// The nearest value, ties to even.
    ///
    /// A conversion by way of another width may round twice, so the neighbours of its result are
    /// weighed against the exact value.
    fn nearest(exact: f64) -> Self {
        let guess = Self::guess(exact);
        let near = [guess.bits().wrapping_sub(1), guess.bits(), guess.bits().wrapping_add(1)];
        let error = |bits: u16| (Self::from_bits(bits).into() - exact).abs();
        let better = |a: &u16, b: &u16| error(*a).total_cmp(&error(*b)).then((a & 1).cmp(&(b & 1)));
        match guess.into() == exact {
            true => guess,
            false => Self::from_bits(near.into_iter().min_by(better).unwrap()),
        }
    }

    /// Half a unit in the last place of this value.
    fn half_ulp(self) -> f64 {
        let above = Self::from_bits(self.bits() + 1).into();
        (above - self.into()).abs() / 2.0
    }
}

macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Narrow for $type {
            fn guess(exact: f64) -> Self {
                <$type>::from_f64(exact)
            }
            fn from_bits(bits: u16) -> Self {
                <$type>::from_bits(bits)
            }
            fn bits(self) -> u16 {
                self.to_bits()
            }
        }
    )*};
}
narrow!(f16, bf16);

fn halves(noise: &mut Noise, count: usize) -> Vec<f16> {
    (0..count).map(|_| f16::from_f64(noise.real(-9.0, 9.0))).collect()
}

#[test]
fn half_pairs_multiply_and_add_with_one_rounding() {
    on_each("half_math", |device| {
        let mut noise = Noise(16);
        let (x, y, a) = (halves(&mut noise, COUNT), halves(&mut noise, COUNT), 1.3_f32);
        let out = device.put(&y);
        let list = args![device.put(&x), out, a, COUNT as i32];
        device.launch("half_axpy", cover(COUNT, 64), &list);
        let a = f16::from_f32(a).to_f64();
        for (at, &got) in device.get::<f16>(out, COUNT).iter().enumerate() {
            // Products of 11-bit numbers of this size fit an f64 exactly.
            let exact = f16::nearest(a * x[at].to_f64() + y[at].to_f64());
            assert_eq!(got, exact.max(f16::ZERO), "at {at}");
        }
    });
}

#[test]
fn half_operations_round_to_nearest() {
    on_each("half_math", |device| {
        let mut noise = Noise(17);
        let (x, y) = (halves(&mut noise, COUNT), halves(&mut noise, COUNT));
        let out = device.room::<f16>(8 * COUNT);
        let list = args![device.put(&x), device.put(&y), out, COUNT as i32];
        device.launch("half_ops", cover(COUNT, 32), &list);
        for (at, got) in device.get::<f16>(out, 8 * COUNT).chunks(8).enumerate() {
            let (a, b) = (x[at].to_f64(), y[at].to_f64());
            assert_eq!(got[0], f16::nearest(a + b), "{a} + {b}");
            assert_eq!(got[1], f16::nearest(a - b), "{a} - {b}");
            assert_eq!(got[2], f16::nearest(a * b), "{a} * {b}");
            // By way of the approximate f32 reciprocal and square root (1 ulp each, and a product
            // that rounds), then rounded to half.
            assert_near(got[3], a / b, got[3].half_ulp() + 2.0 * ULP * (a / b).abs(), "a / b");
            assert_eq!(f64::from(got[4]), a.abs().min(-b), "min(|{a}|, -{b})");
            let root = a.abs().sqrt();
            assert_near(got[5], root, got[5].half_ulp() + ULP * root, "sqrt |a|");
            assert_eq!(f64::from(got[6]), a.trunc() + b.round_ties_even(), "whole {a} + {b}");
            assert_eq!(f64::from(got[7]), a.min(b), "the lower of {a} and {b}");
        }
    });
}

#[test]
fn half_exponentials_are_within_a_rounding() {
    on_each("half_math", |device| {
        let x = halves(&mut Noise(18), COUNT);
        let out = device.room::<f32>(2 * COUNT);
        device.launch("half_exp", cover(COUNT, 32), &args![device.put(&x), out, COUNT as i32]);
        for (at, got) in device.get::<f32>(out, 2 * COUNT).chunks(2).enumerate() {
            let x = x[at].to_f64();
            for (got, exact) in [(got[0], x.exp()), (got[1], x.exp2())] {
                // `ex2.approx` (2^-22) of an argument below 16 that was rounded to f32 (2^-20 of
                // the result), then rounded to half.
                let allowed = f16::nearest(exact).half_ulp() + (2.0 + 8.0) * ULP * exact;
                assert_near(got, exact, allowed, "half exponential");
            }
        }
    });
}

#[test]
fn bfloat16_pairs_multiply_and_add_with_one_rounding() {
    on_each("bf16_math", |device| {
        let mut noise = Noise(19);
        let (x, y) = (noise.floats(COUNT, -9.0, 9.0), noise.floats(COUNT, -9.0, 9.0));
        let a = -0.7_f32;
        let out = device.room::<bf16>(COUNT);
        let list = args![device.put(&x), device.put(&y), out, a, COUNT as i32];
        device.launch("bf16_fma", cover(COUNT, 32), &list);
        let narrow = |value: f32| bf16::nearest(f64::from(value)).to_f64();
        for (at, &got) in device.get::<bf16>(out, COUNT).iter().enumerate() {
            let exact = narrow(a) * narrow(x[at]) + narrow(y[at]);
            assert_eq!(got, bf16::nearest(exact), "at {at}");
        }
    });
}

#[test]
fn bfloat16_operations_round_as_asked() {
    on_each("bf16_math", |device| {
        let mut noise = Noise(20);
        let mut x = noise.floats(COUNT, -9.0, 9.0);
        let mut y = noise.floats(COUNT, -9.0, 9.0);
        // Ties, equal values, and a value that rounds up to the next power of two.
        x[..4].copy_from_slice(&[1.003_906_3, 1.011_718_8, 4.0, 1.999_9]);
        y[..4].copy_from_slice(&[-1.003_906_3, 2.0, 4.0, -1.999_9]);
        check_bfloat16_operations(device, &x, &y);
    });
}

fn check_bfloat16_operations(device: &Device, x: &[f32], y: &[f32]) {
    let out = device.room::<bf16>(6 * COUNT);
    let list = args![device.put(x), device.put(y), out, COUNT as i32];
    device.launch("bf16_ops", cover(COUNT, 32), &list);
    for (at, got) in device.get::<bf16>(out, 6 * COUNT).chunks(6).enumerate() {
        let towards_zero = bf16::from_bits((x[at].to_bits() >> 16) as u16);
        let a = bf16::nearest(f64::from(x[at])).to_f64();
        let b = bf16::nearest(f64::from(y[at])).to_f64();
        let last = if a <= b { a * 0.5 } else { at as f64 };
        let expected = [
            towards_zero,
            bf16::nearest(a + b),
            bf16::nearest(a * b),
            bf16::nearest(a.max(b)),
            -bf16::nearest(a - b),
            bf16::nearest(last),
        ];
        let bits = |values: &[bf16]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(got), bits(&expected), "at {at}: {a} and {b}: {got:?}, {expected:?}");
    }
}
