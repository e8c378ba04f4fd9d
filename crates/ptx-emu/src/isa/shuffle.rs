//! What the lanes of a warp learn of each other: shuffles, votes, matches, reductions.

use super::Lowered;
use super::lanes::signed_predicate;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::Trouble;
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{FULL, LANES, Mask, Plane};
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow, Members};
use crate::syntax::ast::{Operand, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if form.opcode() == "activemask" {
        return activemask(lower, form);
    }
    if !form.take("sync") {
        return Err(lower.fail(format!(
            "`{}` without .sync is gone since sm_70, expected `{}.sync`",
            form.text(),
            form.opcode()
        )));
    }
    match form.opcode() {
        "shfl" => shfl(lower, form),
        "vote" => vote(lower, form),
        "match" => matching(lower, form),
        "redux" => redux(lower, form),
        _ => elect(lower, form),
    }
}

/// An instruction that the lanes which `members` names execute together.
fn together(
    members: Plane,
    body: impl Fn(&mut Access<'_>) -> Result<Flow, Trouble> + Send + Sync + 'static,
) -> Lowered {
    Lowered::new(Action::Together(Members::Plane(members), Box::new(body)), Class::Shuffle)
}

/// `d|p` or `d`.
fn pair(operand: &Operand) -> (&Operand, Option<&Operand>) {
    match operand {
        Operand::Pair(first, second) => (first, Some(second)),
        one => (one, None),
    }
}

fn activemask(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if form.ty(lower)? != Type::B32 {
        return Err(form.unknown(lower));
    }
    let [to] = form.operands(lower)?;
    let to = lower.dst(to, Type::B32)?;
    let body = move |access: &mut Access<'_>| {
        access.registers.write(to, access.mask, &[access.mask; LANES]);
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Shuffle))
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Up,
    Down,
    Butterfly,
    Index,
}

impl Mode {
    /// The lane that `lane` reads, and whether that lies in its segment (else it reads itself).
    ///
    /// `c` holds the clamp in bits 0 to 4 and the mask of the segment in bits 8 to 12.
    fn source(self, lane: u32, b: u32, c: u32) -> (u32, bool) {
        let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
        let last = (lane & segment) | (clamp & !segment);
        let first = lane & segment;
        let (source, inside) = match self {
            // Here the clamp is the first lane of the segment.
            Mode::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= last as i32),
            Mode::Down => (lane + b, lane + b <= last),
            Mode::Butterfly => (lane ^ b, lane ^ b <= last),
            Mode::Index => {
                let source = first | (b & !segment);
                (source, source <= last)
            }
        };
        (if inside { source } else { lane }, inside)
    }
}

fn shfl(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let mode = match form.take_one(&["up", "down", "bfly", "idx"]) {
        Some("up") => Mode::Up,
        Some("down") => Mode::Down,
        Some("bfly") => Mode::Butterfly,
        Some(_) => Mode::Index,
        None => return Err(form.unknown(lower)),
    };
    if form.ty(lower)? != Type::B32 {
        return Err(form.unknown(lower));
    }
    let [to, from, b, c, members] = form.operands(lower)?;
    let (to, inside_to) = pair(to);
    let from = lower.src(from, Type::B32)?;
    let (b, c) = (lower.src(b, Type::B32)?, lower.src(c, Type::B32)?);
    let members = lower.src(members, Type::B32)?;
    let to = lower.dst(to, Type::B32)?;
    let inside_to = inside_to.map(|to| lower.dst_predicate(to)).transpose()?;
    Ok(together(members, move |access| {
        let registers = &mut *access.registers;
        let (values, b, c) = (*registers.plane(from), *registers.plane(b), *registers.plane(c));
        let (mut out, mut inside, mut undefined): (_, Mask, Mask) = ([0; LANES], 0, 0);
        for lane in 0..LANES {
            let (source, holds) = mode.source(lane as u32, b[lane], c[lane]);
            out[lane] = values[source as usize];
            inside |= Mask::from(holds) << lane;
            undefined |= (!access.mask >> source & 1) << lane;
        }
        registers.write(to, access.mask, &out);
        if let Some(to) = inside_to {
            registers.set_predicate(to, access.mask, inside);
        }
        // The value of a lane that takes no part is anything: using it is a fault.
        access.undefined = undefined & access.mask;
        Ok(Flow::Next)
    }))
}

