//! Instructions on the sign, and tests of what a number is.

use super::super::Lowered;
use super::super::lanes::{map1, map2};
use super::round::F64;
use super::{canonical, flush, is_double};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Mask, Registers};
use crate::program::Action;
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "testp" => test(lower, form),
        "copysign" => copysign(lower, form),
        _ => abs_or_neg(lower, form),
    }
}

/// f32 gives its one NaN for every NaN; f64 passes NaN on, sign and all.
fn abs_or_neg(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let (abs, ftz) = (form.opcode() == "abs", form.take("ftz"));
    let double = is_double(lower, form)?;
    if double && ftz {
        return Err(form.unknown(lower));
    }
    let ty = if double { Type::F64 } else { Type::F32 };
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    let body = match (double, abs) {
        (false, true) => map1(to, a, move |a: f32| canonical(flush(ftz, a).abs())),
        (false, false) => map1(to, a, move |a: f32| canonical(-flush(ftz, a))),
        (true, true) => map1(to, a, |a: u64| if F64.is_nan(a) { a } else { a & !F64.sign(true) }),
        (true, false) => map1(to, a, |a: u64| if F64.is_nan(a) { a } else { a ^ F64.sign(true) }),
    };
    Ok(Lowered::new(Action::Lanes(body), if double { Class::Double } else { Class::Float }))
}

/// The sign of the first operand on the second.
fn copysign(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let double = is_double(lower, form)?;
    let ty = if double { Type::F64 } else { Type::F32 };
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let to = lower.dst(to, ty)?;
    let body = match double {
        true => map2(to, a, b, |sign: f64, value: f64| value.copysign(sign)),
        false => map2(to, a, b, |sign: f32, value: f32| value.copysign(sign)),
    };
    Ok(Lowered::new(Action::Lanes(body), if double { Class::Double } else { Class::Float }))
}

fn test(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let words = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
    let Some(word) = form.take_one(&words) else { return Err(form.unknown(lower)) };
    let double = is_double(lower, form)?;
    let [to, a] = form.operands(lower)?;
    let a = lower.src(a, if double { Type::F64 } else { Type::F32 })?;
    let to = lower.dst_predicate(to)?;
    // f32 numbers that are subnormal are not when widened, so each type has its own test.
    let holds32: fn(f32) -> bool = match word {
        "finite" => f32::is_finite,
        "infinite" => f32::is_infinite,
        "number" => |value| !value.is_nan(),
        "notanumber" => f32::is_nan,
        "normal" => |value| value.is_normal() || value == 0.0,
        _ => f32::is_subnormal,
    };
    let holds64: fn(f64) -> bool = match word {
        "finite" => f64::is_finite,
        "infinite" => f64::is_infinite,
        "number" => |value| !value.is_nan(),
        "notanumber" => f64::is_nan,
        "normal" => |value| value.is_normal() || value == 0.0,
        _ => f64::is_subnormal,
    };
    let body = move |registers: &mut Registers, mask: Mask| {
        let lanes: [bool; LANES] = match double {
            true => registers.read::<f64>(a).map(holds64),
            false => registers.read::<f32>(a).map(holds32),
        };
        let value = lanes.iter().rev().fold(0, |bits, &holds| bits << 1 | Mask::from(holds));
        registers.set_predicate(to, mask, value);
    };
    let class = if double { Class::Double } else { Class::Float };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), class))
}
