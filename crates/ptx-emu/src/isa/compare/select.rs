//! `selp` and `slct`: one of two values.

use super::test::{Pair, Test, test};
use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::signed_predicate;
use crate::isa::vector::vectorised;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Lanes, Mask, Plane, Registers};
use crate::program::Action;
use crate::syntax::ast::Type;

/// `selp`: `a` where the predicate is true.
pub(super) fn by_predicate(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
) -> Result<Lowered, PtxError> {
    let ty = value_type(lower, form)?;
    let [to, a, b, chooser] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let chooser = lower.src_predicate(chooser)?;
    let to = lower.dst(to, ty)?;
    let wide = ty.bytes() == 8;
    let body = move |registers: &mut Registers, mask: Mask| {
        let chosen = signed_predicate(registers, chooser);
        select(registers, to, a, b, wide, chosen, mask);
    };
    Ok(Lowered::new(Action::Lanes(vectorised(body)), Class::Move))
}

/// `slct`: `a` where the third operand is not below zero; -0 is not, a NaN gives `b`.
pub(super) fn by_sign(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let flush = form.take("ftz");
    let ty = value_type(lower, form)?;
    let sign_type = form.ty(lower)?;
    let [to, a, b, sign] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let sign = lower.src(sign, sign_type)?;
    let to = lower.dst(to, ty)?;
    let zero = lower.constant32(0);
    let pair = Pair { a: sign, b: zero, shift: 0 };
    let chosen: Option<Test> = match sign_type {
        Type::S32 | Type::F32 => test("ge", sign_type, flush, pair),
        _ => None,
    };
    let Some(chosen) = chosen else { return Err(form.unknown(lower)) };
    let wide = ty.bytes() == 8;
    let body = move |registers: &mut Registers, mask: Mask| {
        let chosen = chosen(registers);
        select(registers, to, a, b, wide, chosen, mask);
    };
    Ok(Lowered::new(Action::Lanes(vectorised(body)), Class::Move))
}

/// The type of the values: 16 to 64 bits, of any kind but halves.
fn value_type(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<Type, PtxError> {
    let ty = form.ty(lower)?;
    match ty {
        Type::F32 | Type::F64 => Ok(ty),
        Type::B16 | Type::B32 | Type::B64 => Ok(ty),
        Type::U16 | Type::U32 | Type::U64 | Type::S16 | Type::S32 | Type::S64 => Ok(ty),
        _ => Err(form.unknown(lower)),
    }
}

/// Lanes of `a` where `chosen`, of `b` elsewhere, a plane or two.
#[inline(always)]
fn select(
    registers: &mut Registers,
    to: Plane,
    a: Plane,
    b: Plane,
    wide: bool,
    chosen: Mask,
    mask: Mask,
) {
    let pick = |a: &Lanes, b: &Lanes| -> Lanes {
        let mut out = [0; LANES];
        for lane in 0..LANES {
            let keep = (chosen >> lane & 1).wrapping_neg();
            out[lane] = (a[lane] & keep) | (b[lane] & !keep);
        }
        out
    };
    let low = pick(registers.plane(a), registers.plane(b));
    let high = wide.then(|| pick(registers.plane(a + 1), registers.plane(b + 1)));
    registers.set_plane(to, mask, &low);
    if let Some(high) = high {
        registers.set_plane(to + 1, mask, &high);
    }
}
