//! Shared memory of the own CTA and of the others of the cluster.

use super::{Access, Manner, put_words, take_words};
use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::{LANES, Mask};
use crate::memory::Words;
use crate::memory::address::rank_and_offset;
use crate::memory::traffic::{lanes, wavefronts};

impl Access<'_> {
    /// Counts an access of shared memory and what its banks make of it.
    pub(crate) fn count_shared(&mut self, addresses: &[u64; LANES], mask: Mask, bytes: u32) {
        let (taken, least) = wavefronts(addresses, mask, bytes);
        self.counters.shared_accesses += 1;
        self.counters.shared_wavefronts += u64::from(taken);
        self.counters.bank_conflicts += u64::from(taken - least);
    }

    /// The CTA and offset of a shared access that may be done.
    pub(crate) fn shared(
        &self,
        does: &str,
        address: u64,
        bytes: u32,
        align: u32,
        lane: usize,
    ) -> Result<(usize, u32), Trouble> {
        let (rank, offset) = rank_and_offset(address, self.rank);
        let Some(cta) = self.cluster.get(rank) else {
            return Err(Trouble::at(
                FaultKind::OutOfBounds,
                lane as u32,
                format!(
                    "{does} in shared memory of CTA {rank}, the cluster has {}",
                    self.cluster.len()
                ),
            ));
        };
        if cta.exited && rank != self.rank {
            let detail = format!(
                "{does} in shared memory of CTA {rank}, whose threads have all exited (hint: \
                 barrier.cluster before they do)"
            );
            return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, detail));
        }
        Ok((rank, cta.shared.place(does, offset, bytes, align, lane as u32)?))
    }

    pub(crate) fn load_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        manner: Manner,
        out: &mut Words,
    ) -> Result<(), Trouble> {
        self.count_shared(addresses, mask, bytes);
        for lane in lanes(mask) {
            let mut raw = [0u8; 16];
            let (rank, offset) = self.shared("load", addresses[lane], bytes, bytes, lane)?;
            if manner.strong {
                self.see(rank, offset, bytes);
            }
            let (party, elsewhere) = (self.party(lane), rank != self.rank);
            let shared = &mut self.cluster[rank].shared;
            manner.pieces(0, bytes, 16, &mut |from, part| {
                let to = &mut raw[from as usize..][..part as usize];
                match elsewhere {
                    true => shared.read_elsewhere(offset + from, to, party.lane),
                    false => shared.read(offset + from, to, party, &self.warp.clock),
                }
            })?;
            if manner.strong {
                self.leave(rank, offset, bytes);
            }
            put_words(out, lane, &raw);
        }
        Ok(())
    }

    /// Strong accesses and atomics of the same words order themselves against each other, both
    /// ways: each sees before it what the earlier ones leave behind them.
    fn see(&mut self, rank: usize, offset: u32, bytes: u32) {
        // Other CTAs of the cluster count their releases apart.
        if rank == self.rank {
            for word in offset / 4..=(offset + bytes - 1) / 4 {
                if let Some(place) = self.cluster[rank].atomics.get(&word) {
                    self.warp.clock.join(place);
                }
            }
        }
    }

    fn leave(&mut self, rank: usize, offset: u32, bytes: u32) {
        if rank == self.rank {
            let index = self.warp.index;
            for word in offset / 4..=(offset + bytes - 1) / 4 {
                let place = self.cluster[rank].atomics.entry(word).or_default();
                self.warp.clock.release(place, index);
            }
        }
    }

    /// Reads up to 16 bytes of shared memory for one lane, uncounted.
    #[inline(always)]
    pub(crate) fn read_shared(
        &mut self,
        address: u64,
        to: &mut [u8],
        lane: usize,
    ) -> Result<(), Trouble> {
        let bytes = to.len() as u32;
        let (rank, offset) = self.shared("load", address, bytes, bytes, lane)?;
        let party = self.party(lane);
        let shared = &mut self.cluster[rank].shared;
        if rank != self.rank {
            return shared.read_elsewhere(offset, to, party.lane);
        }
        shared.read(offset, to, party, &self.warp.clock)
    }

    /// Writes up to 16 bytes of shared memory for one lane, uncounted.
    pub(crate) fn write_shared(
        &mut self,
        address: u64,
        from: &[u8],
        lane: usize,
    ) -> Result<(), Trouble> {
        let bytes = from.len() as u32;
        let (rank, offset) = self.shared("store", address, bytes, bytes, lane)?;
        let party = self.party(lane);
        let shared = &mut self.cluster[rank].shared;
        if rank != self.rank {
            shared.write_elsewhere(offset, from);
            return Ok(());
        }
        shared.write(offset, from, party, &self.warp.clock)
    }

    pub(crate) fn store_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        values: &Words,
        strong: bool,
    ) -> Result<(), Trouble> {
        self.count_shared(addresses, mask, bytes);
        // Lanes that store the same bytes at the same place at the same time agree.
        let mut done: Mask = 0;
        // Addresses that rise from lane to lane are all different, as they mostly are.
        let rising = lanes(mask).zip(lanes(mask).skip(1)).all(|(a, b)| addresses[a] < addresses[b]);
        for lane in lanes(mask) {
            let raw = take_words(values, lane);
            let (rank, offset) = self.shared("store", addresses[lane], bytes, bytes, lane)?;
            let same = match rising {
                true => None,
                false => lanes(done).find(|&other| addresses[other] == addresses[lane]),
            };
            if same.is_some_and(|other| take_words(values, other) == raw) {
                continue;
            }
            if strong {
                self.see(rank, offset, bytes);
            }
            self.write_shared(addresses[lane], &raw[..bytes as usize], lane)?;
            if strong {
                self.leave(rank, offset, bytes);
            }
            done |= 1 << lane;
        }
        Ok(())
    }

    pub(crate) fn atomic_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        bytes: u32,
        change: &mut dyn FnMut(usize, u64) -> Option<u64>,
        old: &mut [u64; LANES],
    ) -> Result<(), Trouble> {
        self.count_shared(addresses, mask, bytes);
        for lane in lanes(mask) {
            let (rank, offset) = self.shared("atomic", addresses[lane], bytes, bytes, lane)?;
            if rank != self.rank {
                let (mut raw, shared) = ([0u8; 8], &mut self.cluster[rank].shared);
                shared.read_elsewhere(offset, &mut raw[..bytes as usize], lane as u32)?;
                old[lane] = u64::from_le_bytes(raw);
                if let Some(new) = change(lane, old[lane]) {
                    shared.write_elsewhere(offset, &new.to_le_bytes()[..bytes as usize]);
                }
                continue;
            }
            self.see(rank, offset, bytes);
            let mut raw = [0u8; 8];
            let party = self.party(lane);
            let shared = &mut self.cluster[rank].shared;
            shared.read(offset, &mut raw[..bytes as usize], party, &self.warp.clock)?;
            old[lane] = u64::from_le_bytes(raw);
            if let Some(new) = change(lane, old[lane]) {
                let new = new.to_le_bytes();
                shared.write(offset, &new[..bytes as usize], party, &self.warp.clock)?;
            }
            self.leave(rank, offset, bytes);
        }
        Ok(())
    }
}
