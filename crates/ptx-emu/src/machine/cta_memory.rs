//! What the warps of a CTA share.

use std::collections::HashMap;

use super::bulk_queue::BulkQueue;
use super::mbarrier::Mbarrier;
use super::warpgroups::Warpgroups;
use crate::memory::clock::{COPIES, Clock};
use crate::memory::shared::SharedMemory;

/// Bytes of an `mbarrier` object, and what they hold while it is valid.
pub(crate) const MARK: [u8; 8] = *b"mbarrier";

/// What the warps of a CTA share.
#[derive(Debug, Default)]
pub(crate) struct CtaMemory {
    pub(crate) shared: SharedMemory,
    /// What is known at each word that atomics touched.
    pub(crate) atomics: HashMap<u32, Clock>,
    /// Objects of `mbarrier` by offset.
    pub(crate) mbarriers: HashMap<u32, Mbarrier>,
    /// What asynchronous copies have made known.
    pub(crate) copies_clock: Clock,
    /// Bulk copies that its threads have issued and that have not landed.
    pub(crate) bulk: BulkQueue,
    /// What its warpgroups have multiplied, to see that their warps agree.
    pub(crate) warpgroups: Warpgroups,
    /// Warps that have arrived at the cluster's barrier, and what they had seen.
    pub(crate) cluster_arrived: u32,
    pub(crate) cluster_clock: Clock,
    /// Warps that may pass the cluster's barrier, and what they see there.
    pub(crate) cluster_open: u32,
    pub(crate) cluster_seen: Clock,
    /// All its threads have exited.
    pub(crate) exited: bool,
}

impl CtaMemory {
    /// As a CTA finds it.
    pub(crate) fn start(&mut self, shared_bytes: u32, races: bool) {
        self.shared.reset(shared_bytes, races);
        self.atomics.clear();
        self.mbarriers.clear();
        self.copies_clock = Clock::start(COPIES);
        self.cluster_arrived = 0;
        self.cluster_clock = Clock::default();
        self.cluster_open = 0;
        self.bulk = BulkQueue::default();
        self.warpgroups = Warpgroups::default();
        self.exited = false;
    }

    /// The valid object at this offset, for copies that complete on it.
    pub(crate) fn mbarrier(&mut self, offset: u32) -> Result<&mut Mbarrier, String> {
        let at = offset as usize;
        let held = self.shared.bytes().get(at..at + MARK.len()) == Some(&MARK[..]);
        match self.mbarriers.get_mut(&offset) {
            Some(object) if held => Ok(object),
            Some(_) => Err(format!("mbarrier at shared offset {offset:#x} was overwritten")),
            None => Err(format!("mbarrier at shared offset {offset:#x} was never initialised")),
        }
    }

    /// The objects in the middle of a phase, for a report of a deadlock.
    pub(crate) fn open_mbarriers(&self) -> Vec<String> {
        let mut open: Vec<_> =
            self.mbarriers.iter().filter(|(_, object)| object.is_open()).collect();
        open.sort_by_key(|(offset, _)| **offset);
        open.iter().map(|(offset, object)| format!("mbarrier at {offset:#x} {object}")).collect()
    }
}