fn vote(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Some(mode) = form.take_one(&["all", "any", "uni", "ballot"]) else {
        return Err(form.unknown(lower));
    };
    let ty = form.ty(lower)?;
    let [to, from, members] = form.operands(lower)?;
    let from = lower.src_predicate(from)?;
    let members = lower.src(members, Type::B32)?;
    if mode == "ballot" {
        if ty != Type::B32 {
            return Err(form.unknown(lower));
        }
        let to = lower.dst(to, Type::B32)?;
        return Ok(together(members, move |access| {
            let votes = signed_predicate(access.registers, from) & access.mask;
            access.registers.write(to, access.mask, &[votes; LANES]);
            Ok(Flow::Next)
        }));
    }
    if ty != Type::Pred {
        return Err(form.unknown(lower));
    }
    let to = lower.dst_predicate(to)?;
    let holds: fn(Mask, Mask) -> bool = match mode {
        "all" => |votes, mask| votes == mask,
        "any" => |votes, _| votes != 0,
        _ => |votes, mask| votes == mask || votes == 0,
    };
    Ok(together(members, move |access| {
        let votes = signed_predicate(access.registers, from) & access.mask;
        let value = if holds(votes, access.mask) { FULL } else { 0 };
        access.registers.set_predicate(to, access.mask, value);
        Ok(Flow::Next)
    }))
}

fn matching(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Some(mode) = form.take_one(&["any", "all"]) else { return Err(form.unknown(lower)) };
    let ty = form.ty(lower)?;
    if !matches!(ty, Type::B32 | Type::B64) {
        return Err(form.unknown(lower));
    }
    let [to, from, members] = form.operands(lower)?;
    let (to, same_to) = pair(to);
    if mode == "any" && same_to.is_some() {
        return Err(lower.fail("`match.any.sync` gives no predicate"));
    }
    let from = lower.src(from, ty)?;
    let members = lower.src(members, Type::B32)?;
    let to = lower.dst(to, Type::B32)?;
    let same_to = same_to.map(|to| lower.dst_predicate(to)).transpose()?;
    let all = mode == "all";
    Ok(together(members, move |access| {
        let values: [u64; LANES] = match ty {
            Type::B64 => access.registers.read(from),
            _ => access.registers.plane(from).map(u64::from),
        };
        let mask = access.mask;
        let like = |lane: usize| {
            lanes(mask)
                .filter(|&other| values[other] == values[lane])
                .fold(0, |like, other| like | 1 << other)
        };
        let mut out: [Mask; LANES] = [0; LANES];
        lanes(mask).for_each(|lane| out[lane] = like(lane));
        if all {
            let same = out[mask.trailing_zeros() as usize] == mask;
            out = [if same { mask } else { 0 }; LANES];
            if let Some(to) = same_to {
                access.registers.set_predicate(to, mask, if same { FULL } else { 0 });
            }
        }
        access.registers.write(to, mask, &out);
        Ok(Flow::Next)
    }))
}

fn redux(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Some(name) = form.take_one(&["add", "min", "max", "and", "or", "xor"]) else {
        return Err(form.unknown(lower));
    };
    let ty = form.ty(lower)?;
    let combine: fn(u32, u32) -> u32 = match (name, ty) {
        ("add", Type::U32 | Type::S32) => u32::wrapping_add,
        ("min", Type::U32) => u32::min,
        ("max", Type::U32) => u32::max,
        ("min", Type::S32) => |a, b| (a as i32).min(b as i32) as u32,
        ("max", Type::S32) => |a, b| (a as i32).max(b as i32) as u32,
        ("and", Type::B32) => |a, b| a & b,
        ("or", Type::B32) => |a, b| a | b,
        ("xor", Type::B32) => |a, b| a ^ b,
        _ => return Err(form.unknown(lower)),
    };
    let [to, from, members] = form.operands(lower)?;
    let from = lower.src(from, ty)?;
    let members = lower.src(members, Type::B32)?;
    let to = lower.dst(to, ty)?;
    Ok(together(members, move |access| {
        let values = access.registers.plane(from);
        if let Some(value) = lanes(access.mask).map(|lane| values[lane]).reduce(combine) {
            access.registers.write(to, access.mask, &[value; LANES]);
        }
        Ok(Flow::Next)
    }))
}

/// `elect.sync`: the first of the members leads.
fn elect(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [to, members] = form.operands(lower)?;
    let (to, Some(leads)) = pair(to) else {
        return Err(lower.fail("expected `elect.sync d|p, members`"));
    };
    let members = lower.src(members, Type::B32)?;
    let to = lower.dst(to, Type::B32)?;
    let leads = lower.dst_predicate(leads)?;
    Ok(together(members, move |access| {
        let leader = access.mask.trailing_zeros();
        access.registers.write(to, access.mask, &[leader; LANES]);
        access.registers.set_predicate(leads, access.mask, 1 << leader);
        Ok(Flow::Next)
    }))
}
