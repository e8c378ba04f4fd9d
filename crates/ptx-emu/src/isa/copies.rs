//! `cp.async`: copies from global to shared memory that land when they are waited for.
//!
//! The source is read at once; the bytes appear at the destination when the thread that asked for
//! the copy waits for its group. Until then nobody may touch the destination. What has landed is
//! known to that thread alone: others need a barrier.

use super::Lowered;
use super::moves::space;
use crate::error::PtxError;
use crate::exec::access::{Access, unwritten};
use crate::exec::cta::CtaMemory;
use crate::exec::registers::{LANES, Mask, Plane, Predicate, Registers};
use crate::exec::warp::WarpMemory;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::memory::global_race::Touch;
use crate::memory::shared_race::Party;
use crate::memory::traffic::{lanes, sectors};
use crate::program::{Action, Class, Flow};
use crate::syntax::ast::{Operand, Space, Type};

/// A copy that a lane has asked for.
#[derive(Debug, Clone, Copy)]
struct Copy {
    lane: u32,
    /// The number of its group among those of the lane; the one that is open has none yet.
    group: Option<u32>,
    offset: u32,
    bytes: u32,
    data: [u8; 16],
    line: u32,
}

/// The copies of a warp that have not landed, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct CopyQueue {
    pending: Vec<Copy>,
    /// Groups that each lane has committed.
    committed: [u32; LANES],
}

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

impl CopyQueue {
    fn commit(&mut self, mask: Mask) {
        for copy in &mut self.pending {
            if mask >> copy.lane & 1 == 1 && copy.group.is_none() {
                copy.group = Some(self.committed[copy.lane as usize]);
            }
        }
        lanes(mask).for_each(|lane| self.committed[lane] += 1);
    }

    /// Hands the copies of a lane to an arrival that waits for them: offsets and bytes.
    pub(crate) fn hand_over(&mut self, lane: u32) -> Vec<(u32, Vec<u8>)> {
        let taken = self.take(|copy, _| copy.lane == lane);
        taken.iter().map(|copy| (copy.offset, copy.data[..copy.bytes as usize].to_vec())).collect()
    }

    /// Takes out the copies for which `lands` holds.
    fn take(&mut self, lands: impl Fn(&Copy, u32) -> bool) -> Vec<Copy> {
        let committed = &self.committed;
        let (landed, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|copy| lands(copy, committed[copy.lane as usize]));
        self.pending = left;
        landed
    }
}

/// Lands all but the `most` latest groups of each lane that executes this.
fn wait(access: &mut Access<'_>, most: u32) {
    let mask = access.mask;
    let landed = access.warp.copies.take(|copy, committed| {
        mask >> copy.lane & 1 == 1
            && copy.group.is_some_and(|group| group.saturating_add(most) < committed)
    });
    land(&landed, access.warp, &mut access.cluster[access.rank]);
}

/// Lanes leave: what they have not waited for still arrives.
pub(crate) fn leave(warp: &mut WarpMemory, cta: &mut CtaMemory, mask: Mask) {
    if !warp.copies.pending.is_empty() {
        let landed = warp.copies.take(|copy, _| mask >> copy.lane & 1 == 1);
        land(&landed, warp, cta);
    }
}

fn land(copies: &[Copy], warp: &WarpMemory, cta: &mut CtaMemory) {
    let now = warp.clock.0[warp.index];
    for copy in copies {
        let party = Party { index: warp.index, lane: copy.lane, line: copy.line };
        cta.shared.end_copy(copy.offset, &copy.data[..copy.bytes as usize], party, now);
    }
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
        access.warp.copies.pending.push(Copy {
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
