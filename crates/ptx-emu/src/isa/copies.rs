//! `cp.async`: copies from global to shared memory that land when they are waited for.
//!
//! The source is read at once; the bytes appear at the destination when the thread that asked for
//! the copy waits for its group. Until then nobody may touch the destination. What has landed is
//! known to that thread alone: others need a barrier.

use super::Lowered;
use super::moves::space;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::machine::access::{Access, unwritten};
use crate::machine::copy_queue::Copy;
use crate::machine::registers::{LANES, Mask, Plane, Predicate, Registers};
use crate::memory::global_race::Touch;
use crate::memory::traffic::{lanes, sectors};
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if !form.take("async") {
        return Err(form.unknown(lower));
    }
    if form.take("commit_group") {
        let [] = form.operands(lower)?;
        return Ok(step(|access| {
            access.warp.copies.commit(access.mask);
            Ok(Flow::Next)
        }));
    }
    if form.take("wait_all") {
        let [] = form.operands(lower)?;
        return Ok(step(|access| {
            access.warp.copies.commit(access.mask);
            wait(access, 0);
            Ok(Flow::Next)
        }));
    }
    if form.take("wait_group") {
        let [most] = form.operands(lower)?;
        let most = u32::try_from(lower.immediate(most)?)
            .map_err(|_| lower.fail("expected a number of groups"))?;
        return Ok(step(move |access| {
            wait(access, most);
            Ok(Flow::Next)
        }));
    }
    copy(lower, form)
}

fn step(
    body: impl Fn(&mut Access<'_>) -> Result<Flow, Trouble> + Send + Sync + 'static,
) -> Lowered {
    Lowered::new(Action::Access(Box::new(body)), Class::Sync)
}

/// Lands all but the `most` latest groups of each lane that executes this.
fn wait(access: &mut Access<'_>, most: u32) {
    let mask = access.mask;
    let landed = access.warp.copies.take(|copy, committed| {
        mask >> copy.lane & 1 == 1
            && copy.group.is_some_and(|group| group.saturating_add(most) < committed)
    });
    access.warp.land(&landed, &mut access.cluster[access.rank]);
}

/// The operands of a copy besides its addresses.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Bytes that are written: 4, 8 or 16.
    bytes: u32,
    /// Bytes that are read, the rest being zeros.
    source_bytes: Option<Plane>,
    /// Lanes that read nothing and write zeros.
    ignore: Option<(Predicate, bool)>,
}

fn copy(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let kind = form.take_one(&["ca", "cg"]);
    let (to, from) = (space(form), space(form));
    let (Some(kind), Some(Space::Shared), Some(Space::Global)) = (kind, to, from) else {
        return Err(form.unknown(lower));
    };
    let hinted = form.take("L2::cache_hint");
    form.take_one(&["L2::64B", "L2::128B", "L2::256B"]);
    let [to, from, size, more @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let (_, to) = lower.address(to, Space::Shared)?;
    let (_, from) = lower.address(from, Space::Global)?;
    let bytes = match (lower.immediate(size)?, kind) {
        (bytes @ (4 | 8 | 16), "ca") | (bytes @ 16, _) => bytes as u32,
        (bytes, _) => {
            let expected = if kind == "cg" { "16" } else { "4, 8 or 16" };
            return Err(lower.fail(format!("copy of {bytes} bytes, expected {expected}")));
        }
    };
    let mut more = more;
    if hinted {
        let [rest @ .., policy] = more else { return Err(form.unknown(lower)) };
        lower.src(policy, Type::B64)?;
        more = rest;
    }
    let mut shape = Shape { bytes, source_bytes: None, ignore: None };
    match more {
        [] => {}
        [operand] if is_predicate(lower, operand) => {
            shape.ignore = Some(lower.src_predicate(operand)?);
        }
        [operand] => shape.source_bytes = Some(lower.src(operand, Type::U32)?),
        _ => return Err(form.unknown(lower)),
    }
    let body = move |access: &mut Access<'_>| {
        begin(access, &to, &from, shape)?;
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

fn is_predicate(lower: &Lower<'_>, operand: &Operand) -> bool {
    match operand {
        Operand::Not(_) => true,
        operand => lower.type_of(operand) == Some(Type::Pred),
    }
}

/// Bytes that each lane reads.
fn source_bytes(registers: &Registers, shape: Shape) -> [u32; LANES] {
    let mut counts = match shape.source_bytes {
        Some(plane) => registers.plane(plane).map(|count| count.min(shape.bytes)),
        None => [shape.bytes; LANES],
    };
    if let Some(predicate) = shape.ignore {
        let ignored = super::lanes::signed_predicate(registers, predicate);
        lanes(ignored).for_each(|lane| counts[lane] = 0);
    }
    counts
}

fn begin(
    access: &mut Access<'_>,
    to: &Address,
    from: &Address,
    shape: Shape,
) -> Result<(), Trouble> {
    let (targets, sources) = (to.read(access.registers), from.read(access.registers));
    let counts = source_bytes(access.registers, shape);
    let reading =
        lanes(access.mask).fold(0, |all, lane| all | Mask::from(counts[lane] != 0) << lane);
    if reading != 0 {
        access.counters.global_loads += 1;
        access.counters.load_sectors += u64::from(sectors(&sources, reading, shape.bytes));
        access.counters.load_bytes +=
            lanes(reading).map(|lane| u64::from(counts[lane])).sum::<u64>();
    }
    access.count_shared(&targets, access.mask, shape.bytes);
    for lane in lanes(access.mask) {
        let (rank, offset) =
            access.shared("copy", targets[lane], shape.bytes, shape.bytes, lane)?;
        if rank != access.rank {
            let detail = format!("copy to shared memory of CTA {rank}, expected one's own");
            return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, detail));
        }
        let mut data = [0; 16];
        read_source(access, sources[lane], &mut data[..counts[lane] as usize], shape.bytes, lane)?;
        let party = access.party(lane);
        access.cluster[rank].shared.begin_copy(offset, shape.bytes, party, &access.warp.clock)?;
        access.warp.copies.push(Copy {
            lane: lane as u32,
            group: None,
            offset,
            bytes: shape.bytes,
            data,
            line: access.line,
        });
    }
    Ok(())
}

/// Reads the source of one lane, aligned for the whole copy even where only a part is read.
fn read_source(
    access: &mut Access<'_>,
    address: u64,
    to: &mut [u8],
    align: u32,
    lane: usize,
) -> Result<(), Trouble> {
    let bytes = to.len() as u32;
    if bytes == 0 {
        return Ok(());
    }
    let (allocation, offset) = access.global("copy", address, bytes, align, lane)?;
    for (word, part) in to.chunks_mut(4).enumerate() {
        let at = offset + 4 * word as u64;
        let missing = (0..part.len() as u64).find(|&byte| !allocation.is_written(at + byte, 1));
        if let Some(byte) = missing {
            return Err(unwritten(address, bytes, at + byte, allocation, lane));
        }
        access.watch_global(allocation, at, 4, lane, Touch::Read { strong: false })?;
        for (byte, to) in part.iter_mut().enumerate() {
            *to = allocation.load(at + byte as u64, 1) as u8;
        }
    }
    Ok(())
}
