//! Bulk copies land, at some later moment that the seed picks.

use super::bulk_queue::{BulkCopy, BulkQueue, Issuer, Signal, Target};
use super::bytes;
use super::cta_memory::CtaMemory;
use super::device::Device;
use super::late::Late;
use crate::fault::{FaultKind, Trouble};
use crate::memory::clock::COPIES;
use crate::memory::shared_race::Party;
use crate::random::mix;

/// Waits until all but the `latest` groups of a thread have been read, or have landed; gives the
/// count of copies that the thread has then seen.
pub(crate) fn wait_group(
    memory: &mut [CtaMemory],
    device: &Device,
    by: Issuer,
    latest: u32,
    reads_only: bool,
) -> Result<u32, Trouble> {
    let rank = by.rank;
    while let Some(index) = memory[rank].bulk.overdue(by.warp, by.lane, latest, reads_only) {
        if reads_only {
            let mut copy = memory[rank].bulk.copies.swap_remove(index);
            let read = read(&mut copy, memory);
            memory[rank].bulk.copies.push(copy);
            read?;
        } else {
            let mut copy = memory[rank].bulk.copies.swap_remove(index);
            land(&mut copy, memory, device)?;
        }
    }
    Ok(memory[rank].bulk.read.get(&(by.warp, by.lane)).copied().unwrap_or(0))
}

/// Lands some of the copies of a cluster, by the seed.
pub(crate) fn land_some(memory: &mut [CtaMemory], device: &Device) -> Result<(), Trouble> {
    for rank in 0..memory.len() {
        let mut index = memory[rank].bulk.copies.len();
        while index > 0 {
            index -= 1;
            let chance = chance(&mut memory[rank].bulk, device);
            if chance.is_multiple_of(4) {
                let mut copy = memory[rank].bulk.copies.swap_remove(index);
                land(&mut copy, memory, device)?;
            }
        }
    }
    Ok(())
}

/// Lands one copy of a cluster whose warps have nothing else to do; tells whether there was one.
pub(crate) fn land_one(memory: &mut [CtaMemory], device: &Device) -> Result<bool, Late> {
    let Some(rank) = memory.iter().position(|cta| !cta.bulk.copies.is_empty()) else {
        return Ok(false);
    };
    let count = memory[rank].bulk.copies.len() as u64;
    let index = chance(&mut memory[rank].bulk, device) % count;
    let mut copy = memory[rank].bulk.copies.swap_remove(index as usize);
    land(&mut copy, memory, device).map_err(|trouble| late(&copy, trouble))?;
    Ok(true)
}

fn chance(queue: &mut BulkQueue, device: &Device) -> u64 {
    queue.moments += 1;
    mix(mix(device.options.seed) ^ queue.moments)
}

/// All threads have exited: what was read may still land, what uses shared memory must not be left.
pub(crate) fn finish(memory: &mut [CtaMemory], device: &Device) -> Result<(), Late> {
    for rank in 0..memory.len() {
        for mut copy in std::mem::take(&mut memory[rank].bulk.copies) {
            let left = match &copy.to {
                Target::Shared { .. } => {
                    "the CTA ends while a copy is on its way into shared memory (hint: wait on \
                     its mbarrier)"
                }
                Target::Global { .. } if copy.data.is_none() => {
                    "the CTA ends while a bulk copy reads its shared memory (hint: \
                     cp.async.bulk.commit_group and cp.async.bulk.wait_group.read 0)"
                }
                Target::Global { .. } => "",
            };
            if !left.is_empty() {
                // What became of the source meanwhile says more.
                read(&mut copy, memory).map_err(|trouble| late(&copy, trouble))?;
                let trouble = Trouble::at(FaultKind::SharedRace, copy.by.lane, left);
                return Err(late(&copy, trouble));
            }
            land(&mut copy, memory, device).map_err(|trouble| late(&copy, trouble))?;
        }
    }
    Ok(())
}

fn late(copy: &BulkCopy, trouble: Trouble) -> Late {
    let Issuer { rank, warp, lane, line } = copy.by;
    Late { rank, warp, line, trouble: Trouble { lane: Some(lane), ..trouble } }
}

/// Reads the bytes of a copy out of shared memory, if that has not happened.
fn read(copy: &mut BulkCopy, memory: &mut [CtaMemory]) -> Result<(), Trouble> {
    if copy.data.is_some() {
        return Ok(());
    }
    let cta = &mut memory[copy.by.rank];
    let party = Party { index: copy.by.warp, lane: copy.by.lane, line: copy.by.line };
    let now = cta.copies_clock.0[COPIES];
    let reader = copy.guards.then_some((COPIES, now));
    let mut data = vec![0; copy.from.iter().map(|(_, bytes)| *bytes as usize).sum()];
    let mut at = 0;
    for &(offset, bytes) in copy.from.iter().filter(|(_, bytes)| *bytes > 0) {
        let part = &mut data[at..at + bytes as usize];
        cta.shared
            .read_async(offset, part, party, &copy.issued, reader)
            .map_err(|trouble| of_copy(copy.by, trouble))?;
        at += bytes as usize;
    }
    cta.copies_clock.advance(COPIES);
    cta.bulk.read.insert((copy.by.warp, copy.by.lane), now);
    copy.data = Some(data);
    Ok(())
}

/// Ends a copy.
fn land(copy: &mut BulkCopy, memory: &mut [CtaMemory], device: &Device) -> Result<(), Trouble> {
    read(copy, memory)?;
    let data = copy.data.take().unwrap_or_default();
    match &copy.to {
        Target::Shared { ranks, pieces, object, signal, reduce } => {
            let party = Party { index: COPIES, lane: copy.by.lane, line: copy.by.line };
            for &rank in ranks {
                let cta = &mut memory[rank];
                let now = cta.copies_clock.0[COPIES];
                let mut at = 0;
                for &(offset, size) in pieces.iter().filter(|(_, size)| *size > 0) {
                    let mut part = data[at..at + size as usize].to_vec();
                    if let Some(reduce) = reduce {
                        let old = &cta.shared.bytes()[offset as usize..][..size as usize];
                        part = reduce.bytes(old, &part);
                    }
                    cta.shared.end_copy(offset, &part, party, now);
                    at += size as usize;
                }
                let clock = cta.copies_clock;
                cta.mbarrier(*object)
                    .and_then(|object| match *signal {
                        Signal::Bytes(bytes) => object.complete_bytes(bytes, Some(&clock)),
                        Signal::Arrival => object.arrive(1, Some(&clock)),
                    })
                    .map_err(|text| {
                        let trouble = Trouble::at(FaultKind::Unsupported, copy.by.lane, text);
                        of_copy(copy.by, trouble)
                    })?;
                cta.copies_clock.advance(COPIES);
            }
        }
        Target::Global { pieces, reduce, .. } => {
            let mut at = 0;
            for &(address, size) in pieces.iter().filter(|(_, size)| *size > 0) {
                let part = &data[at..at + size as usize];
                bytes::write(device, address, part, reduce.as_ref());
                at += size as usize;
            }
        }
    }
    Ok(())
}

fn of_copy(by: Issuer, trouble: Trouble) -> Trouble {
    let detail = format!("the copy of line {}: {}", by.line, trouble.detail);
    Trouble { detail, ..trouble }
}
