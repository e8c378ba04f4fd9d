//! f16 and bf16 arithmetic, alone and in pairs.
//!
//! NaN results are 0x7fff in both formats (the manual leaves their bits open).

use super::Lowered;
use super::float::exact::odd_sum;
use super::float::minmax::Extreme;
use super::float::round::{BF16, F16, Format, Rounding};
use super::lanes::{map1, map2, map3};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::registers::Plane;
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

/// A 16-bit format, and whether a register holds two of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) pair: bool,
    pub(super) ty: Type,
}

impl Shape {
    pub(super) fn of(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<Shape, PtxError> {
        let ty = form.ty(lower)?;
        let (format, pair) = match ty {
            Type::F16 => (F16, false),
            Type::F16x2 => (F16, true),
            Type::Bf16 => (BF16, false),
            Type::Bf16x2 => (BF16, true),
            // Mixed precision is of sm_100.
            _ => return Err(form.unknown(lower)),
        };
        Ok(Shape { format, pair, ty })
    }
}

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let (ftz, sat, relu) = (form.take("ftz"), form.take("sat"), form.take("relu"));
    let rounding = form.take_as(Rounding::named);
    let extreme = match form.opcode() {
        "min" | "max" => Some(Extreme::of(lower, form)?),
        _ => None,
    };
    let shape = Shape::of(lower, form)?;
    let after = After { format: shape.format, ftz, sat, relu };
    after.check(lower, form, rounding)?;
    let body = match form.opcode() {
        "fma" => fused(lower, form, shape, after)?,
        "abs" | "neg" => unary(lower, form, shape, after)?,
        _ => binary(lower, form, shape, after, extreme)?,
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Half))
}

/// What happens to operands and results besides the operation.
#[derive(Debug, Clone, Copy)]
struct After {
    format: Format,
    ftz: bool,
    sat: bool,
    relu: bool,
}

impl After {
    /// Refuses modifiers that the form does not have.
    fn check(
        self,
        lower: &Lower<'_>,
        form: &Form<'_>,
        rounding: Option<Rounding>,
    ) -> Result<(), PtxError> {
        let (arithmetic, rounded) = match form.opcode() {
            "add" | "sub" | "mul" => (true, matches!(rounding, None | Some(Rounding::Nearest))),
            "fma" => (true, rounding == Some(Rounding::Nearest)),
            "abs" | "neg" | "min" | "max" => (false, rounding.is_none()),
            _ => return Err(form.unknown(lower)),
        };
        let known = rounded
            && (self.format == F16 || !(self.ftz || self.sat))
            && (arithmetic || !self.sat)
            && (form.opcode() == "fma" || !self.relu)
            && !(self.sat && self.relu);
        if known { Ok(()) } else { Err(form.unknown(lower)) }
    }

    #[inline(always)]
    fn operand(self, bits: u16) -> u16 {
        if self.ftz { self.format.flush(bits.into()) as u16 } else { bits }
    }

    /// Rounds a result, once, and limits it.
    #[inline(always)]
    fn result(self, value: f64) -> u16 {
        let limited = match (self.sat, self.relu) {
            // NaN is not above zero.
            (true, _) if value > 0.0 => value.min(1.0),
            (true, _) => 0.0,
            (_, true) if value <= 0.0 => 0.0,
            _ => value,
        };
        self.operand(self.format.round(limited, Rounding::Nearest) as u16)
    }

    #[inline(always)]
    fn widen(self, bits: u16) -> f64 {
        widen(self.format, self.operand(bits))
    }
}

/// A 16-bit number as an f64, which holds all of them.
#[inline(always)]
pub(super) fn widen(format: Format, bits: u16) -> f64 {
    if format == BF16 {
        return f32::from_bits(u32::from(bits) << 16).into();
    }
    // In the place of an f32's exponent and fraction, the number is 2^112 times too small; that of
    // infinities and NaN needs more than a product.
    let (sign, size) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    let size = match size < 0x0f80_0000 {
        true => (f32::from_bits(size) * f32::from_bits(0x7780_0000)).to_bits(),
        false => size | 0x7f80_0000,
    };
    f32::from_bits(sign | size).into()
}

fn fused(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    shape: Shape,
    after: After,
) -> Result<LaneBody, PtxError> {
    let [to, a, b, c] = form.operands(lower)?;
    let (a, b) = (lower.src(a, shape.ty)?, lower.src(b, shape.ty)?);
    let c = lower.src(c, shape.ty)?;
    let to = lower.dst(to, shape.ty)?;
    // The product of two 11-bit or 8-bit numbers is exact in f64, whose range no product of these
    // formats leaves. The sum is not exact, so it is rounded to odd: 53 bits are at least two more
    // than the format's, and the result is rounded as if once.
    let f = move |a: u16, b: u16, c: u16| {
        after.result(odd_sum(after.widen(a) * after.widen(b), after.widen(c)))
    };
    Ok(match shape.pair {
        false => map3(to, a, b, c, f),
        true => map3(to, a, b, c, move |a: u32, b: u32, c: u32| {
            both(|half| f(part(a, half), part(b, half), part(c, half)))
        }),
    })
}

fn binary(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    shape: Shape,
    after: After,
    extreme: Option<Extreme>,
) -> Result<LaneBody, PtxError> {
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, shape.ty)?, lower.src(b, shape.ty)?);
    let to = lower.dst(to, shape.ty)?;
    if let Some(extreme) = extreme {
        let f = move |a: u16, b: u16| {
            let (a, b) = (after.operand(a).into(), after.operand(b).into());
            extreme.pick(after.format, a, b) as u16
        };
        return Ok(lift2(to, a, b, shape, f));
    }
    Ok(match form.opcode() {
        "mul" => lift2(to, a, b, shape, move |a, b| after.result(after.widen(a) * after.widen(b))),
        "sub" => lift2(to, a, b, shape, move |a, b| {
            after.result(odd_sum(after.widen(a), -after.widen(b)))
        }),
        _ => lift2(to, a, b, shape, move |a, b| {
            after.result(odd_sum(after.widen(a), after.widen(b)))
        }),
    })
}

fn unary(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    shape: Shape,
    after: After,
) -> Result<LaneBody, PtxError> {
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, shape.ty)?, lower.dst(to, shape.ty)?);
    let abs = form.opcode() == "abs";
    let f = move |a: u16| match after.format.is_nan(a.into()) {
        true => after.format.nan() as u16,
        false if abs => after.operand(a) & 0x7fff,
        false => after.operand(a) ^ 0x8000,
    };
    Ok(match shape.pair {
        false => map1(to, a, f),
        true => map1(to, a, move |a: u32| both(|half| f(part(a, half)))),
    })
}

fn lift2(
    to: Plane,
    a: Plane,
    b: Plane,
    shape: Shape,
    f: impl Fn(u16, u16) -> u16 + Send + Sync + 'static,
) -> LaneBody {
    match shape.pair {
        false => map2(to, a, b, f),
        true => map2(to, a, b, move |a: u32, b: u32| both(|half| f(part(a, half), part(b, half)))),
    }
}

/// One of the two numbers of a register: 0 is the lower.
#[inline(always)]
pub(super) fn part(pair: u32, half: u32) -> u16 {
    (pair >> (16 * half)) as u16
}

/// A register of what `f` gives for its lower and its upper number.
#[inline(always)]
pub(super) fn both(f: impl Fn(u32) -> u16) -> u32 {
    u32::from(f(0)) | u32::from(f(1)) << 16
}
