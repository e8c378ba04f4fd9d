//! Shared memory of one CTA.

use super::clock::Clock;
use super::shared_race::{Party, SharedShadow};
use crate::fault::{FaultKind, Trouble};

/// Bytes, which of them were written, and who touched them.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) written: Vec<bool>,
    pub(super) races: Option<SharedShadow>,
}

impl SharedMemory {
    /// Empties it for a new CTA with `size` bytes.
    pub(crate) fn reset(&mut self, size: u32, watch_races: bool) {
        let size = size as usize;
        self.bytes.clear();
        self.bytes.resize(size, 0);
        self.written.clear();
        self.written.resize(size, false);
        match watch_races {
            true => self.races.get_or_insert_default().reset(size as u32),
            false => self.races = None,
        }
    }

    /// Checks bounds and alignment and gives the offset.
    #[inline(always)]
    pub(crate) fn place(
        &self,
        does: &str,
        offset: u64,
        bytes: u32,
        align: u32,
        lane: u32,
    ) -> Result<u32, Trouble> {
        let size = self.bytes.len() as u64;
        if offset + u64::from(bytes) > size {
            return Err(outside(does, offset, bytes, size, lane));
        }
        if !offset.is_multiple_of(u64::from(align)) {
            return Err(misaligned(does, offset, bytes, align, lane));
        }
        Ok(offset as u32)
    }

    /// Reads up to 16 bytes at a place that was checked.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        offset: u32,
        to: &mut [u8],
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        // Where a copy is on its way, that is what is wrong, rather than the missing bytes.
        if let Some(races) = &mut self.races {
            races.read(offset, to.len() as u32, party, clock)?;
        }
        self.read_elsewhere(offset, to, party.lane)
    }

    /// Writes up to 16 bytes at a place that was checked.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        offset: u32,
        from: &[u8],
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        if let Some(races) = &mut self.races {
            races.write(offset, from.len() as u32, party, clock)?;
        }
        self.put(offset, from);
        Ok(())
    }

    /// Declares that a copy of `bytes` is on its way to `offset`.
    pub(crate) fn begin_copy(
        &mut self,
        offset: u32,
        bytes: u32,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        match &mut self.races {
            Some(races) => races.begin_copy(offset, bytes, party, clock),
            None => Ok(()),
        }
    }

    /// Lands a copy on behalf of `party`, whose own count stands at `now`.
    pub(crate) fn end_copy(&mut self, offset: u32, from: &[u8], party: Party, now: u32) {
        if let Some(races) = &mut self.races {
            races.end_copy(offset, from.len() as u32, party, now);
        }
        self.put(offset, from);
    }

    #[inline(always)]
    pub(super) fn put(&mut self, offset: u32, from: &[u8]) {
        // The usual sizes on their own, so that each is a plain store.
        match from.len() {
            2 => self.put_fixed::<2>(offset, from),
            4 => self.put_fixed::<4>(offset, from),
            8 => self.put_fixed::<8>(offset, from),
            16 => self.put_fixed::<16>(offset, from),
            bytes => {
                let range = offset as usize..offset as usize + bytes;
                self.bytes[range.clone()].copy_from_slice(from);
                self.written[range].fill(true);
            }
        }
    }

    #[inline(always)]
    fn put_fixed<const N: usize>(&mut self, offset: u32, from: &[u8]) {
        let range = offset as usize..offset as usize + N;
        self.bytes[range.clone()].copy_from_slice(&from[..N]);
        self.written[range].copy_from_slice(&[true; N]);
    }

    /// Takes `N` bytes if all of them were written.
    #[inline(always)]
    fn take_fixed<const N: usize>(&self, offset: u32, to: &mut [u8]) -> bool {
        let range = offset as usize..offset as usize + N;
        if self.written[range.clone()] != [true; N] {
            return false;
        }
        to[..N].copy_from_slice(&self.bytes[range]);
        true
    }

    /// Takes up to 16 bytes if all of them were written.
    #[inline(always)]
    pub(super) fn take(&self, offset: u32, to: &mut [u8]) -> bool {
        match to.len() {
            2 => self.take_fixed::<2>(offset, to),
            4 => self.take_fixed::<4>(offset, to),
            8 => self.take_fixed::<8>(offset, to),
            16 => self.take_fixed::<16>(offset, to),
            bytes => {
                let range = offset as usize..offset as usize + bytes;
                to.copy_from_slice(&self.bytes[range.clone()]);
                !self.written[range].contains(&false)
            }
        }
    }

    /// Why bytes could not be taken.
    #[cold]
    pub(super) fn missing(&self, offset: u32, bytes: usize, lane: u32) -> Trouble {
        let range = offset as usize..offset as usize + bytes;
        let missing = self.written[range].iter().position(|written| !written);
        unwritten(offset, bytes, missing.unwrap_or(0), lane)
    }

    /// The bytes themselves, for units that are synchronised by other means.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cold]
fn outside(does: &str, offset: u64, bytes: u32, size: u64, lane: u32) -> Trouble {
    Trouble::at(
        FaultKind::OutOfBounds,
        lane,
        format!("{does} of {bytes} bytes at shared offset {offset:#x}, the CTA has {size} bytes"),
    )
}

#[cold]
fn misaligned(does: &str, offset: u64, bytes: u32, align: u32, lane: u32) -> Trouble {
    Trouble::at(
        FaultKind::Misaligned,
        lane,
        format!(
            "{does} of {bytes} bytes at shared offset {offset:#x}, expected a multiple of {align}"
        ),
    )
}

#[cold]
fn unwritten(offset: u32, bytes: usize, missing: usize, lane: u32) -> Trouble {
    Trouble::at(
        FaultKind::Uninitialised,
        lane,
        format!(
            "load of {bytes} bytes at shared offset {offset:#x}: byte {:#x} was never written",
            offset as usize + missing
        ),
    )
}
