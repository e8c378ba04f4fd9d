//! Sums, products, quotients and roots that are exact until they are rounded once.
//!
//! Operands have at most 53 significant bits, so that products fit 106 and everything fits a
//! `u128`. Where a result does not end (quotients, roots) or ends far below (sums of very different
//! numbers), its lowest bit is set to stand for the rest. That bit lies more than ten places below
//! the last one that any format keeps, so no rounding can tell it from the exact rest.

use super::round::{Format, Number, Rounding, Value};

/// `significand * 2^exponent`, and the sign; not zero.
#[derive(Clone, Copy)]
struct Wide {
    negative: bool,
    exponent: i32,
    significand: u128,
}

/// Bits of a levelled significand: two fewer than fit, for a carry.
const LEVEL: u32 = 126;

impl Wide {
    fn of(number: Number) -> Wide {
        // At most 53 bits: zeros below go, so that products stay within 106.
        let spare = number.significand.trailing_zeros();
        Wide {
            negative: number.negative,
            exponent: number.exponent + spare as i32,
            significand: u128::from(number.significand >> spare),
        }
    }

    /// The same number with a significand of [`LEVEL`] bits.
    fn level(self) -> Wide {
        let shift = LEVEL - (128 - self.significand.leading_zeros());
        Wide {
            exponent: self.exponent - shift as i32,
            significand: self.significand << shift,
            ..self
        }
    }

    /// The upper 64 bits; the lowest stands for those cut off.
    fn narrow(self) -> Number {
        let spare = self.significand.leading_zeros();
        let top = self.significand << spare;
        Number {
            negative: self.negative,
            exponent: self.exponent - spare as i32 + 64,
            significand: (top >> 64) as u64 | u64::from(top as u64 != 0),
        }
    }

    fn product(self, other: Wide) -> Wide {
        Wide {
            negative: self.negative != other.negative,
            exponent: self.exponent + other.exponent,
            significand: self.significand * other.significand,
        }
    }

    /// The sum; `None` for zero.
    fn sum(self, other: Wide) -> Option<Wide> {
        let (mut large, mut small) = (self.level(), other.level());
        if (large.exponent, large.significand) < (small.exponent, small.significand) {
            std::mem::swap(&mut large, &mut small);
        }
        // Significands of 106 bits have 20 zeros below once levelled: bits are lost only where the
        // small number is less than a 2^20th of the large one, and then the sum keeps its size.
        let distance = (large.exponent - small.exponent) as u32;
        let part = small.significand.checked_shr(distance).unwrap_or(0);
        let lost = part.checked_shl(distance).unwrap_or(0) != small.significand;
        let significand = match large.negative == small.negative {
            true => large.significand + part,
            // The part that was lost takes a little more away.
            false => large.significand - part - u128::from(lost),
        };
        let significand = significand | u128::from(lost);
        (significand != 0).then_some(Wide { significand, ..large })
    }

    fn quotient(self, divisor: Wide) -> Wide {
        // 126 bits by at most 53 leave at least 73.
        let dividend = self.level();
        let (whole, rest) = (
            dividend.significand / divisor.significand,
            dividend.significand % divisor.significand,
        );
        Wide {
            negative: self.negative != divisor.negative,
            exponent: dividend.exponent - divisor.exponent,
            significand: whole | u128::from(rest != 0),
        }
    }

    fn root(self) -> Wide {
        let level = self.level();
        // Levelled numbers of 53 bits end in zeros: halving is exact. The root has 63 bits.
        let odd = level.exponent & 1;
        let square = level.significand >> odd;
        let root = square.isqrt();
        Wide {
            negative: false,
            exponent: (level.exponent + odd) / 2,
            significand: root | u128::from(root * root != square),
        }
    }
}

/// `a + b` rounded.
pub(in crate::isa) fn add(format: Format, rounding: Rounding, a: u64, b: u64) -> u64 {
    total(format, rounding, format.decode(a), format.decode(b))
}

/// `a * b` rounded.
pub(in crate::isa) fn mul(format: Format, rounding: Rounding, a: u64, b: u64) -> u64 {
    match times(format.decode(a), format.decode(b)) {
        Product::Finite(product) => format.encode(product.narrow(), rounding),
        Product::Other(value) => special(format, value),
    }
}

