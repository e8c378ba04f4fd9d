//! `wgmma`: products of matrices by a warpgroup, on their own until they are waited for; and the
//! small instructions that come with them.

mod issue;
mod product;

use super::Lowered;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::products::Element;
use crate::machine::registers::FULL;
use crate::program::{AccessBody, Action, Flow, Members};
use crate::syntax::ast::{Operand, Type};
use issue::{Recipe, Scale, Source, issue, wait};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "setmaxnreg" => return registers(lower, form),
        "griddepcontrol" => {
            // One launch runs at a time: the one before has ended.
            form.take_one(&["launch_dependents", "wait"]);
            let [] = form.operands(lower)?;
            return Ok(Lowered::new(Action::Access(Box::new(|_| Ok(Flow::Next))), Class::Sync));
        }
        _ => {}
    }
    let verb = form.take_one(&["fence", "commit_group", "wait_group", "mma_async"]);
    if !(form.take("sync") && form.take("aligned")) {
        return Err(form.unknown(lower));
    }
    match verb {
        Some("mma_async") => multiply(lower, form),
        Some("fence") => {
            let [] = form.operands(lower)?;
            Ok(together(Class::Sync, |access| {
                access.warp.products.fenced = access.registers.planes().to_vec();
                Ok(Flow::Next)
            }))
        }
        Some("commit_group") => {
            let [] = form.operands(lower)?;
            Ok(together(Class::Sync, |access| {
                let products = &mut access.warp.products;
                products.groups.push_back(std::mem::take(&mut products.open));
                Ok(Flow::Next)
            }))
        }
        Some("wait_group") => {
            let [latest] = form.operands(lower)?;
            let latest = lower.immediate(latest)?.clamp(0, 1 << 16) as usize;
            Ok(together(Class::Sync, move |access| wait(access, latest)))
        }
        _ => Err(form.unknown(lower)),
    }
}

/// An instruction that all 32 lanes execute together.
fn together(
    class: Class,
    body: impl Fn(&mut Access<'_>) -> Result<Flow, Trouble> + Send + Sync + 'static,
) -> Lowered {
    let body: AccessBody = Box::new(move |access: &mut Access<'_>| {
        if access.mask != FULL {
            return Err(Trouble::new(
                FaultKind::BarrierDivergence,
                format!("executed by lanes {:#010x}, expected whole warps", access.mask),
            ));
        }
        body(access)
    });
    Lowered::new(Action::Together(Members::All, body), class)
}

/// `setmaxnreg`, which moves no value: the number must be one that the hardware takes.
fn registers(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let known = form.take_one(&["inc", "dec"]).is_some()
        && form.take("sync")
        && form.take("aligned")
        && form.take("u32");
    let [count] = form.operands(lower)?;
    let count = lower.immediate(count)?;
    match known && (24..=256).contains(&count) && count % 8 == 0 {
        true => Ok(together(Class::Control, |_| Ok(Flow::Next))),
        false => Err(lower
            .fail(format!("`{}` {count}, expected a multiple of 8 from 24 to 256", form.text()))),
    }
}

fn multiply(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let columns = form.take_as(|word| {
        let (columns, depth) = word.strip_prefix("m64n")?.split_once('k')?;
        Some((columns.parse::<usize>().ok()?, depth.parse::<usize>().ok()?))
    });
    let known = form.take("f32");
    let kinds = &["f16", "bf16", "tf32"];
    let (a_kind, b_kind) = (form.take_one(kinds), form.take_one(kinds));
    let element = match a_kind {
        Some("f16") => Element::F16,
        Some("bf16") => Element::Bf16,
        Some("tf32") => Element::Tf32,
        _ => return Err(form.unknown(lower)),
    };
    let Some((columns, depth)) = columns else { return Err(form.unknown(lower)) };
    let shape = columns % 8 == 0 && (8..=256).contains(&columns) && depth == element.depth();
    if !known || !shape || a_kind != b_kind {
        return Err(form.unknown(lower));
    }
    let [to, a, b, scale, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let list = lower.list(to);
    if list.len() != columns / 2 {
        let text =
            format!("`{}` has {} results, expected {}", form.text(), list.len(), columns / 2);
        return Err(lower.fail(text));
    }
    let to =
        list.iter().map(|one| lower.register(one, Type::F32)).collect::<Result<Vec<_>, _>>()?;
    let a = match a {
        Operand::Vector(parts) => {
            let planes =
                parts.iter().map(|one| lower.src(one, Type::B32)).collect::<Result<Vec<_>, _>>()?;
            let planes = planes.try_into().map_err(|_| lower.fail("A has four registers"))?;
            Source::Registers(planes)
        }
        descriptor => Source::Descriptor(lower.src(descriptor, Type::B64)?),
    };
    let b = lower.src(b, Type::B64)?;
    let accumulates = match scale {
        Operand::Integer(value) => Scale::Constant(*value != 0),
        scale => {
            let (predicate, negated) = lower.src_predicate(scale)?;
            Scale::Predicate(predicate, negated)
        }
    };
    let numbers = rest.iter().map(|one| lower.immediate(one)).collect::<Result<Vec<_>, _>>()?;
    let halves = element != Element::Tf32;
    let (signs, turns) = match (&a, numbers.as_slice()) {
        (Source::Descriptor(_), [x, y, a, b]) if halves => ([*x, *y], [*a, *b]),
        (Source::Registers(_), [x, y, b]) if halves => ([*x, *y], [0, *b]),
        (_, [x, y]) if !halves => ([*x, *y], [0, 0]),
        _ => return Err(form.unknown(lower)),
    };
    let fits =
        signs.iter().all(|sign| sign.abs() == 1) && turns.iter().all(|turn| (0..=1).contains(turn));
    if !fits {
        return Err(lower.fail("expected scales of 1 or -1 and transpositions of 0 or 1"));
    }
    let recipe = Recipe {
        element,
        to,
        a,
        b,
        a_transposed: turns[0] == 1,
        b_transposed: turns[1] == 1,
        accumulates,
        negated: signs[0] != signs[1],
    };
    Ok(together(Class::Matrix, move |access| issue(access, &recipe)))
}
