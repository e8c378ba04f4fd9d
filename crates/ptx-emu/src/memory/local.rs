//! Local memory: some bytes for each lane of a warp.

use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::LANES;

/// The local memory of a warp.
#[derive(Debug, Default)]
pub(crate) struct LocalMemory {
    each: usize,
    bytes: Vec<u8>,
    written: Vec<bool>,
}

impl LocalMemory {
    /// Empties it, `each` bytes a lane.
    pub(crate) fn reset(&mut self, each: u32) {
        self.each = each as usize;
        self.bytes.clear();
        self.bytes.resize(self.each * LANES, 0);
        self.written.clear();
        self.written.resize(self.each * LANES, false);
    }

    /// Where an access of a lane lies among the bytes of all lanes, its size being its alignment.
    pub(crate) fn place(
        &self,
        does: &str,
        lane: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<usize, Trouble> {
        if offset.saturating_add(bytes.into()) > self.each as u64 {
            return Err(Trouble::at(
                FaultKind::OutOfBounds,
                lane,
                format!(
                    "{does} of {bytes} bytes at local offset {offset:#x}, the thread has {} bytes",
                    self.each
                ),
            ));
        }
        if !offset.is_multiple_of(u64::from(bytes)) {
            return Err(Trouble::at(
                FaultKind::Misaligned,
                lane,
                format!(
                    "{does} of {bytes} bytes at local offset {offset:#x}, expected a multiple of {bytes}"
                ),
            ));
        }
        Ok(lane as usize * self.each + offset as usize)
    }

    /// Reads for a lane at a place that was checked.
    pub(crate) fn read(&self, lane: u32, at: usize, to: &mut [u8]) -> Result<(), Trouble> {
        let range = at..at + to.len();
        if self.written[range.clone()].contains(&false) {
            let offset = at - lane as usize * self.each;
            return Err(Trouble::at(
                FaultKind::Uninitialised,
                lane,
                format!(
                    "load of {} bytes at local offset {offset:#x} that was never written",
                    to.len()
                ),
            ));
        }
        to.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    /// Writes for a lane.
    pub(crate) fn write(&mut self, lane: u32, offset: u64, from: &[u8]) -> Result<(), Trouble> {
        let at = self.place("store", lane, offset, from.len() as u32)?;
        let range = at..at + from.len();
        self.bytes[range.clone()].copy_from_slice(from);
        self.written[range].fill(true);
        Ok(())
    }
}
