//! What a warp has besides registers.

use super::copy_queue::{Copy, CopyQueue};
use super::cta_memory::CtaMemory;
use super::products::Products;
use super::registers::Mask;
use crate::memory::clock::Clock;
use crate::memory::local::LocalMemory;
use crate::memory::shared_race::Party;

/// What a warp has besides registers.
#[derive(Debug)]
pub(crate) struct WarpMemory {
    /// Number of the warp in its CTA.
    pub(crate) index: usize,
    /// Number of its CTA in the grid.
    pub(crate) cta_index: u32,
    pub(crate) local: LocalMemory,
    /// What it has seen of the other warps.
    pub(crate) clock: Clock,
    /// Its `cp.async` copies.
    pub(crate) copies: CopyQueue,
    /// Its matrix products that nothing has waited for.
    pub(crate) products: Products,
    /// Places of allocations that were touched lately.
    pub(crate) recent: [usize; 4],
}

impl WarpMemory {
    /// That of a warp at the start of a kernel.
    pub(crate) fn start(index: usize, cta_index: u32, local_bytes: u32) -> WarpMemory {
        let mut local = LocalMemory::default();
        local.reset(local_bytes);
        WarpMemory {
            index,
            cta_index,
            local,
            clock: Clock::start(index),
            copies: CopyQueue::default(),
            products: Products::default(),
            recent: [0; 4],
        }
    }

    /// Lanes leave: what they have not waited for still arrives.
    pub(crate) fn leave(&mut self, cta: &mut CtaMemory, mask: Mask) {
        if !self.copies.is_empty() {
            let landed = self.copies.take(|copy, _| mask >> copy.lane & 1 == 1);
            self.land(&landed, cta);
        }
    }

    /// Ends copies that were taken out of the queue.
    pub(crate) fn land(&self, copies: &[Copy], cta: &mut CtaMemory) {
        let now = self.clock.0[self.index];
        for copy in copies {
            let party = Party { index: self.index, lane: copy.lane, line: copy.line };
            cta.shared.end_copy(copy.offset, &copy.data[..copy.bytes as usize], party, now);
        }
    }
}
