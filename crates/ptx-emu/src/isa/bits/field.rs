//! Fields of bits: cut out, put in, as a mask, and extended.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{map2, map3};
use crate::isa::types::for_type;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Mask, Registers};
use crate::program::Action;
use crate::syntax::ast::Type;

/// `bfe`: `len` bits from bit `pos` on; past the end, and for signed types past the field, the sign.
pub(super) fn extract(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, a, pos, len] = form.operands(lower)?;
    let a = lower.src(a, ty)?;
    let (pos, len) = (lower.src(pos, Type::U32)?, lower.src(len, Type::U32)?);
    let to = lower.dst(to, ty)?;
    let body = for_type!(ty, N in [U32 = u32, U64 = u64, S32 = i32, S64 = i64] => {
        map3(to, a, pos, len, |a: N, pos: u32, len: u32| {
            let (pos, len) = (pos & 0xff, len & 0xff);
            // Bits above the top are copies of the sign, or zeros.
            let moved = if pos < N::BITS { a >> pos } else { a >> (N::BITS - 1) >> 1 };
            match len {
                0 => 0,
                len if len < N::BITS => moved << (N::BITS - len) >> (N::BITS - len),
                _ => moved,
            }
        })
    }, else return Err(form.unknown(lower)));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `bfi`: `b` with `len` bits of `a` put in at bit `pos`.
pub(super) fn insert(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, a, b, pos, len] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let (pos, len) = (lower.src(pos, Type::U32)?, lower.src(len, Type::U32)?);
    let to = lower.dst(to, ty)?;
    let put = |a: u64, b: u64, pos: u32, len: u32| {
        let (pos, len) = (pos & 0xff, len & 0xff);
        let field = if len < 64 { (1 << len) - 1 } else { u64::MAX };
        match pos {
            0..64 => (b & !(field << pos)) | ((a & field) << pos),
            _ => b,
        }
    };
    let wide = match ty {
        Type::B32 => false,
        Type::B64 => true,
        _ => return Err(form.unknown(lower)),
    };
    let body = move |registers: &mut Registers, mask: Mask| {
        let (pos, len): ([u32; LANES], [u32; LANES]) = (registers.read(pos), registers.read(len));
        let each = |a: [u64; LANES], b: [u64; LANES]| -> [u64; LANES] {
            std::array::from_fn(|lane| put(a[lane], b[lane], pos[lane], len[lane]))
        };
        if wide {
            let out = each(registers.read(a), registers.read(b));
            registers.write(to, mask, &out);
        } else {
            let widen = |plane| registers.read::<u32>(plane).map(u64::from);
            // What lands above bit 31 is cut off.
            let out = each(widen(a), widen(b)).map(|value| value as u32);
            registers.write(to, mask, &out);
        }
    };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), Class::Integer))
}

/// `bmsk`: `b` ones from bit `a` on.
pub(super) fn mask(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let wrap = mode(lower, form)?;
    let ty = form.ty(lower)?;
    if ty != Type::B32 {
        return Err(form.unknown(lower));
    }
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let to = lower.dst(to, ty)?;
    let body = map2(to, a, b, move |a: u32, b: u32| {
        let limit = |value: u32| if wrap { value & 31 } else { value.min(32) };
        (((1u64 << limit(b)) - 1) << limit(a)) as u32
    });
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `szext`: the low `b` bits, with the sign or zeros above.
pub(super) fn extend(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let wrap = mode(lower, form)?;
    let ty = form.ty(lower)?;
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, Type::U32)?);
    let to = lower.dst(to, ty)?;
    let body = for_type!(ty, N in [U32 = u32, S32 = i32] => {
        map2(to, a, b, move |a: N, b: u32| match if wrap { b & 31 } else { b } {
            0 => 0,
            bits @ 1..32 => a << (32 - bits) >> (32 - bits),
            _ => a,
        })
    }, else return Err(form.unknown(lower)));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// Whether a count past 31 wraps around; otherwise it is clamped.
fn mode(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<bool, PtxError> {
    match form.take_one(&["wrap", "clamp"]) {
        Some(mode) => Ok(mode == "wrap"),
        None => Err(form.unknown(lower)),
    }
}
