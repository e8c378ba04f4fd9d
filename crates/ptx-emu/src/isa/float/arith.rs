//! Sums, products, quotients, roots and fused products, in every rounding.
//!
//! Rounded to nearest they are the host's own operations; in other directions they go through
//! [`exact`].

use super::super::Lowered;
use super::super::lanes::{map1, map2, map3};
use super::exact;
use super::round::{F32, F64, Rounding};
use super::{canonical, flush, is_double};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::registers::Plane;
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let rounding = form.take_as(Rounding::named);
    let (opcode, ftz, sat) = (form.opcode(), form.take("ftz"), form.take("sat"));
    let double = is_double(lower, form)?;
    let fused = matches!(opcode, "fma" | "mad");
    if (double && (ftz || sat)) || (sat && opcode == "div") {
        return Err(form.unknown(lower));
    }
    if rounding.is_none() && (fused || opcode == "div") {
        let text = form.text();
        return Err(lower.fail(format!("`{text}` lacks a rounding, such as .rn")));
    }
    let rounding = rounding.unwrap_or(Rounding::Nearest);
    let ty = if double { Type::F64 } else { Type::F32 };
    let after = After { ftz, sat };
    let body = if fused {
        let [to, a, b, c] = form.operands(lower)?;
        let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
        let c = lower.src(c, ty)?;
        let to = lower.dst(to, ty)?;
        if double { fma64(to, [a, b, c], rounding) } else { fma32(to, [a, b, c], rounding, after) }
    } else {
        let [to, a, b] = form.operands(lower)?;
        let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
        let to = lower.dst(to, ty)?;
        match double {
            true => binary64(opcode, to, [a, b], rounding),
            false => binary32(opcode, to, [a, b], rounding, after),
        }
    };
    let class = match (double, opcode) {
        (true, _) => Class::Double,
        (_, "fma" | "mad") => Class::Fma,
        (_, "div") => Class::Special,
        _ => Class::Float,
    };
    Ok(Lowered::new(Action::Lanes(body), class))
}

/// `rcp` and `sqrt` with a rounding.
pub(in crate::isa) fn reciprocal_or_root(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    rounding: Rounding,
) -> Result<Lowered, PtxError> {
    let (root, ftz) = (form.opcode() == "sqrt", form.take("ftz"));
    let double = is_double(lower, form)?;
    if double && ftz {
        return Err(form.unknown(lower));
    }
    let ty = if double { Type::F64 } else { Type::F32 };
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    let after = After { ftz, sat: false };
    let body = match (double, root, rounding) {
        (false, true, Rounding::Nearest) => unary32(to, a, after, f32::sqrt),
        (false, false, Rounding::Nearest) => unary32(to, a, after, |a| 1.0 / a),
        (false, true, _) => unary32(to, a, after, move |a| {
            f32::from_bits(exact::sqrt(F32, rounding, a.to_bits().into()) as u32)
        }),
        (false, false, _) => {
            unary32(to, a, after, move |a| by_bits32(exact::div, rounding, 1.0, a))
        }
        (true, true, Rounding::Nearest) => unary64(to, a, f64::sqrt),
        (true, false, Rounding::Nearest) => unary64(to, a, |a| 1.0 / a),
        (true, true, _) => {
            unary64(to, a, move |a| f64::from_bits(exact::sqrt(F64, rounding, a.to_bits())))
        }
        (true, false, _) => unary64(to, a, move |a| by_bits64(exact::div, rounding, 1.0, a)),
    };
    Ok(Lowered::new(Action::Lanes(body), if double { Class::Double } else { Class::Special }))
}

/// What happens to operands and results of f32 besides the operation.
#[derive(Clone, Copy)]
struct After {
    ftz: bool,
    sat: bool,
}

impl After {
    #[inline(always)]
    fn operand(self, value: f32) -> f32 {
        flush(self.ftz, value)
    }

    #[inline(always)]
    fn result(self, value: f32) -> f32 {
        // NaN is not above zero, nor is a negative zero.
        match self.sat {
            true if value > 0.0 => flush(self.ftz, value.min(1.0)),
            true => 0.0,
            false => flush(self.ftz, canonical(value)),
        }
    }
}

fn unary32(
    to: Plane,
    a: Plane,
    after: After,
    f: impl Fn(f32) -> f32 + Send + Sync + 'static,
) -> LaneBody {
    map1(to, a, move |a: f32| after.result(f(after.operand(a))))
}

