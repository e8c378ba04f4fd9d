//! The `cp.async` copies of a warp that have not landed.

use super::registers::{LANES, Mask};
use crate::memory::traffic::lanes;

/// A copy that a lane has asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) lane: u32,
    /// The number of its group among those of the lane; the one that is open has none yet.
    pub(crate) group: Option<u32>,
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) data: [u8; 16],
    pub(crate) line: u32,
}

/// The copies of a warp that have not landed, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct CopyQueue {
    pending: Vec<Copy>,
    /// Groups that each lane has committed.
    committed: [u32; LANES],
}

impl CopyQueue {
    pub(crate) fn push(&mut self, copy: Copy) {
        self.pending.push(copy);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn commit(&mut self, mask: Mask) {
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
    pub(crate) fn take(&mut self, lands: impl Fn(&Copy, u32) -> bool) -> Vec<Copy> {
        let committed = &self.committed;
        let (landed, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|copy| lands(copy, committed[copy.lane as usize]));
        self.pending = left;
        landed
    }
}
