//! Conversions whose results, or operands, are packed into one register.

use super::super::Lowered;
use super::super::float::round::{BF16, E4M3, E5M2, F16, Format, Rounding};
use super::super::half::{both, part};
use super::super::lanes::{map1, map2, map3};
use super::Words;
use super::value::{Conversion, Kind};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

/// Forms with `.f16x2`, `.bf16x2`, `.e4m3x2` or `.e5m2x2`; `None` for others.
pub(super) fn floats(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    words: Words,
) -> Result<Option<Lowered>, PtxError> {
    let packed = form.instruction.modifiers.iter().filter_map(|word| pair(word)).count();
    if packed == 0 {
        return Ok(None);
    }
    let single = if form.take("f32") { Some("f32") } else { None };
    let (Some(first), second) = (form.take_as(pair), form.take_as(pair)) else {
        return Err(form.unknown(lower));
    };
    let Words { rounding, whole, away, ftz, sat, relu, satfinite } = words;
    let nearest = rounding == Some(Rounding::Nearest);
    let to = first.format;
    let known = match (single, second) {
        // Two f32 operands: the first goes to the upper half.
        (Some(_), None) => match first.bytes {
            4 => nearest || rounding == Some(Rounding::Zero),
            _ => nearest && satfinite,
        },
        (None, Some(from)) => match (first.bytes, from.bytes) {
            (2, 4) => nearest && satfinite && from.format == F16,
            (4, 2) => nearest && !satfinite && to == F16,
            _ => false,
        },
        _ => false,
    };
    if !known || whole.is_some() || away || ftz || sat {
        return Err(form.unknown(lower));
    }
    let from = second.map_or(super::super::float::round::F32, |second| second.format);
    let each = Conversion {
        to: Kind::Float(to),
        from: Kind::Float(from),
        rounding: rounding.unwrap_or(Rounding::Nearest),
        whole,
        ftz,
        sat,
        relu,
        satfinite,
    };
    let body = match second {
        None => pack_two(lower, form, first, each)?,
        Some(from) => repack(lower, form, first, from, each)?,
    };
    Ok(Some(Lowered::new(Action::Lanes(body), Class::Convert)))
}

/// A type of two numbers in one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    format: Format,
    /// Bytes of the register.
    bytes: u32,
}

fn pair(word: &str) -> Option<Pair> {
    let (format, bytes) = match word {
        "f16x2" => (F16, 4),
        "bf16x2" => (BF16, 4),
        "e4m3x2" => (E4M3, 2),
        "e5m2x2" => (E5M2, 2),
        _ => return None,
    };
    Some(Pair { format, bytes })
}

fn register(pair: Pair) -> Type {
    if pair.bytes == 4 { Type::B32 } else { Type::B16 }
}

fn pack_two(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    to_pair: Pair,
    each: Conversion,
) -> Result<LaneBody, PtxError> {
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, Type::F32)?, lower.src(b, Type::F32)?);
    let to = lower.dst(to, register(to_pair))?;
    let convert = move |value: f32| narrow(each, to_pair.format, value.into());
    Ok(match to_pair.bytes {
        4 => map2(to, a, b, move |a: f32, b: f32| {
            both(|half| convert(if half == 0 { b } else { a }))
        }),
        _ => map2(to, a, b, move |a: f32, b: f32| convert(a) << 8 | convert(b)),
    })
}

fn repack(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    to_pair: Pair,
    from_pair: Pair,
    each: Conversion,
) -> Result<LaneBody, PtxError> {
    let [to, a] = form.operands(lower)?;
    let a = lower.src(a, register(from_pair))?;
    let to = lower.dst(to, register(to_pair))?;
    let (format, from) = (to_pair.format, from_pair.format);
    Ok(match to_pair.bytes {
        4 => map1(to, a, move |a: u16| {
            both(|half| narrow(each, format, from.widen(u64::from(a >> (8 * half) & 0xff))))
        }),
        _ => map1(to, a, move |a: u32| {
            let convert = |half| narrow(each, format, from.widen(part(a, half).into()));
            convert(1) << 8 | convert(0)
        }),
    })
}

/// One number; in 8-bit formats all that is too large takes the largest size.
fn narrow(each: Conversion, to: Format, value: f64) -> u16 {
    let value = match to {
        E4M3 | E5M2 if !value.is_nan() => {
            let largest = to.widen(to.largest());
            value.clamp(-largest, largest)
        }
        _ => value,
    };
    each.float(to, value) as u16
}

/// `cvt.pack.sat`: two integers, clamped, before the low bits of a third operand.
pub(super) fn integers(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let sat = form.take("sat");
    let narrow = form.take_as(|word| {
        let (kind, bits) = (word.get(..1)?, word.get(1..)?);
        let bits: u32 = bits.parse().ok().filter(|bits| [2, 4, 8, 16].contains(bits))?;
        matches!(kind, "u" | "s").then_some((kind == "s", bits))
    });
    let Some((signed, bits)) = narrow.filter(|_| sat && form.take("s32")) else {
        return Err(form.unknown(lower));
    };
    let field = (1u32 << bits) - 1;
    let (least, most) = match signed {
        true => (-(1i32 << (bits - 1)), (1i32 << (bits - 1)) - 1),
        false => (0, field as i32),
    };
    let clamp = move |value: i32| value.clamp(least, most) as u32 & field;
    let body = if bits == 16 {
        let [to, a, b] = form.operands(lower)?;
        let (a, b) = (lower.src(a, Type::S32)?, lower.src(b, Type::S32)?);
        let to = lower.dst(to, Type::B32)?;
        map2(to, a, b, move |a: i32, b: i32| clamp(a) << bits | clamp(b))
    } else {
        if !form.take("b32") {
            return Err(form.unknown(lower));
        }
        let [to, a, b, c] = form.operands(lower)?;
        let (a, b) = (lower.src(a, Type::S32)?, lower.src(b, Type::S32)?);
        let c = lower.src(c, Type::B32)?;
        let to = lower.dst(to, Type::B32)?;
        map3(to, a, b, c, move |a: i32, b: i32, c: u32| {
            c << (2 * bits) | clamp(a) << bits | clamp(b)
        })
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Convert))
}
