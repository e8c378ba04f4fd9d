//! The four warps of a warpgroup, which must issue the same products in the same order.
//!
//! Warps reach an instruction one by one here, so that each is compared with what the others did.

use std::collections::{BTreeMap, VecDeque};

use crate::fault::{FaultKind, Trouble};

/// Warps of a warpgroup.
pub(crate) const WARPS: usize = 4;

/// A product as all four warps must see it: line, and descriptors in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) line: u32,
    pub(crate) a: Option<u64>,
    pub(crate) b: u64,
}

/// The products of a warpgroup that some warp has still to issue.
#[derive(Debug, Default)]
struct Trace {
    first: u64,
    entries: VecDeque<Entry>,
    /// Products that each warp has issued.
    issued: [u64; WARPS],
}

/// The warpgroups of a CTA.
#[derive(Debug, Default)]
pub(crate) struct Warpgroups {
    traces: BTreeMap<usize, Trace>,
}

impl Warpgroups {
    /// A warp issues a product.
    pub(crate) fn issue(&mut self, warp: usize, entry: Entry) -> Result<(), Trouble> {
        let trace = self.traces.entry(warp / WARPS).or_default();
        let number = trace.issued[warp % WARPS];
        match trace.entries.get((number - trace.first) as usize) {
            Some(other) if *other != entry => {
                return Err(Trouble::new(
                    FaultKind::BarrierDivergence,
                    format!(
                        "product {number} of the warpgroup is at line {} with descriptors {:x?} and \
                         {:#x} for another warp, expected the same for all four",
                        other.line, other.a, other.b
                    ),
                ));
            }
            Some(_) => {}
            None => trace.entries.push_back(entry),
        }
        trace.issued[warp % WARPS] += 1;
        while trace.issued.iter().all(|issued| *issued > trace.first) {
            trace.entries.pop_front();
            trace.first += 1;
        }
        Ok(())
    }

    /// A product that a warp has not issued though others of its warpgroup have: the warp, and the
    /// line of the product.
    pub(crate) fn unfinished(&self) -> Option<(usize, u32)> {
        self.traces.iter().find_map(|(group, trace)| {
            let entry = trace.entries.front()?;
            let last = trace.issued.iter().position(|issued| *issued == trace.first).unwrap_or(0);
            Some((group * WARPS + last, entry.line))
        })
    }
}
