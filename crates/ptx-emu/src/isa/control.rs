//! Branches, exits and barriers.

use super::Lowered;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Form, Lower};
use crate::program::{Action, Barrier, BarrierStep, ClusterStep, Flow, Members};
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "bra" => {
            form.take("uni");
            let [target] = form.operands(lower)?;
            Ok(Lowered::new(Action::Branch(lower.label(target)?), Class::Control))
        }
        "brx" => {
            form.take("idx");
            form.take("uni");
            let [index, list] = form.operands(lower)?;
            let index = lower.src(index, Type::U32)?;
            let targets = lower.branch_targets(list)?;
            Ok(Lowered::new(Action::BranchIndexed(index, targets.into()), Class::Control))
        }
        "ret" => {
            form.take("uni");
            let action = match lower.returns.last().copied().flatten() {
                Some(label) => Action::Branch(label),
                None => Action::Exit,
            };
            Ok(Lowered::new(action, Class::Control))
        }
        "exit" => Ok(Lowered::new(Action::Exit, Class::Control)),
        "trap" | "brkpt" => {
            let body = |access: &mut crate::machine::access::Access<'_>| -> Result<Flow, Trouble> {
                Err(Trouble::at(FaultKind::Trap, access.mask.trailing_zeros(), "trap"))
            };
            Ok(Lowered::new(Action::Access(Box::new(body)), Class::Control))
        }
        "nanosleep" => {
            form.take("u32");
            let [time] = form.operands(lower)?;
            lower.src(time, Type::U32)?;
            Ok(Lowered::new(Action::Access(Box::new(|_| Ok(Flow::Yield))), Class::Control))
        }
        _ => barrier(lower, form),
    }
}

/// `bar` and `barrier`, of the warp, the CTA and the cluster.
fn barrier(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if form.take("warp") {
        return warp_barrier(lower, form);
    }
    if form.take("cluster") {
        return cluster_barrier(form, lower);
    }
    form.take("cta");
    // `bar` is aligned by definition; for `barrier`, our warps meet in either case.
    form.take("aligned");
    let operands = form.instruction.operands.as_slice();
    let step = match form.take_one(&["sync", "arrive", "red"]) {
        Some("sync") => BarrierStep::Sync,
        Some("arrive") => BarrierStep::Arrive,
        Some("red") => {
            let kind = form.take_one(&["popc", "and", "or"]);
            form.take_one(&["u32", "pred"]);
            let (Some(kind), [to, rest @ ..]) = (kind, operands) else {
                return Err(form.unknown(lower));
            };
            let Some(last) = rest.last() else { return Err(form.unknown(lower)) };
            let (source, negated) = lower.src_predicate(last)?;
            let step = match kind {
                "popc" => BarrierStep::Count { to: lower.dst(to, Type::U32)?, source, negated },
                "and" => BarrierStep::And { to: lower.dst_predicate(to)?, source, negated },
                _ => BarrierStep::Or { to: lower.dst_predicate(to)?, source, negated },
            };
            let (id, count) = match &rest[..rest.len() - 1] {
                [id] => (lower.src(id, Type::U32)?, None),
                [id, count] => (lower.src(id, Type::U32)?, Some(lower.src(count, Type::U32)?)),
                _ => return Err(form.unknown(lower)),
            };
            return Ok(Lowered::new(Action::Barrier(Barrier { id, count, step }), Class::Sync));
        }
        _ => return Err(form.unknown(lower)),
    };
    let (id, count) = match operands {
        [id] => (lower.src(id, Type::U32)?, None),
        [id, count] => (lower.src(id, Type::U32)?, Some(lower.src(count, Type::U32)?)),
        _ => return Err(form.unknown(lower)),
    };
    if step == BarrierStep::Arrive && count.is_none() {
        return Err(lower.fail("an arriving barrier needs its number of threads"));
    }
    Ok(Lowered::new(Action::Barrier(Barrier { id, count, step }), Class::Sync))
}

/// `bar.warp.sync`: lanes meet, and what they wrote is seen by each other.
fn warp_barrier(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    form.take("sync");
    let [members] = form.operands(lower)?;
    let members = Members::Anywhere(lower.src(members, Type::U32)?);
    let body = |access: &mut crate::machine::access::Access<'_>| {
        let index = access.warp.index;
        access.warp.clock.advance(index);
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Together(members, Box::new(body)), Class::Sync))
}

fn cluster_barrier(form: &mut Form<'_>, lower: &Lower<'_>) -> Result<Lowered, PtxError> {
    let step = match form.take_one(&["arrive", "wait"]) {
        Some("arrive") => ClusterStep::Arrive,
        Some(_) => ClusterStep::Wait,
        None => return Err(form.unknown(lower)),
    };
    form.take_one(&["release", "relaxed", "acquire"]);
    form.take("aligned");
    Ok(Lowered::new(Action::ClusterBarrier(step), Class::Sync))
}
