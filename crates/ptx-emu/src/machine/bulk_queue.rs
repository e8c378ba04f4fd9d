//! Bulk copies on their way: issued by a thread, not landed.

use std::collections::HashMap;

use super::reduce::Reduce;
use crate::memory::clock::Clock;

/// The copies that the threads of a CTA have issued.
#[derive(Debug, Default)]
pub(crate) struct BulkQueue {
    pub(crate) copies: Vec<BulkCopy>,
    /// Groups that each thread has committed.
    committed: HashMap<(usize, u32), u32>,
    /// The count of copies at which the last one of each thread was read.
    pub(crate) read: HashMap<(usize, u32), u32>,
    /// Moments at which copies could land.
    pub(crate) moments: u64,
}

/// Who issued a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issuer {
    pub(crate) rank: usize,
    pub(crate) warp: usize,
    pub(crate) lane: u32,
    pub(crate) line: u32,
}

/// A copy on its way.
#[derive(Debug)]
pub(crate) struct BulkCopy {
    pub(crate) by: Issuer,
    /// What the issuing warp had seen.
    pub(crate) issued: Clock,
    /// The bytes, once they were read.
    pub(crate) data: Option<Vec<u8>>,
    /// Where to read them in the issuer's shared memory: offset and size of each piece.
    pub(crate) from: Vec<(u32, u32)>,
    /// Whether a later write there must have seen the reading.
    pub(crate) guards: bool,
    pub(crate) to: Target,
}

/// What a copy tells an mbarrier.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// So many bytes are there.
    Bytes(u32),
    /// One arrival.
    Arrival,
}

/// Where a copy goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// To these pieces of the shared memory of each of these CTAs, with a signal to the object at an
    /// offset there.
    Shared {
        ranks: Vec<usize>,
        pieces: Vec<(u32, u32)>,
        object: u32,
        signal: Signal,
        reduce: Option<Reduce>,
    },
    /// To these pieces of global memory, as part of a group of the thread once it is committed.
    Global { pieces: Vec<(u64, u32)>, group: Option<u32>, reduce: Option<Reduce> },
}

impl BulkQueue {
    pub(crate) fn push(&mut self, copy: BulkCopy) {
        self.copies.push(copy);
    }

    /// Puts the copies of a thread that are in no group into a new one.
    pub(crate) fn commit(&mut self, warp: usize, lane: u32) {
        let committed = self.committed.entry((warp, lane)).or_default();
        for copy in &mut self.copies {
            if (copy.by.warp, copy.by.lane) == (warp, lane)
                && let Target::Global { group: group @ None, .. } = &mut copy.to
            {
                *group = Some(*committed);
            }
        }
        *committed += 1;
    }

    /// A copy of the thread in a group that is not among its `latest` ones.
    pub(crate) fn overdue(
        &self,
        warp: usize,
        lane: u32,
        latest: u32,
        unread: bool,
    ) -> Option<usize> {
        let committed = self.committed.get(&(warp, lane)).copied().unwrap_or(0);
        self.copies.iter().position(|copy| {
            (copy.by.warp, copy.by.lane) == (warp, lane)
                && matches!(copy.to, Target::Global { group: Some(group), .. }
                    if group + latest < committed)
                && (!unread || copy.data.is_none())
        })
    }
}
