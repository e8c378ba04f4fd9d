//! f32 and f64 arithmetic.
//!
//! NaN results of f32 are 0x7fffffff, what the hardware gives (the manual leaves their bits open).
//! f64 keeps the payload of the first operand that is NaN, made quiet, and makes
//! 0x7ff8000000000000 where no operand is.

mod arith;
pub(super) mod exact;
pub(super) mod minmax;
pub(super) mod round;
mod sign;

use super::Lowered;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::syntax::ast::Type;

pub(super) use arith::{double_nan, reciprocal_or_root};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "add" | "sub" | "mul" | "div" | "fma" | "mad" => arith::lower(lower, form),
        "min" | "max" => minmax::lower(lower, form),
        "abs" | "neg" | "copysign" | "testp" => sign::lower(lower, form),
        _ => Err(form.unknown(lower)),
    }
}

/// The type of the form; whether it is f64. No other type is left for this family.
fn is_double(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<bool, PtxError> {
    match form.ty(lower)? {
        Type::F32 => Ok(false),
        Type::F64 => Ok(true),
        _ => Err(form.unknown(lower)),
    }
}

/// A subnormal number becomes a zero of its sign, where the form says `.ftz`.
#[inline(always)]
pub(super) fn flush(ftz: bool, value: f32) -> f32 {
    if ftz && value.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(value) } else { value }
}

/// The one NaN of f32 for all of them.
///
/// It compares bits: to the compiler one NaN is as good as another, and it takes a choice between a
/// constant NaN and a result that is NaN as well for no choice at all.
#[inline(always)]
pub(super) fn canonical(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fff_ffff } else { bits })
}
