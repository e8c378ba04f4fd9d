//! `cp.async.bulk` and `cp.reduce.async.bulk`: copies by the copy engine, of runs of bytes and of
//! boxes of tensors.
//!
//! A copy is checked when it is issued, and lands at some later moment: bytes that come from shared
//! memory are read then, and bytes that go there are in flight until then.

mod global;
mod linear;
mod reduce;
mod tensor;
mod tile;

use super::{Lowered, mbarrier};
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::bulk_landing;
use crate::machine::bulk_queue::{BulkCopy, Issuer, Signal, Target};
use crate::machine::reduce::Reduce;
use crate::machine::registers::Plane;
use crate::memory::clock::COPIES;
use crate::memory::global_race::Touch;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let reduces = form.take("reduce");
    if !(form.take("async") && form.take("bulk")) {
        return Err(form.unknown(lower));
    }
    if form.take("commit_group") {
        return commit_group(lower, form);
    }
    if form.take("wait_group") {
        return wait_group(lower, form);
    }
    match (form.take("prefetch"), form.take("tensor")) {
        (true, true) => tensor::prefetch(lower, form),
        (true, false) => linear::prefetch(lower, form),
        (false, true) => tensor::lower(lower, form, reduces),
        (false, false) => linear::lower(lower, form, reduces),
    }
}

fn issuer(access: &Access<'_>, lane: usize) -> Issuer {
    Issuer { rank: access.rank, warp: access.warp.index, lane: lane as u32, line: access.line }
}

/// What a thread issues from here on is later than the copies that its warp has just issued.
fn issued(access: &mut Access<'_>) -> Flow {
    access.warp.clock.advance(access.warp.index);
    Flow::Next
}

