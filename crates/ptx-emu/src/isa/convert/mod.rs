//! `cvt`: conversions between all number types, alone and packed.

mod packed;
mod value;

use super::Lowered;
use super::float::round::Rounding;
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Mask, Plane, Registers};
use crate::program::Action;
use crate::syntax::ast::{Operand, Type};
use value::{Conversion, Kind, Whole};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if form.take("pack") {
        return packed::integers(lower, form);
    }
    let words = Words::take(form);
    if let Some(lowered) = packed::floats(lower, form, words)? {
        return Ok(lowered);
    }
    let (to_ty, from_ty) = (form.ty(lower)?, form.ty(lower)?);
    let conversion = match conversion(words, to_ty, from_ty) {
        Ok(Some(conversion)) => conversion,
        Ok(None) => return Err(form.unknown(lower)),
        Err(what) => return Err(lower.fail(format!("`{}` {what}", form.text()))),
    };
    let [to, from] = form.operands(lower)?;
    let (from, from_wide) = source(lower, from, from_ty)?;
    let (to, to_register) = destination(lower, to, to_ty)?;
    Ok(Lowered::new(
        Action::Lanes(Box::new(move |registers: &mut Registers, mask: Mask| {
            let values = read(registers, from, from_wide);
            let mut out = [0u64; LANES];
            for lane in 0..LANES {
                out[lane] = conversion.apply(values[lane]);
            }
            write(registers, to, to_register, mask, &out);
        })),
        Class::Convert,
    ))
}

/// The modifiers before the types.
#[derive(Debug, Clone, Copy)]
struct Words {
    rounding: Option<Rounding>,
    /// `.rni` and its like.
    whole: Option<Whole>,
    /// `.rna`, of tf32 alone.
    away: bool,
    ftz: bool,
    sat: bool,
    relu: bool,
    satfinite: bool,
}

impl Words {
    fn take(form: &mut Form<'_>) -> Words {
        Words {
            rounding: form.take_as(Rounding::named),
            whole: form.take_as(Whole::named),
            away: form.take("rna"),
            ftz: form.take("ftz"),
            sat: form.take("sat"),
            relu: form.take("relu"),
            satfinite: form.take("satfinite"),
        }
    }
}

/// The conversion of a form; `None` where there is no such form, or what it lacks.
fn conversion(
    words: Words,
    to_ty: Type,
    from_ty: Type,
) -> Result<Option<Conversion>, &'static str> {
    let (Some(to), Some(from)) = (Kind::of(to_ty), Kind::of(from_ty)) else { return Ok(None) };
    let Words { rounding, whole, away, ftz, sat, relu, satfinite } = words;
    let narrow = matches!((to_ty, from_ty), (Type::F16, Type::Bf16) | (Type::Bf16, Type::F16));
    let limits = matches!(to_ty, Type::F16 | Type::Bf16 | Type::Tf32) && from_ty == Type::F32;
    let nearest_or_zero = matches!(rounding, None | Some(Rounding::Nearest | Rounding::Zero));
    let known = (!ftz || to_ty == Type::F32 || from_ty == Type::F32)
        && (!sat || ![to_ty, from_ty].contains(&Type::Bf16))
        && (!(relu || satfinite) || (limits && !sat && nearest_or_zero))
        && from_ty != Type::Tf32
        && (!away || to_ty == Type::Tf32)
        && (to_ty != Type::Tf32 || (from_ty == Type::F32 && !ftz && !sat && nearest_or_zero))
        // With .rn or .rz, a limit of tf32 is of sm_100.
        && (!away || !relu)
        && (to_ty != Type::Tf32 || away || !satfinite);
    if !known {
        return Ok(None);
    }
    let (needs_whole, needs_rounding) = match (to, from) {
        (Kind::Integer { .. }, Kind::Integer { .. }) => (false, false),
        (Kind::Integer { .. }, _) => (true, false),
        (_, Kind::Integer { .. }) => (false, true),
        // Neither of the two 16-bit formats holds the other; assemblers take both ways of writing.
        _ if narrow => (false, rounding.is_some()),
        _ => (false, to_ty.bytes() < from_ty.bytes() || to_ty == Type::Tf32),
    };
    if needs_whole && whole.is_none() {
        return Err("lacks a rounding to integers, such as .rni");
    }
    if needs_rounding && rounding.is_none() && !away {
        return Err("lacks a rounding, such as .rn");
    }
    let float_to_same = to_ty == from_ty && !matches!(to, Kind::Integer { .. });
    let extra_whole = whole.is_some() && !needs_whole && !float_to_same;
    // All values of bf16 are exact in wider formats, yet a rounding may be written.
    let extra_rounding =
        (rounding.is_some() || away) && !needs_rounding && (from_ty != Type::Bf16 || float_to_same);
    let useless_sat = match (to, from) {
        (Kind::Integer { .. }, Kind::Integer { .. }) => sat && to.holds_all_of(from),
        _ => false,
    };
    if extra_whole || extra_rounding || useless_sat || (rounding.is_some() && away) {
        return Err("has a rounding or .sat that the types have no use for");
    }
    let rounding = match away {
        true => Rounding::NearestAway,
        false => rounding.unwrap_or(Rounding::Nearest),
    };
    Ok(Some(Conversion { to, from, rounding, whole, ftz, sat, relu, satfinite }))
}

/// A source register may be wider than the type, but not for bf16.
fn source(lower: &mut Lower<'_>, operand: &Operand, ty: Type) -> Result<(Plane, bool), PtxError> {
    let own = lower.type_of(operand);
    let (plane, register) = match ty {
        Type::Bf16 => (lower.src(operand, ty)?, ty),
        _ => lower.src_wide(operand, ty)?,
    };
    if own.is_some_and(|own| own.bytes() < ty.bytes()) {
        return Err(lower.fail(format!("the source is {register}, expected {ty} or wider")));
    }
    Ok((plane, register.bytes() == 8))
}

/// A destination register may be wider than the type, but not for bf16 and tf32.
fn destination(
    lower: &mut Lower<'_>,
    operand: &Operand,
    ty: Type,
) -> Result<(Plane, Register), PtxError> {
    let (plane, register) = match ty {
        Type::Bf16 | Type::Tf32 => (lower.dst(operand, ty)?, ty),
        _ => lower.dst_wide(operand, ty)?,
    };
    if register.bytes() < ty.bytes() {
        return Err(lower.fail(format!("the destination is {register}, expected {ty} or wider")));
    }
    Ok((plane, Register { bytes: register.bytes() }))
}

/// The width that a result is extended to.
#[derive(Debug, Clone, Copy)]
struct Register {
    bytes: u32,
}

#[inline(always)]
fn read(registers: &Registers, plane: Plane, wide: bool) -> [u64; LANES] {
    if wide { registers.read(plane) } else { registers.read::<u32>(plane).map(u64::from) }
}

/// Results are sign-extended to 64 bits; registers of 16 bits and fewer hold zeros above.
#[inline(always)]
fn write(
    registers: &mut Registers,
    plane: Plane,
    register: Register,
    mask: Mask,
    values: &[u64; LANES],
) {
    match register.bytes {
        8 => registers.write(plane, mask, values),
        4 => registers.write(plane, mask, &values.map(|value| value as u32)),
        2 => registers.write(plane, mask, &values.map(|value| value as u16)),
        _ => registers.write(plane, mask, &values.map(|value| value as u8)),
    }
}
