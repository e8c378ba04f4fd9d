//! Global memory, checked and watched for races between CTAs.

use super::{Access, Manner};
use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::{LANES, Mask};
use crate::memory::Words;
use crate::memory::allocation::Allocation;
use crate::memory::global_race::{Clash, Touch};
use crate::memory::traffic::{lanes, sectors};

impl<'a> Access<'a> {
    pub(crate) fn load_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        manner: Manner,
        out: &mut Words,
    ) -> Result<(), Trouble> {
        self.counters.global_loads += 1;
        self.counters.load_sectors += u64::from(sectors(addresses, mask, bytes));
        self.counters.load_bytes += u64::from(bytes * mask.count_ones());
        for lane in lanes(mask) {
            let (allocation, offset) = self.global("load", addresses[lane], bytes, bytes, lane)?;
            manner.pieces(0, bytes, 8, &mut |from, part| {
                let at = offset + u64::from(from);
                if !allocation.is_written(at, part) {
                    return Err(unwritten(addresses[lane], bytes, offset, allocation, lane));
                }
                let touch = Touch::Read { strong: manner.strong };
                self.watch_global(allocation, at, part, lane, touch)?;
                let value = allocation.load(at, part) << (8 * (from % 4));
                let word = from as usize / 4;
                out[word][lane] |= value as u32;
                if part == 8 {
                    out[word + 1][lane] = (value >> 32) as u32;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn store_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        values: &Words,
        strong: bool,
    ) -> Result<(), Trouble> {
        self.counters.global_stores += 1;
        self.counters.store_sectors += u64::from(sectors(addresses, mask, bytes));
        self.counters.store_bytes += u64::from(bytes * mask.count_ones());
        for lane in lanes(mask) {
            let (allocation, offset) = self.global("store", addresses[lane], bytes, bytes, lane)?;
            if allocation.read_only {
                return Err(read_only(allocation, lane));
            }
            let part = bytes.min(8);
            for step in 0..bytes.div_ceil(8) {
                let at = offset + u64::from(step * 8);
                self.watch_global(allocation, at, part, lane, Touch::Write { strong })?;
                let low = u64::from(values[2 * step as usize][lane]);
                let high = u64::from(values[2 * step as usize + 1][lane]);
                allocation.store(at, part, low | (high << 32));
            }
        }
        Ok(())
    }

    pub(crate) fn atomic_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        change: &mut dyn FnMut(usize, u64) -> Option<u64>,
        old: &mut [u64; LANES],
    ) -> Result<(), Trouble> {
        self.counters.global_atomics += 1;
        self.counters.atomic_sectors += u64::from(sectors(addresses, mask, bytes));
        for lane in lanes(mask) {
            let (allocation, offset) =
                self.global("atomic", addresses[lane], bytes, bytes, lane)?;
            if allocation.read_only {
                return Err(read_only(allocation, lane));
            }
            if !allocation.is_written(offset, bytes) {
                return Err(unwritten(addresses[lane], bytes, offset, allocation, lane));
            }
            self.watch_global(allocation, offset, bytes, lane, Touch::Atomic)?;
            old[lane] = allocation.update(offset, bytes, |value| change(lane, value));
        }
        Ok(())
    }

    /// The allocation and offset of a global access that may be done: `bytes` are inside, and the
    /// address is a multiple of `align`.
    #[inline(always)]
    pub(crate) fn global(
        &mut self,
        does: &str,
        address: u64,
        bytes: u32,
        align: u32,
        lane: usize,
    ) -> Result<(&'a Allocation, u64), Trouble> {
        let view = &self.device.view;
        let inside = |allocation: &Allocation| {
            let offset = address.wrapping_sub(allocation.base);
            offset < allocation.size && u64::from(bytes) <= allocation.size - offset
        };
        let slot = (address >> 12) as usize % self.warp.recent.len();
        let index = match self.warp.recent[slot] {
            recent if view.get(recent).is_some_and(inside) => recent,
            _ => match view.index(address) {
                Some(found) if view.get(found).is_some_and(inside) => {
                    self.warp.recent[slot] = found;
                    found
                }
                _ => {
                    let (kind, detail) = view.explain(does, address, bytes.into());
                    return Err(Trouble::at(kind, lane as u32, detail));
                }
            },
        };
        let allocation: &'a Allocation = view.get(index).expect("the index was just looked up");
        if !address.is_multiple_of(u64::from(align)) {
            return Err(Trouble::at(
                FaultKind::Misaligned,
                lane as u32,
                format!("{does} of {bytes} bytes at {address:#x}, expected a multiple of {align}"),
            ));
        }
        let offset = address - allocation.base;
        Ok((allocation, offset))
    }

    /// Tells the race detector of an access; smaller ones than a word are not watched.
    #[inline(always)]
    pub(crate) fn watch_global(
        &self,
        allocation: &Allocation,
        offset: u64,
        bytes: u32,
        lane: usize,
        touch: Touch,
    ) -> Result<(), Trouble> {
        if !self.device.options.races || bytes < 4 || allocation.read_only {
            return Ok(());
        }
        for word in 0..u64::from(bytes / 4) {
            let offset = offset + 4 * word;
            let shadow = allocation.shadow(offset);
            let fences = &self.device.fences;
            if let Some(clash) = fences.touch(shadow, self.warp.cta_index, self.line, touch) {
                return Err(self.global_race(allocation.base + offset, lane, touch, clash));
            }
        }
        Ok(())
    }

    #[cold]
    fn global_race(&self, address: u64, lane: usize, touch: Touch, clash: Clash) -> Trouble {
        let [x, y, _] = self.device.grid;
        let Clash { cta, line, wrote } = clash;
        Trouble::at(
            FaultKind::GlobalRace,
            lane as u32,
            format!(
                "{} global memory at {address:#x} that cta ({},{},{}) {} at line {line} with no \
                 fence between (hint: an atomic, or separate launches)",
                touch.does(),
                cta % x,
                cta / x % y,
                cta / x / y,
                if wrote { "wrote" } else { "read" },
            ),
        )
    }
}

#[cold]
pub(crate) fn unwritten(
    address: u64,
    bytes: u32,
    offset: u64,
    within: &Allocation,
    lane: usize,
) -> Trouble {
    Trouble::at(
        FaultKind::Uninitialised,
        lane as u32,
        format!(
            "load of {bytes} bytes at {address:#x}, offset {offset} of {} bytes: never written",
            within.size
        ),
    )
}

#[cold]
fn read_only(within: &Allocation, lane: usize) -> Trouble {
    let name = within.name.as_deref().unwrap_or("constant memory");
    Trouble::at(
        FaultKind::OutOfBounds,
        lane as u32,
        format!("store to `{name}`, which is read-only"),
    )
}
