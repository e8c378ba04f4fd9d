//! Dot products of bytes: `dp4a` and `dp2a`.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::map3;
use crate::lower::{Form, Lower};
use crate::program::Action;
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let pairs = form.opcode() == "dp2a";
    // `dp2a` takes two of the four bytes of `b`.
    let skip = match form.take_one(&["lo", "hi"]) {
        Some("lo") if pairs => 0,
        Some(_) if pairs => 16,
        None if !pairs => 0,
        _ => return Err(form.unknown(lower)),
    };
    let (a_type, b_type) = (form.ty(lower)?, form.ty(lower)?);
    let signed = |ty| match ty {
        Type::S32 => Some(true),
        Type::U32 => Some(false),
        _ => None,
    };
    let (Some(a_signed), Some(b_signed)) = (signed(a_type), signed(b_type)) else {
        return Err(form.unknown(lower));
    };
    let [to, a, b, c] = form.operands(lower)?;
    let (a, b) = (lower.src(a, a_type)?, lower.src(b, b_type)?);
    let c = lower.src(c, a_type)?;
    let to = lower.dst(to, a_type)?;
    let (terms, a_bits) = if pairs { (2, 16) } else { (4, 8) };
    let body = map3(to, a, b, c, move |a: u32, b: u32, c: u32| {
        let b = b >> skip;
        (0..terms).fold(c, |sum, index| {
            let left = field(a >> (a_bits * index), a_bits, a_signed);
            let right = field(b >> (8 * index), 8, b_signed);
            // Both signs give the same sum modulo 2^32.
            sum.wrapping_add(left.wrapping_mul(right))
        })
    });
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// The low bits, extended to 32.
#[inline(always)]
fn field(value: u32, bits: u32, signed: bool) -> u32 {
    let top = value << (32 - bits);
    if signed { (top as i32 >> (32 - bits)) as u32 } else { top >> (32 - bits) }
}
