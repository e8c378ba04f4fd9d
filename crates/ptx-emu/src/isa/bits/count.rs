//! Counting and finding bits, and reversing them.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{map1, map3};
use crate::isa::types::for_type;
use crate::lower::{Form, Lower};
use crate::program::Action;
use crate::syntax::ast::Type;

/// What `bfind` and `fns` give where there is no such bit.
const NONE: u32 = u32::MAX;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let opcode = form.opcode();
    let [to, a] = form.operands(lower)?;
    let a = lower.src(a, ty)?;
    let to = lower.dst(to, if opcode == "brev" { ty } else { Type::U32 })?;
    let body = for_type!(ty, N in [B32 = u32, B64 = u64] => match opcode {
        "clz" => map1(to, a, |a: N| a.leading_zeros()),
        "popc" => map1(to, a, |a: N| a.count_ones()),
        _ => map1(to, a, |a: N| a.reverse_bits()),
    }, else return Err(form.unknown(lower)));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `bfind`: the highest bit that differs from the sign, or how far it is from the top.
pub(super) fn find(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let shift = form.take("shiftamt");
    let ty = form.ty(lower)?;
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, Type::U32)?);
    let place = move |zeros: u32, bits: u32| match zeros {
        zeros if zeros == bits => NONE,
        zeros if shift => zeros,
        zeros => bits - 1 - zeros,
    };
    let body = for_type!(ty, N in [U32 = u32, U64 = u64] => {
        map1(to, a, move |a: N| place(a.leading_zeros(), N::BITS))
    }, else for_type!(ty, N in [S32 = i32, S64 = i64] => {
        map1(to, a, move |a: N| place((a ^ (a >> (N::BITS - 1))).leading_zeros(), N::BITS))
    }, else return Err(form.unknown(lower))));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `fns`: the n-th bit set from `base` on, upwards or, for a negative n, downwards.
pub(super) fn nth(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    if ty != Type::B32 {
        return Err(form.unknown(lower));
    }
    let [to, bits, base, n] = form.operands(lower)?;
    let (bits, base) = (lower.src(bits, ty)?, lower.src(base, ty)?);
    let n = lower.src(n, ty)?;
    let to = lower.dst(to, ty)?;
    let body = map3(to, bits, base, n, |bits: u32, base: u32, n: i32| {
        // The manual leaves a base past 31 open; there is no such bit.
        if base > 31 {
            return NONE;
        }
        let set = |at: &u32| bits >> at & 1 == 1;
        let skip = (n.unsigned_abs() as usize).saturating_sub(1);
        match n {
            0 => {
                if set(&base) {
                    base
                } else {
                    NONE
                }
            }
            1.. => (base..32).filter(set).nth(skip).unwrap_or(NONE),
            _ => (0..=base).rev().filter(set).nth(skip).unwrap_or(NONE),
        }
    });
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}
