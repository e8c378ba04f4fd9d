//! Products, and products with a sum: the low half, the high half, or all of it.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{map2, map3};
use crate::isa::types::{for_integer, for_type};
use crate::lower::{Form, Lower};
use crate::machine::registers::Plane;
use crate::program::Action;
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let part = form.take_one(&["lo", "hi", "wide"]);
    let saturate = form.take("sat");
    let ty = form.ty(lower)?;
    let to_type = if part == Some("wide") { wider(lower, form, ty)? } else { ty };
    let (to, a, b, c) = planes(lower, form, ty, to_type)?;
    let body = match (part, c) {
        (Some("hi"), Some(c)) if saturate && ty == Type::S32 => {
            map3(to, a, b, c, |a: i32, b: i32, c: i32| high32(a, b).saturating_add(c))
        }
        _ if saturate => return Err(form.unknown(lower)),
        (Some("lo"), None) => for_integer!(ty, N => map2(to, a, b, N::wrapping_mul),
            else return Err(form.unknown(lower))),
        (Some("lo"), Some(c)) => for_integer!(
            ty,
            N => map3(to, a, b, c, |a: N, b: N, c: N| a.wrapping_mul(b).wrapping_add(c)),
            else return Err(form.unknown(lower))
        ),
        (Some("hi"), None) => for_integer!(ty, N => map2(to, a, b, <N as Product>::high),
            else return Err(form.unknown(lower))),
        (Some("hi"), Some(c)) => for_integer!(
            ty,
            N => map3(to, a, b, c, |a: N, b: N, c: N| a.high(b).wrapping_add(c)),
            else return Err(form.unknown(lower))
        ),
        (Some("wide"), None) => for_type!(
            ty,
            N in [U16 = u16, U32 = u32, S16 = i16, S32 = i32] => {
                map2(to, a, b, <N as Product>::wide)
            },
            else return Err(form.unknown(lower))
        ),
        (Some("wide"), Some(c)) => for_type!(
            ty,
            N in [U16 = u16, U32 = u32, S16 = i16, S32 = i32] => {
                map3(to, a, b, c, |a: N, b: N, c| a.wide(b).wrapping_add(c))
            },
            else return Err(form.unknown(lower))
        ),
        _ => return Err(form.unknown(lower)),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `mul24` and `mad24`: the low 24 bits of each factor, bits 0 to 31 or 16 to 47 of the product.
pub(super) fn lower24(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let shift = match form.take_one(&["lo", "hi"]) {
        Some("lo") => 0,
        Some(_) => 16,
        None => return Err(form.unknown(lower)),
    };
    let saturate = form.take("sat");
    let ty = form.ty(lower)?;
    let (to, a, b, c) = planes(lower, form, ty, ty)?;
    let signed = move |a: i32, b: i32| ((extend24(a) * extend24(b)) >> shift) as i32;
    let unsigned = move |a: u32, b: u32| ((low24(a) * low24(b)) >> shift) as u32;
    let body = match (ty, c) {
        (Type::S32, Some(c)) if saturate && shift == 16 => {
            map3(to, a, b, c, move |a, b, c: i32| signed(a, b).saturating_add(c))
        }
        _ if saturate => return Err(form.unknown(lower)),
        (Type::S32, None) => map2(to, a, b, signed),
        (Type::U32, None) => map2(to, a, b, unsigned),
        (Type::S32, Some(c)) => map3(to, a, b, c, move |a, b, c: i32| signed(a, b).wrapping_add(c)),
        (Type::U32, Some(c)) => {
            map3(to, a, b, c, move |a, b, c: u32| unsigned(a, b).wrapping_add(c))
        }
        _ => return Err(form.unknown(lower)),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// The planes of `mul d, a, b` or `mad d, a, b, c`.
fn planes(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    ty: Type,
    to_type: Type,
) -> Result<(Plane, Plane, Plane, Option<Plane>), PtxError> {
    if form.opcode().starts_with("mul") {
        let [to, a, b] = form.operands(lower)?;
        let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
        return Ok((lower.dst(to, to_type)?, a, b, None));
    }
    let [to, a, b, c] = form.operands(lower)?;
    let (a, b, c) = (lower.src(a, ty)?, lower.src(b, ty)?, lower.src(c, to_type)?);
    Ok((lower.dst(to, to_type)?, a, b, Some(c)))
}

fn wider(lower: &Lower<'_>, form: &Form<'_>, ty: Type) -> Result<Type, PtxError> {
    match ty {
        Type::U16 => Ok(Type::U32),
        Type::U32 => Ok(Type::U64),
        Type::S16 => Ok(Type::S32),
        Type::S32 => Ok(Type::S64),
        _ => Err(form.unknown(lower)),
    }
}

/// Products that are wider than their factors.
pub(super) trait Product: Copy {
    /// Twice as wide.
    type Wide;
    /// The whole product.
    fn wide(self, other: Self) -> Self::Wide;
    /// Its upper half.
    fn high(self, other: Self) -> Self;
}

macro_rules! product {
    ($($narrow:ty => $wide:ty),*) => {$(
        impl Product for $narrow {
            type Wide = $wide;
            #[inline(always)]
            fn wide(self, other: Self) -> $wide {
                <$wide>::from(self) * <$wide>::from(other)
            }
            #[inline(always)]
            fn high(self, other: Self) -> Self {
                (self.wide(other) >> Self::BITS) as Self
            }
        }
    )*};
}

product!(u16 => u32, u32 => u64, u64 => u128, i16 => i32, i32 => i64, i64 => i128);

fn high32(a: i32, b: i32) -> i32 {
    a.high(b)
}

fn low24(value: u32) -> u64 {
    u64::from(value & 0xff_ffff)
}

fn extend24(value: i32) -> i64 {
    i64::from(value << 8 >> 8)
}