fn unary64(to: Plane, a: Plane, f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> LaneBody {
    map1(to, a, move |a: f64| double_nan(f(a), [a]))
}

fn binary32(
    opcode: &str,
    to: Plane,
    operands: [Plane; 2],
    rounding: Rounding,
    after: After,
) -> LaneBody {
    /// The plain form without a test for each lane.
    fn build(
        to: Plane,
        [a, b]: [Plane; 2],
        after: After,
        f: impl Fn(f32, f32) -> f32 + Send + Sync + 'static,
    ) -> LaneBody {
        match after {
            After { ftz: false, sat: false } => {
                map2(to, a, b, move |a: f32, b: f32| canonical(f(a, b)))
            }
            _ => map2(to, a, b, move |a: f32, b: f32| {
                after.result(f(after.operand(a), after.operand(b)))
            }),
        }
    }
    match (opcode, rounding) {
        ("add", Rounding::Nearest) => build(to, operands, after, |a, b| a + b),
        ("sub", Rounding::Nearest) => build(to, operands, after, |a, b| a - b),
        ("mul", Rounding::Nearest) => build(to, operands, after, |a, b| a * b),
        (_, Rounding::Nearest) => build(to, operands, after, |a, b| a / b),
        ("add", _) => build(to, operands, after, move |a, b| by_bits32(exact::add, rounding, a, b)),
        ("sub", _) => {
            build(to, operands, after, move |a, b| by_bits32(exact::add, rounding, a, -b))
        }
        ("mul", _) => build(to, operands, after, move |a, b| by_bits32(exact::mul, rounding, a, b)),
        _ => build(to, operands, after, move |a, b| by_bits32(exact::div, rounding, a, b)),
    }
}

fn binary64(opcode: &str, to: Plane, operands: [Plane; 2], rounding: Rounding) -> LaneBody {
    fn build(
        to: Plane,
        [a, b]: [Plane; 2],
        f: impl Fn(f64, f64) -> f64 + Send + Sync + 'static,
    ) -> LaneBody {
        map2(to, a, b, move |a: f64, b: f64| double_nan(f(a, b), [a, b]))
    }
    match (opcode, rounding) {
        ("add", Rounding::Nearest) => build(to, operands, |a, b| a + b),
        ("sub", Rounding::Nearest) => build(to, operands, |a, b| a - b),
        ("mul", Rounding::Nearest) => build(to, operands, |a, b| a * b),
        (_, Rounding::Nearest) => build(to, operands, |a, b| a / b),
        ("add", _) => build(to, operands, move |a, b| by_bits64(exact::add, rounding, a, b)),
        ("sub", _) => build(to, operands, move |a, b| by_bits64(exact::add, rounding, a, -b)),
        ("mul", _) => build(to, operands, move |a, b| by_bits64(exact::mul, rounding, a, b)),
        _ => build(to, operands, move |a, b| by_bits64(exact::div, rounding, a, b)),
    }
}

fn fma32(to: Plane, [a, b, c]: [Plane; 3], rounding: Rounding, after: After) -> LaneBody {
    match (rounding, after) {
        (Rounding::Nearest, After { ftz: false, sat: false }) => {
            map3(to, a, b, c, |a: f32, b: f32, c: f32| canonical(a.mul_add(b, c)))
        }
        (Rounding::Nearest, _) => map3(to, a, b, c, move |a: f32, b: f32, c: f32| {
            after.result(after.operand(a).mul_add(after.operand(b), after.operand(c)))
        }),
        _ => map3(to, a, b, c, move |a: f32, b: f32, c: f32| {
            let [a, b, c] = [a, b, c].map(|value| u64::from(after.operand(value).to_bits()));
            after.result(f32::from_bits(exact::fma(F32, rounding, a, b, c) as u32))
        }),
    }
}

fn fma64(to: Plane, [a, b, c]: [Plane; 3], rounding: Rounding) -> LaneBody {
    match rounding {
        Rounding::Nearest => {
            map3(to, a, b, c, |a: f64, b: f64, c: f64| double_nan(a.mul_add(b, c), [a, b, c]))
        }
        _ => map3(to, a, b, c, move |a: f64, b: f64, c: f64| {
            let sum = exact::fma(F64, rounding, a.to_bits(), b.to_bits(), c.to_bits());
            double_nan(f64::from_bits(sum), [a, b, c])
        }),
    }
}

type Exact = fn(super::round::Format, Rounding, u64, u64) -> u64;

fn by_bits32(f: Exact, rounding: Rounding, a: f32, b: f32) -> f32 {
    f32::from_bits(f(F32, rounding, a.to_bits().into(), b.to_bits().into()) as u32)
}

fn by_bits64(f: Exact, rounding: Rounding, a: f64, b: f64) -> f64 {
    f64::from_bits(f(F64, rounding, a.to_bits(), b.to_bits()))
}

/// The result of an f64 operation, with the NaN that it must have; bits are compared as in
/// [`canonical`].
#[inline(always)]
pub(in crate::isa) fn double_nan<const N: usize>(result: f64, operands: [f64; N]) -> f64 {
    let result = result.to_bits();
    if !F64.is_nan(result) {
        return f64::from_bits(result);
    }
    let nan = operands.into_iter().map(f64::to_bits).find(|&operand| F64.is_nan(operand));
    // The highest bit of the fraction makes a NaN quiet.
    f64::from_bits(nan.map_or(F64.nan(), |nan| nan | 1 << 51))
}
