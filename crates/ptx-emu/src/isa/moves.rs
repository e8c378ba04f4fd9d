//! Moves, packing, and addresses between spaces.

use super::Lowered;
use super::lanes::{map1, map2};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{LANES, Plane};
use crate::memory::address::{from_generic, in_cluster, rank_and_offset, to_generic};
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "mov" => mov(lower, form),
        "cvta" => cvta(lower, form),
        "isspacep" => isspacep(lower, form),
        "mapa" => mapa(lower, form),
        _ => getctarank(lower, form),
    }
}

fn mov(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let [to, from] = form.operands(lower)?;
    if ty == Type::Pred {
        let (from, negated) = lower.src_predicate(from)?;
        let to = lower.dst_predicate(to)?;
        let body = move |registers: &mut crate::machine::registers::Registers, mask| {
            let value = super::lanes::signed_predicate(registers, (from, negated));
            registers.set_predicate(to, mask, value);
        };
        return Ok(Lowered::new(Action::Lanes(Box::new(body)), Class::Move));
    }
    if let Operand::Name(name) = from
        && let Some(bits) = clock_bits(name)
    {
        return clock(lower, to, bits);
    }
    let body = match (to, from) {
        (Operand::Vector(parts), _) => unpack(lower, parts, from, ty)?,
        (_, Operand::Vector(parts)) => pack(lower, to, parts, ty)?,
        _ => {
            let (from, to) = (lower.src(from, ty)?, lower.dst(to, ty)?);
            match ty.bytes() {
                8 => map1(to, from, |value: u64| value),
                _ => map1(to, from, |value: u32| value),
            }
        }
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Move))
}

/// `mov.b64 {lo, hi}, x` and its like: equal parts, low bits first.
fn unpack(
    lower: &mut Lower<'_>,
    parts: &[Operand],
    from: &Operand,
    ty: Type,
) -> Result<crate::program::LaneBody, PtxError> {
    let part = part_type(lower, parts.len(), ty)?;
    let from = lower.src(from, ty)?;
    let to = parts.iter().map(|part_to| lower.dst(part_to, part)).collect::<Result<Vec<_>, _>>()?;
    let wide = ty.bytes() == 8;
    let (step, keep) = (8 * part.bytes(), field(part));
    Ok(Box::new(move |registers, mask| {
        let value = read_any(registers, from, wide);
        for (index, &to) in to.iter().enumerate() {
            let mut out = [0u32; LANES];
            for lane in 0..LANES {
                out[lane] = (value[lane] >> (step * index as u32) & keep) as u32;
            }
            registers.set_plane(to, mask, &out);
        }
    }))
}

/// `mov.b64 x, {lo, hi}` and its like.
fn pack(
    lower: &mut Lower<'_>,
    to: &Operand,
    parts: &[Operand],
    ty: Type,
) -> Result<crate::program::LaneBody, PtxError> {
    let part = part_type(lower, parts.len(), ty)?;
    let from = parts.iter().map(|from| lower.src(from, part)).collect::<Result<Vec<_>, _>>()?;
    let to = lower.dst(to, ty)?;
    let wide = ty.bytes() == 8;
    let (step, keep) = (8 * part.bytes(), field(part));
    Ok(Box::new(move |registers, mask| {
        let mut value = [0u64; LANES];
        for (index, &from) in from.iter().enumerate() {
            let source = registers.plane(from);
            for lane in 0..LANES {
                value[lane] |= (u64::from(source[lane]) & keep) << (step * index as u32);
            }
        }
        if wide {
            registers.write(to, mask, &value);
        } else {
            registers.write(to, mask, &value.map(|value| value as u32));
        }
    }))
}

fn part_type(lower: &Lower<'_>, parts: usize, ty: Type) -> Result<Type, PtxError> {
    match ty.bytes() as usize / parts.max(1) {
        4 if parts > 1 => Ok(Type::B32),
        2 if parts > 1 => Ok(Type::B16),
        1 if parts > 1 => Ok(Type::B8),
        _ => Err(lower.fail(format!("{ty} does not fall into {parts} parts"))),
    }
}

fn field(part: Type) -> u64 {
    (1u64 << (8 * part.bytes())) - 1
}