fn commit_group(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [] = form.operands(lower)?;
    let body = |access: &mut Access<'_>| {
        let warp = access.warp.index;
        for lane in lanes(access.mask) {
            access.cta().bulk.commit(warp, lane as u32);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

fn wait_group(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let reads_only = form.take("read");
    let [latest] = form.operands(lower)?;
    let latest = lower.immediate(latest)?.clamp(0, u32::MAX.into()) as u32;
    let body = move |access: &mut Access<'_>| {
        bulk_landing::land_some(access.cluster, access.device)?;
        for lane in lanes(access.mask) {
            let by = issuer(access, lane);
            let seen =
                bulk_landing::wait_group(access.cluster, access.device, by, latest, reads_only)?;
            let copies = &mut access.warp.clock.0[COPIES];
            *copies = seen.max(*copies);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

/// Where a copy into shared memory goes: address, object, CTAs.
struct ToShared {
    to: Address,
    signal: Address,
    mask: Option<Plane>,
    cluster: bool,
}

impl ToShared {
    /// Takes the last operands of the instruction too: a mask of CTAs and a cache policy.
    fn take(
        lower: &mut Lower<'_>,
        form: &mut Form<'_>,
        to: &Operand,
        signal: &Operand,
        rest: &[Operand],
        cluster: bool,
    ) -> Result<ToShared, PtxError> {
        if !form.take("mbarrier::complete_tx::bytes") {
            return Err(form.unknown(lower));
        }
        let multicast = form.take("multicast::cluster");
        if multicast && !cluster {
            return Err(form.unknown(lower));
        }
        let (_, to) = lower.address(to, Space::Shared)?;
        let (_, signal) = lower.address(signal, Space::Shared)?;
        let (mask, rest) = match rest {
            [mask, rest @ ..] if multicast => (Some(lower.src(mask, Type::B16)?), rest),
            rest if !multicast => (None, rest),
            _ => return Err(form.unknown(lower)),
        };
        policy(lower, form, rest)?;
        Ok(ToShared { to, signal, mask, cluster })
    }

    /// CTAs, offset there, and offset of the object, for one lane's copy of `bytes`.
    fn place(
        &self,
        access: &mut Access<'_>,
        bytes: u32,
        align: u32,
        lane: usize,
    ) -> Result<(Vec<usize>, u32, u32), Trouble> {
        let to = self.to.read(access.registers)[lane];
        let signal = self.signal.read(access.registers)[lane];
        let (rank, offset) = access.shared("bulk copy", to, bytes, align, lane)?;
        let (other, signal) = access.shared("mbarrier", signal, 8, 8, lane)?;
        let fail = |text: String| Trouble::at(FaultKind::Unsupported, lane as u32, text);
        if rank != other {
            return Err(fail(format!(
                "bulk copy to CTA {rank} that completes on an mbarrier of CTA {other}, expected the \
                 same one"
            )));
        }
        if rank != access.rank && !self.cluster {
            return Err(fail(format!("bulk copy to CTA {rank}, expected .shared::cluster")));
        }
        let ranks = match self.mask {
            None => vec![rank],
            Some(mask) => {
                let mask = access.registers.plane(mask)[lane];
                let ranks: Vec<usize> = (0..16).filter(|rank| mask >> rank & 1 == 1).collect();
                let last = ranks.last().copied().unwrap_or(usize::MAX);
                if last >= access.cluster.len() {
                    return Err(fail(format!(
                        "multicast to mask {mask:#06x}, expected some of the {} CTAs",
                        access.cluster.len()
                    )));
                }
                ranks
            }
        };
        for &rank in &ranks {
            mbarrier::check(access, (rank, signal), lane)?;
        }
        Ok((ranks, offset, signal))
    }
}

/// Marks the pieces of a copy into shared memory as in flight.
fn begin(
    access: &mut Access<'_>,
    ranks: &[usize],
    pieces: &[(u32, u32)],
    lane: usize,
    reduces: bool,
) -> Result<(), Trouble> {
    let party = access.party(lane);
    for &rank in ranks {
        let shared = &mut access.cluster[rank].shared;
        for &(offset, bytes) in pieces.iter().filter(|(_, bytes)| *bytes > 0) {
            // What other CTAs have seen is not compared; reductions may meet each other.
            match rank == access.rank && !reduces {
                true => shared.begin_copy(offset, bytes, party, &access.warp.clock)?,
                false => shared.begin_copy_elsewhere(offset, bytes, party),
            }
        }
    }
    Ok(())
}

/// Takes the cache policy, which changes no value.
fn policy(lower: &mut Lower<'_>, form: &mut Form<'_>, rest: &[Operand]) -> Result<(), PtxError> {
    match (form.take("L2::cache_hint"), rest) {
        (false, []) => Ok(()),
        (true, [policy]) => lower.src(policy, Type::B64).map(|_| ()),
        _ => Err(form.unknown(lower)),
    }
}

/// A copy from the issuer's shared memory that reads these pieces when it lands.
fn from_shared(access: &Access<'_>, lane: usize, from: Vec<(u32, u32)>, to: Target) -> BulkCopy {
    BulkCopy {
        by: issuer(access, lane),
        issued: access.warp.clock,
        data: None,
        from,
        guards: match &to {
            Target::Shared { ranks, .. } => ranks.iter().all(|rank| *rank == access.rank),
            Target::Global { .. } => true,
        },
        to,
    }
}

/// A copy of bytes that were read from global memory.
fn from_global(access: &Access<'_>, lane: usize, data: Vec<u8>, to: Target) -> BulkCopy {
    BulkCopy {
        by: issuer(access, lane),
        issued: access.warp.clock,
        data: Some(data),
        from: Vec::new(),
        guards: false,
        to,
    }
}

/// An arrival of the thread at its own `object`, once copies that it began have landed.
pub(super) fn arrive_after(
    access: &mut Access<'_>,
    lane: usize,
    copies: Vec<(u32, Vec<u8>)>,
    object: u32,
) {
    let pieces = copies.iter().map(|(offset, bytes)| (*offset, bytes.len() as u32)).collect();
    let data = copies.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let (ranks, signal) = (vec![access.rank], Signal::Arrival);
    let to = Target::Shared { ranks, pieces, object, signal, reduce: None };
    let copy = from_global(access, lane, data, to);
    access.cta().bulk.push(copy);
}

/// Checks the pieces of a copy to global memory, counts it and puts it into the queue.
fn store(
    access: &mut Access<'_>,
    lane: usize,
    from: Vec<(u32, u32)>,
    pieces: Vec<(u64, u32)>,
    reduce: Option<Reduce>,
) -> Result<(), Trouble> {
    access.counters.global_stores += 1;
    for &(address, bytes) in pieces.iter().filter(|(_, bytes)| *bytes > 0) {
        let does = "bulk copy to global memory";
        let touch = if reduce.is_some() { Touch::Atomic } else { Touch::Write { strong: false } };
        let (allocation, offset) = global::check(access, does, address, bytes, lane, touch)?;
        let written = (0..u64::from(bytes)).all(|at| allocation.is_written(offset + at, 1));
        if reduce.is_some() && !written {
            let detail =
                format!("reduction into {address:#x}, where some bytes were never written");
            return Err(Trouble::at(FaultKind::Uninitialised, lane as u32, detail));
        }
        access.counters.store_sectors += global::sectors(address, bytes);
        access.counters.store_bytes += u64::from(bytes);
    }
    let to = Target::Global { pieces, group: None, reduce };
    let copy = from_shared(access, lane, from, to);
    access.cta().bulk.push(copy);
    Ok(())
}
