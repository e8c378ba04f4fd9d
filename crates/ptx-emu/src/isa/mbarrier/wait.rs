//! `mbarrier.test_wait` and `mbarrier.try_wait`.

use super::{Order, Place, misuse, object, order, own, place};
use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::bulk_landing;
use crate::machine::registers::Plane;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};
use crate::syntax::ast::Type;

/// What names the phase that is waited for.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Token(Plane),
    Parity(Plane),
}

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let parity = form.take("parity");
    let order = order(form);
    let (to, at, phase) = match form.instruction.operands.as_slice() {
        [to, at, phase] => (to, at, phase),
        // The longest suspension is a hint about time.
        [to, at, phase, hint] if is_try(form) => {
            lower.src(hint, Type::U32)?;
            (to, at, phase)
        }
        _ => return Err(form.unknown(lower)),
    };
    let place = place(lower, form, at)?;
    let phase = match parity {
        true => Phase::Parity(lower.src(phase, Type::U32)?),
        false => Phase::Token(lower.src(phase, Type::B64)?),
    };
    let to = lower.dst_predicate(to)?;
    let body = move |access: &mut Access<'_>| {
        let passed = test(access, place, phase, order)?;
        access.registers.set_predicate(to, access.mask, passed);
        Ok(match passed & access.mask == access.mask {
            true => Flow::Next,
            false => Flow::Yield,
        })
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

fn is_try(form: &Form<'_>) -> bool {
    form.instruction.modifiers.iter().any(|word| word == "try_wait")
}

/// The lanes whose phase has ended.
fn test(
    access: &mut Access<'_>,
    place: Place,
    phase: Phase,
    order: Order,
) -> Result<u32, crate::fault::Trouble> {
    bulk_landing::land_some(access.cluster, access.device)?;
    let places = place.read(access)?;
    let named = match phase {
        Phase::Token(plane) => access.registers.read::<u64>(plane),
        Phase::Parity(plane) => access.registers.read::<u32>(plane).map(u64::from),
    };
    let mut passed = 0;
    for lane in lanes(access.mask) {
        let offset = own(access, places[lane], lane)?;
        let object = object(access, places[lane], lane)?;
        let has = match phase {
            Phase::Token(_) => object.has_passed(named[lane]),
            Phase::Parity(_) => object.has_passed_parity(named[lane] as u32),
        };
        if has.map_err(|text| misuse(offset, lane, &text))? {
            passed |= 1 << lane;
            if order.orders {
                let seen = *object.complete();
                access.warp.clock.join(&seen);
            }
        }
    }
    if passed != 0 && order.orders && order.wide {
        access.device.fences.pass(access.warp.cta_index);
    }
    Ok(passed)
}
