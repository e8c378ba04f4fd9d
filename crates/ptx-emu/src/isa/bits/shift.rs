//! Shifts; PTX takes counts past the width as the width.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{map2, map3};
use crate::isa::types::{for_bits, for_type};
use crate::lower::{Form, Lower};
use crate::program::Action;
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, a, count] = form.operands(lower)?;
    let (a, count) = (lower.src(a, ty)?, lower.src(count, Type::U32)?);
    let to = lower.dst(to, ty)?;
    let body = if form.opcode() == "shl" {
        for_bits!(
            ty,
            N => map2(to, a, count, |a: N, count: u32| if count < N::BITS { a << count } else { 0 }),
            else return Err(form.unknown(lower))
        )
    } else {
        for_type!(ty, N in [
            B16 = u16, B32 = u32, B64 = u64, U16 = u16, U32 = u32, U64 = u64,
            S16 = i16, S32 = i32, S64 = i64
        ] => map2(to, a, count, |a: N, count: u32| {
            // The last step is what fills the width: zeros, or the sign.
            let most = count.min(N::BITS - 1);
            if count < N::BITS { a >> most } else { a >> most >> 1 }
        }), else return Err(form.unknown(lower)))
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `shf`: a window of 32 bits on the 64 of `b` (high) and `a` (low).
pub(super) fn funnel(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let (direction, mode) = (form.take_one(&["l", "r"]), form.take_one(&["clamp", "wrap"]));
    let ty = form.ty(lower)?;
    let (Some(direction), Some(mode), Type::B32) = (direction, mode, ty) else {
        return Err(form.unknown(lower));
    };
    let [to, a, b, count] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let count = lower.src(count, Type::U32)?;
    let to = lower.dst(to, ty)?;
    let wrap = mode == "wrap";
    let amount = move |count: u32| if wrap { count & 31 } else { count.min(32) };
    let both = |a: u32, b: u32| u64::from(a) | (u64::from(b) << 32);
    let body = match direction {
        "l" => {
            map3(to, a, b, count, move |a, b, count| ((both(a, b) << amount(count)) >> 32) as u32)
        }
        _ => map3(to, a, b, count, move |a, b, count| (both(a, b) >> amount(count)) as u32),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}