/// `a * b + c` rounded.
pub(in crate::isa) fn fma(format: Format, rounding: Rounding, a: u64, b: u64, c: u64) -> u64 {
    let c = format.decode(c);
    match times(format.decode(a), format.decode(b)) {
        Product::Other(product) => total(format, rounding, product, c),
        Product::Finite(product) => match c {
            Value::Finite(c) => finish(format, rounding, product.sum(Wide::of(c))),
            Value::Zero(_) => format.encode(product.narrow(), rounding),
            other => special(format, other),
        },
    }
}

/// `a / b` rounded.
pub(in crate::isa) fn div(format: Format, rounding: Rounding, a: u64, b: u64) -> u64 {
    let sign = format.is_negative(a) != format.is_negative(b);
    match (format.decode(a), format.decode(b)) {
        (Value::Finite(a), Value::Finite(b)) => {
            format.encode(Wide::of(a).quotient(Wide::of(b)).narrow(), rounding)
        }
        (Value::Nan, _) | (_, Value::Nan) => format.nan(),
        (Value::Infinite(_), Value::Infinite(_)) | (Value::Zero(_), Value::Zero(_)) => format.nan(),
        (Value::Infinite(_), _) | (_, Value::Zero(_)) => special(format, Value::Infinite(sign)),
        _ => format.sign(sign),
    }
}

/// The square root, rounded.
pub(in crate::isa) fn sqrt(format: Format, rounding: Rounding, a: u64) -> u64 {
    match format.decode(a) {
        Value::Finite(number) if !number.negative => {
            format.encode(Wide::of(number).root().narrow(), rounding)
        }
        Value::Infinite(false) | Value::Zero(_) => a,
        _ => format.nan(),
    }
}

enum Product {
    Finite(Wide),
    Other(Value),
}

fn times(a: Value, b: Value) -> Product {
    let sign = |value| match value {
        Value::Nan => false,
        Value::Infinite(negative) | Value::Zero(negative) => negative,
        Value::Finite(number) => number.negative,
    };
    let negative = sign(a) != sign(b);
    Product::Other(match (a, b) {
        (Value::Finite(a), Value::Finite(b)) => {
            return Product::Finite(Wide::of(a).product(Wide::of(b)));
        }
        (Value::Nan, _) | (_, Value::Nan) => Value::Nan,
        (Value::Infinite(_), Value::Zero(_)) | (Value::Zero(_), Value::Infinite(_)) => Value::Nan,
        (Value::Infinite(_), _) | (_, Value::Infinite(_)) => Value::Infinite(negative),
        _ => Value::Zero(negative),
    })
}

fn total(format: Format, rounding: Rounding, a: Value, b: Value) -> u64 {
    match (a, b) {
        (Value::Finite(a), Value::Finite(b)) => {
            finish(format, rounding, Wide::of(a).sum(Wide::of(b)))
        }
        (Value::Nan, _) | (_, Value::Nan) => format.nan(),
        (Value::Infinite(a), Value::Infinite(b)) if a != b => format.nan(),
        (Value::Infinite(sign), _) | (_, Value::Infinite(sign)) => {
            special(format, Value::Infinite(sign))
        }
        (Value::Zero(a), Value::Zero(b)) => {
            format.sign(if a == b { a } else { rounding == Rounding::Down })
        }
        (Value::Finite(number), _) | (_, Value::Finite(number)) => format.encode(number, rounding),
    }
}

/// A sum that cancels to nothing is negative only when rounded down.
fn finish(format: Format, rounding: Rounding, sum: Option<Wide>) -> u64 {
    match sum {
        Some(sum) => format.encode(sum.narrow(), rounding),
        None => format.sign(rounding == Rounding::Down),
    }
}

fn special(format: Format, value: Value) -> u64 {
    match value {
        Value::Infinite(negative) => format.infinity(negative),
        Value::Zero(negative) => format.sign(negative),
        _ => format.nan(),
    }
}

/// `a + b` rounded to odd: a sum that an f64 does not hold takes the neighbour whose last bit is
/// set. Rounding that once more, to a format with at least two bits fewer, gives what rounding the
/// exact sum would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
///
/// The operands' sum must not overflow.
#[inline(always)]
pub(in crate::isa) fn odd_sum(a: f64, b: f64) -> f64 {
    let sum = a + b;
    // Knuth's two-sum: the error of the addition, exactly.
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    if error == 0.0 || error.is_nan() || sum.to_bits() & 1 == 1 {
        return sum;
    }
    // `sum` is even and not the exact sum, so not zero: the odd neighbour on the error's side.
    match (error > 0.0) == (sum > 0.0) {
        true => f64::from_bits(sum.to_bits() + 1),
        false => f64::from_bits(sum.to_bits() - 1),
    }
}
