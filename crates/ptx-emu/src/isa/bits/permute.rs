//! `prmt`: four bytes picked from eight.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::map3;
use crate::lower::{Form, Lower};
use crate::program::Action;
use crate::syntax::ast::Type;

/// Selectors of each mode for the four values of `c`, the lowest byte in the lowest digit.
const MODES: [(&str, [u32; 4]); 6] = [
    ("f4e", [0x3210, 0x4321, 0x5432, 0x6543]),
    ("b4e", [0x5670, 0x6701, 0x7012, 0x0123]),
    ("rc8", [0x0000, 0x1111, 0x2222, 0x3333]),
    ("ecl", [0x3210, 0x3211, 0x3222, 0x3333]),
    ("ecr", [0x0000, 0x1110, 0x2210, 0x3210]),
    ("rc16", [0x1010, 0x3232, 0x1010, 0x3232]),
];

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let mode = form.take_as(|word| MODES.iter().find(|(name, _)| *name == word));
    let ty = form.ty(lower)?;
    if ty != Type::B32 {
        return Err(form.unknown(lower));
    }
    let [to, a, b, c] = form.operands(lower)?;
    let (a, b, c) = (lower.src(a, ty)?, lower.src(b, ty)?, lower.src(c, ty)?);
    let to = lower.dst(to, ty)?;
    let body = match mode {
        None => map3(to, a, b, c, permute),
        Some((_, selectors)) => {
            map3(to, a, b, c, |a, b, c: u32| permute(a, b, selectors[c as usize & 3]))
        }
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// Each digit of the selector names a byte of `b` (4 to 7) and `a` (0 to 3); with its top bit set,
/// the byte's sign stands eight times.
#[inline(always)]
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(a) | (u64::from(b) << 32);
    (0..4).fold(0, |out, index| {
        let digit = selector >> (4 * index);
        let byte = (bytes >> (8 * (digit & 7))) as u8;
        let sign = if byte >> 7 == 1 { 0xff } else { 0 };
        out | u32::from(if digit & 8 == 0 { byte } else { sign }) << (8 * index)
    })
}
