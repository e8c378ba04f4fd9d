//! Shared memory as copies and matrix units reach it, and as other CTAs of the cluster do.
//!
//! A unit that runs on its own reads what its warp had seen when it *issued* the work, whenever it
//! gets round to it; and it reads through a proxy of its own, past which ordinary stores must be
//! pushed by `fence.proxy.async`. Other CTAs count their releases apart, so their accesses are not
//! compared with those of this CTA's warps.

use super::clock::{COPIES, Clock};
use super::shared::SharedMemory;
use super::shared_race::{Party, SharedShadow, State};
use crate::fault::{FaultKind, Trouble};

impl SharedMemory {
    /// Reads on behalf of work that `party` issued when it had seen `issued`. A write that follows
    /// must have seen this count of `reader`; without one, the read is not remembered.
    pub(crate) fn read_async(
        &mut self,
        offset: u32,
        to: &mut [u8],
        party: Party,
        issued: &Clock,
        reader: Option<(usize, u32)>,
    ) -> Result<(), Trouble> {
        self.read_elsewhere(offset, to, party.lane)?;
        match &mut self.races {
            Some(races) => races.read_async(offset, to.len() as u32, party, issued, reader),
            None => Ok(()),
        }
    }

    /// Reads for another CTA, at a place that was checked.
    #[inline(always)]
    pub(crate) fn read_elsewhere(
        &self,
        offset: u32,
        to: &mut [u8],
        lane: u32,
    ) -> Result<(), Trouble> {
        match self.take(offset, to) {
            true => Ok(()),
            false => Err(self.missing(offset, to.len(), lane)),
        }
    }

    /// Writes for another CTA, at a place that was checked.
    pub(crate) fn write_elsewhere(&mut self, offset: u32, from: &[u8]) {
        self.put(offset, from);
    }

    /// Declares that a copy of another CTA is on its way to `offset`.
    pub(crate) fn begin_copy_elsewhere(&mut self, offset: u32, bytes: u32, party: Party) {
        if let Some(races) = &mut self.races {
            races.begin_copy_elsewhere(offset, bytes, party);
        }
    }
}

impl SharedShadow {
    fn read_async(
        &mut self,
        offset: u32,
        bytes: u32,
        party: Party,
        issued: &Clock,
        reader: Option<(usize, u32)>,
    ) -> Result<(), Trouble> {
        self.each(offset, bytes, |cell, readers, spot| {
            let writer = usize::from(cell.writer);
            if cell.write_clock != 0 {
                if cell.state == State::InFlight {
                    return Err(cell.clash_with_write(spot, party, "reads"));
                }
                if issued.0[writer] < cell.write_clock {
                    return Err(match writer == party.index {
                        true => overwritten(spot.offset, cell.write_line, party),
                        false => cell.clash_with_write(spot, party, "reads"),
                    });
                }
                if writer != COPIES && !issued.is_fenced(writer, cell.write_clock) {
                    return Err(unfenced(spot.offset, writer, cell.write_line, party));
                }
            }
            if let Some((reader, now)) = reader {
                cell.record_read(readers, spot, Party { index: reader, ..party }, issued, now);
            }
            Ok(())
        })
    }

    fn begin_copy_elsewhere(&mut self, offset: u32, bytes: u32, party: Party) {
        let begun = self.each(offset, bytes, |cell, readers, spot| {
            cell.record_write(readers, spot, party, 1, State::InFlight);
            Ok(())
        });
        debug_assert!(begun.is_ok(), "it checks nothing");
    }
}

#[cold]
fn unfenced(offset: u32, writer: usize, line: u32, party: Party) -> Trouble {
    Trouble::at(
        FaultKind::SharedRace,
        party.lane,
        format!(
            "reads shared memory at {offset:#x} through the asynchronous proxy; warp {writer} wrote it at \
             line {line} with no proxy fence since (hint: fence.proxy.async in the writing threads, \
             before the barrier)"
        ),
    )
}

#[cold]
fn overwritten(offset: u32, line: u32, party: Party) -> Trouble {
    Trouble::at(
        FaultKind::SharedRace,
        party.lane,
        format!(
            "reads shared memory at {offset:#x} that the issuing warp itself wrote afterwards, at line \
             {line} (hint: wait for the group before the memory is used again)"
        ),
    )
}
