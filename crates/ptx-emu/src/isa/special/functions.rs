//! The exact results of special functions, and the errors that the manual allows.

use std::f64::consts::PI;

/// How far a result may be from the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// Not at all.
    None,
    /// This part of the exact result.
    Relative(f64),
    Absolute(f64),
    /// Units in the last place.
    Ulps(f64),
}

/// An exact result (as far as f64 goes) and the error that is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    pub(super) exact: f64,
    pub(super) bound: Bound,
}

/// A function of one operand, which f64 holds whatever its format.
pub(super) type Function = fn(f64) -> Answer;

fn exactly(exact: f64) -> Answer {
    Answer { exact, bound: Bound::None }
}

fn answer(exact: f64, bound: Bound) -> Answer {
    Answer { exact, bound }
}

/// 2^-22.9, 2^-22 and so on.
fn power(exponent: f64) -> f64 {
    exponent.exp2()
}

/// The `.approx.f32` instruction of this name.
pub(super) fn single(opcode: &str) -> Option<Function> {
    Some(match opcode {
        "rcp" => reciprocal,
        "sqrt" => |a| settled(a.sqrt(), a, Bound::Relative(power(-23.0))),
        "rsqrt" => |a| settled(1.0 / a.sqrt(), a, Bound::Relative(power(-22.9))),
        "ex2" => |a| settled(a.exp2(), a, Bound::Ulps(2.0)),
        "lg2" => |a| match a > 0.5 && a < 2.0 {
            true => answer(a.log2(), Bound::Absolute(power(-22.0))),
            false => settled(a.log2(), a, Bound::Relative(power(-22.0))),
        },
        "sin" => |a| turn(f64::sin, a),
        "cos" => |a| turn(f64::cos, a),
        // Subnormal operands come out as they are.
        "tanh" => |a| match a.abs() < f32::MIN_POSITIVE.into() {
            true => exactly(a),
            false => settled(a.tanh(), a, Bound::Relative(power(-11.0))),
        },
        _ => return None,
    })
}

/// The `.approx` instruction of a 16-bit format.
pub(super) fn half(opcode: &str, bfloat: bool) -> Option<Function> {
    Some(match (opcode, bfloat) {
        ("ex2", false) => |a| settled(a.exp2(), a, Bound::Relative(power(-9.9))),
        ("ex2", true) => |a| settled(a.exp2(), a, Bound::Relative(power(-7.0))),
        ("tanh", false) => |a| settled(a.tanh(), a, Bound::Absolute(power(-10.987))),
        ("tanh", true) => |a| settled(a.tanh(), a, Bound::Absolute(power(-8.0))),
        _ => return None,
    })
}

/// `rcp` or `rsqrt` of the upper half of an f64. The manual calls it gross and gives no bound; here
/// it is a unit in the last of its 20 places.
pub(super) fn upper(opcode: &str) -> Function {
    match opcode {
        "rcp" => reciprocal,
        _ => |a| settled(1.0 / a.sqrt(), a, Bound::Ulps(1.0)),
    }
}

fn reciprocal(a: f64) -> Answer {
    settled(1.0 / a, a, Bound::Ulps(1.0))
}

/// Results for zeros, infinities and NaN are given one by one in the manual.
fn settled(exact: f64, a: f64, bound: Bound) -> Answer {
    let bound = if a == 0.0 || !a.is_finite() || exact.is_nan() { Bound::None } else { bound };
    Answer { exact, bound }
}

fn turn(function: fn(f64) -> f64, a: f64) -> Answer {
    let exact = function(a);
    match a.abs() {
        size if size <= 2.0 * PI => settled(exact, a, Bound::Absolute(power(-20.5))),
        size if size <= 100.0 * PI => settled(exact, a, Bound::Absolute(power(-14.7))),
        // Nothing is promised beyond.
        _ => settled(exact, a, Bound::Absolute(1.0)),
    }
}

/// `div.full`, or `div.approx`, whose reciprocal of a huge divisor is zero.
pub(super) fn quotient(full: bool, a: f64, b: f64) -> Answer {
    let huge = b.is_finite() && b.abs() > power(126.0);
    match huge && !full {
        true => exactly(a * 0.0f64.copysign(b)),
        false if a == 0.0 || !a.is_finite() => exactly(a / b),
        false => settled(a / b, b, Bound::Ulps(2.0)),
    }
}