fn read_any(
    registers: &crate::machine::registers::Registers,
    plane: Plane,
    wide: bool,
) -> [u64; LANES] {
    if wide { registers.read(plane) } else { registers.read::<u32>(plane).map(u64::from) }
}

/// Clocks count instructions of this run: their order is real, their rate is not.
fn clock_bits(name: &str) -> Option<u32> {
    match name {
        "%clock" | "%clock_hi" | "%globaltimer_lo" | "%globaltimer_hi" => Some(32),
        "%clock64" | "%globaltimer" => Some(64),
        _ => None,
    }
}

fn clock(lower: &mut Lower<'_>, to: &Operand, bits: u32) -> Result<Lowered, PtxError> {
    let ty = if bits == 64 { Type::U64 } else { Type::U32 };
    let to = lower.dst(to, ty)?;
    let body = move |access: &mut Access<'_>| {
        let now = access.counters.warp_instructions;
        match bits {
            64 => access.registers.write(to, access.mask, &[now; LANES]),
            _ => access.registers.write(to, access.mask, &[now as u32; LANES]),
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Move))
}

/// The space that a modifier names.
pub(super) fn space(form: &mut Form<'_>) -> Option<Space> {
    form.take_as(|word| match word {
        "global" => Some(Space::Global),
        "shared" | "shared::cta" | "shared::cluster" => Some(Space::Shared),
        "local" => Some(Space::Local),
        "param" | "param::entry" | "param::func" => Some(Space::Param),
        "const" => Some(Space::Const),
        _ => None,
    })
}

fn cvta(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let from_generic_address = form.take("to");
    let Some(space) = space(form) else { return Err(form.unknown(lower)) };
    let ty = form.ty(lower)?;
    if ty.bytes() != 8 {
        return Err(lower.fail("addresses have 64 bits here"));
    }
    let [to, from] = form.operands(lower)?;
    let (from, to) = (lower.src(from, ty)?, lower.dst(to, ty)?);
    let body = match from_generic_address {
        true => map1(to, from, move |address: u64| match from_generic(address) {
            (found, inside) if found == space => inside,
            _ => address,
        }),
        false => map1(to, from, move |address: u64| to_generic(space, address)),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Move))
}

fn isspacep(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Some(space) = space(form) else { return Err(form.unknown(lower)) };
    let [to, from] = form.operands(lower)?;
    let (from, to) = (lower.src(from, Type::U64)?, lower.dst_predicate(to)?);
    let body = move |registers: &mut crate::machine::registers::Registers, mask| {
        let holds = super::lanes::test2(registers, from, from, |address: u64, _: u64| {
            from_generic(address).0 == space
        });
        registers.set_predicate(to, mask, holds);
    };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), Class::Move))
}

/// `mapa`: the address of one's own shared variable in another CTA of the cluster.
fn mapa(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let shared = space(form).is_some();
    let ty = form.ty(lower)?;
    let [to, from, rank] = form.operands(lower)?;
    let (from, rank) = (lower.src(from, ty)?, lower.src(rank, Type::U32)?);
    let to = lower.dst(to, ty)?;
    let mapped = move |address: u64, rank: u32| match shared {
        true => in_cluster(rank, address),
        false => to_generic(Space::Shared, in_cluster(rank, from_generic(address).1)),
    };
    let body = match ty.bytes() {
        8 => map2(to, from, rank, mapped),
        _ => map2(to, from, rank, move |address: u32, rank: u32| {
            mapped(u64::from(address), rank) as u32
        }),
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Move))
}

/// `getctarank`: the CTA of the cluster that a shared address lies in.
fn getctarank(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    space(form);
    let ty = form.ty(lower)?;
    let [to, from] = form.operands(lower)?;
    let (from, to) = (lower.src(from, ty)?, lower.dst(to, Type::U32)?);
    let wide = ty.bytes() == 8;
    let body = move |access: &mut Access<'_>| {
        let own = access.rank;
        let addresses = read_any(access.registers, from, wide);
        let ranks = addresses.map(|address| rank_and_offset(address, own).0 as u32);
        access.registers.write(to, access.mask, &ranks);
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Move))
}
