//! Sums, quotients, extrema and absolute values.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{map1, map2, map3};
use crate::isa::types::{for_integer, for_type};
use crate::lower::{Form, Lower};
use crate::program::Action;
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "abs" | "neg" => one(lower, form),
        "sad" => sad(lower, form),
        _ => two(lower, form),
    }
}

fn one(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    let negate = form.opcode() == "neg";
    let body = for_type!(ty, N in [S16 = i16, S32 = i32, S64 = i64] => match negate {
        true => map1(to, a, |a: N| a.wrapping_neg()),
        false => map1(to, a, |a: N| a.wrapping_abs()),
    }, else return Err(form.unknown(lower)));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

fn two(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let saturate = form.take("sat");
    let relu = form.take("relu");
    let ty = form.ty(lower)?;
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let to = lower.dst(to, ty)?;
    let body = match (form.opcode(), ty) {
        ("add", Type::S32) if saturate => map2(to, a, b, i32::saturating_add),
        ("sub", Type::S32) if saturate => map2(to, a, b, i32::saturating_sub),
        ("min", Type::S32) if relu => map2(to, a, b, |a: i32, b: i32| a.min(b).max(0)),
        ("max", Type::S32) if relu => map2(to, a, b, |a: i32, b: i32| a.max(b).max(0)),
        _ if saturate || relu => return Err(form.unknown(lower)),
        (opcode, _) => for_integer!(ty, N => match opcode {
            "add" => map2(to, a, b, N::wrapping_add),
            "sub" => map2(to, a, b, N::wrapping_sub),
            // PTX leaves division by zero open; the code that ptxas 13 makes gives all ones for
            // quotient and remainder alike.
            "div" => map2(to, a, b, |a: N, b: N| if b == 0 { !0 } else { a.wrapping_div(b) }),
            "rem" => map2(to, a, b, |a: N, b: N| if b == 0 { !0 } else { a.wrapping_rem(b) }),
            "min" => map2(to, a, b, |a: N, b: N| a.min(b)),
            _ => map2(to, a, b, |a: N, b: N| a.max(b)),
        }, else return Err(form.unknown(lower))),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `sad`: the distance of `a` and `b`, added to `c`.
fn sad(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, a, b, c] = form.operands(lower)?;
    let (a, b, c) = (lower.src(a, ty)?, lower.src(b, ty)?, lower.src(c, ty)?);
    let to = lower.dst(to, ty)?;
    let body = for_integer!(ty, N => map3(to, a, b, c, |a: N, b: N, c: N| {
        let distance = if a < b { b.wrapping_sub(a) } else { a.wrapping_sub(b) };
        c.wrapping_add(distance)
    }), else return Err(form.unknown(lower)));
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}
