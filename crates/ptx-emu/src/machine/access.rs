//! What an instruction can reach besides registers: memory by space, counters, its own place.

mod global;
mod manner;
mod shared;

pub(crate) use global::unwritten;
pub(crate) use manner::Manner;

use super::cta_memory::CtaMemory;
use super::device::Device;
use super::registers::{LANES, Mask, Registers};
use super::warp_memory::WarpMemory;
use crate::counters::Counters;
use crate::fault::{FaultKind, Trouble};
use crate::memory::address::from_generic;
use crate::memory::shared_race::Party;
use crate::memory::traffic::lanes;
use crate::memory::{NO_WORDS, Words};
use crate::syntax::ast::Space;

/// One instruction of one warp at work.
pub(crate) struct Access<'a> {
    pub(crate) registers: &'a mut Registers,
    /// Lanes that execute it.
    pub(crate) mask: Mask,
    pub(crate) warp: &'a mut WarpMemory,
    /// The CTAs of the cluster, and which of them is one's own.
    pub(crate) cluster: &'a mut [CtaMemory],
    pub(crate) rank: usize,
    pub(crate) device: &'a Device,
    pub(crate) counters: &'a mut Counters,
    pub(crate) line: u32,
    /// Lanes to which the instruction gives no defined value.
    pub(crate) undefined: Mask,
}

impl Access<'_> {
    /// The memory of one's own CTA.
    pub(crate) fn cta(&mut self) -> &mut CtaMemory {
        &mut self.cluster[self.rank]
    }

    /// A lane of this warp, as the race detector knows it.
    pub(crate) fn party(&self, lane: usize) -> Party {
        Party { index: self.warp.index, lane: lane as u32, line: self.line }
    }

    /// Loads `bytes` (1, 2, 4, 8 or 16) a lane of `mask`; shorter values are zero-extended.
    pub(crate) fn load(
        &mut self,
        space: Space,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        manner: Manner,
    ) -> Result<Words, Trouble> {
        let mut out = NO_WORDS;
        self.by_space(space, addresses, mask, |access, space, addresses, mask| match space {
            Space::Shared => access.load_shared(addresses, mask, bytes, manner, &mut out),
            Space::Local => access.load_local(addresses, mask, bytes, manner, &mut out),
            Space::Param => access.load_param(addresses, mask, bytes, &mut out),
            _ => access.load_global(addresses, mask, bytes, manner, &mut out),
        })?;
        Ok(out)
    }

    /// Stores `bytes` (1, 2, 4, 8 or 16) a lane of `mask`.
    pub(crate) fn store(
        &mut self,
        space: Space,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        values: &Words,
        strong: bool,
    ) -> Result<(), Trouble> {
        self.by_space(space, addresses, mask, |access, space, addresses, mask| match space {
            Space::Shared => access.store_shared(addresses, mask, bytes, values, strong),
            Space::Local => access.store_local(addresses, mask, bytes, values),
            Space::Param => Err(Trouble::new(
                FaultKind::OutOfBounds,
                "store to a kernel parameter, expected writable memory",
            )),
            _ => access.store_global(addresses, mask, bytes, values, strong),
        })
    }

    /// Replaces 2, 4, 8 bytes a lane, lane after lane, by what `change` makes of lane and old value
    /// (`None` leaves it); gives the old values.
    pub(crate) fn atomic(
        &mut self,
        space: Space,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        change: &mut dyn FnMut(usize, u64) -> Option<u64>,
    ) -> Result<[u64; LANES], Trouble> {
        let mut old = [0; LANES];
        self.by_space(space, addresses, mask, |access, space, addresses, mask| match space {
            Space::Shared => access.atomic_shared(addresses, mask, bytes, change, &mut old),
            Space::Local | Space::Param => Err(Trouble::new(
                FaultKind::OutOfBounds,
                "atomic on local memory or a parameter, expected global or shared memory",
            )),
            _ => access.atomic_global(addresses, mask, bytes, change, &mut old),
        })?;
        Ok(old)
    }

    /// Runs `part` once for each space that the addresses of a generic access lie in.
    fn by_space(
        &mut self,
        space: Space,
        addresses: &[u64; LANES],
        mask: Mask,
        mut part: impl FnMut(&mut Self, Space, &[u64; LANES], Mask) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if space != Space::Generic {
            return part(self, space, addresses, mask);
        }
        let mut left = mask;
        while left != 0 {
            let (space, _) = from_generic(addresses[left.trailing_zeros() as usize]);
            let (mut same, mut inside) = (0, *addresses);
            for lane in lanes(left) {
                let (other, address) = from_generic(addresses[lane]);
                if other == space {
                    same |= 1 << lane;
                    inside[lane] = address;
                }
            }
            part(self, space, &inside, same)?;
            left &= !same;
        }
        Ok(())
    }

    fn load_local(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        manner: Manner,
        out: &mut Words,
    ) -> Result<(), Trouble> {
        for lane in lanes(mask) {
            let mut raw = [0u8; 16];
            let local = &self.warp.local;
            let at = local.place("load", lane as u32, addresses[lane], bytes)?;
            manner.pieces(0, bytes, 16, &mut |from, part| {
                let to = &mut raw[from as usize..][..part as usize];
                local.read(lane as u32, at + from as usize, to)
            })?;
            put_words(out, lane, &raw);
        }
        Ok(())
    }

    fn store_local(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        values: &Words,
    ) -> Result<(), Trouble> {
        for lane in lanes(mask) {
            let raw = take_words(values, lane);
            self.warp.local.write(lane as u32, addresses[lane], &raw[..bytes as usize])?;
        }
        Ok(())
    }

    fn load_param(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        out: &mut Words,
    ) -> Result<(), Trouble> {
        for lane in lanes(mask) {
            let (at, count) = (addresses[lane] as usize, bytes as usize);
            let Some(part) = self.device.params.get(at..at.saturating_add(count)) else {
                return Err(Trouble::at(
                    FaultKind::OutOfBounds,
                    lane as u32,
                    format!(
                        "load of {bytes} bytes at parameter offset {at}, the kernel has {} bytes",
                        self.device.params.len()
                    ),
                ));
            };
            let mut raw = [0u8; 16];
            raw[..count].copy_from_slice(part);
            put_words(out, lane, &raw);
        }
        Ok(())
    }
}

#[inline(always)]
fn put_words(out: &mut Words, lane: usize, raw: &[u8; 16]) {
    for (word, bytes) in out.iter_mut().zip(raw.chunks_exact(4)) {
        word[lane] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
}

#[inline(always)]
fn take_words(values: &Words, lane: usize) -> [u8; 16] {
    let mut raw = [0; 16];
    for (word, bytes) in values.iter().zip(raw.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&word[lane].to_le_bytes());
    }
    raw
}
