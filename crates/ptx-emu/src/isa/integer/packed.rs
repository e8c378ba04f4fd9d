//! Two 16-bit integers in a register.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::map2;
use crate::lower::{Form, Lower};
use crate::machine::registers::Plane;
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let relu = form.take("relu");
    let signed = form.take_one(&["s16x2", "u16x2"]) == Some("s16x2");
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, Type::B32)?, lower.src(b, Type::B32)?);
    let to = lower.dst(to, Type::B32)?;
    let body = match (form.opcode(), signed, relu) {
        ("add", _, false) => halves(to, a, b, u16::wrapping_add),
        ("min", false, false) => halves(to, a, b, |a, b| a.min(b)),
        ("max", false, false) => halves(to, a, b, |a, b| a.max(b)),
        ("min", true, false) => signed_halves(to, a, b, |a, b| a.min(b)),
        ("max", true, false) => signed_halves(to, a, b, |a, b| a.max(b)),
        ("min", true, true) => signed_halves(to, a, b, |a, b| a.min(b).max(0)),
        ("max", true, true) => signed_halves(to, a, b, |a, b| a.max(b).max(0)),
        _ => return Err(form.unknown(lower)),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

fn signed_halves(
    to: Plane,
    a: Plane,
    b: Plane,
    f: impl Fn(i16, i16) -> i16 + Send + Sync + 'static,
) -> LaneBody {
    halves(to, a, b, move |a, b| f(a as i16, b as i16) as u16)
}

fn halves(
    to: Plane,
    a: Plane,
    b: Plane,
    f: impl Fn(u16, u16) -> u16 + Send + Sync + 'static,
) -> LaneBody {
    map2(to, a, b, move |a: u32, b: u32| {
        let low = f(a as u16, b as u16);
        let high = f((a >> 16) as u16, (b >> 16) as u16);
        u32::from(low) | (u32::from(high) << 16)
    })
}
