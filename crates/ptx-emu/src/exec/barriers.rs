//! The sixteen barriers of a CTA, and who waits there.

use crate::machine::registers::Mask;
use crate::memory::clock::Clock;
use crate::program::BarrierStep;

/// What a warp asks of its CTA when it comes to a barrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) id: u32,
    /// Threads that the barrier waits for; 0 for all of the CTA.
    pub(crate) count: u32,
    pub(crate) step: BarrierStep,
    /// Lanes that arrive.
    pub(crate) lanes: Mask,
    pub(crate) line: u32,
}

/// A barrier with some arrivals.
#[derive(Debug, Default, Clone)]
pub(super) struct Gathering {
    /// Who came: warp and what it did.
    pub(super) arrivals: Vec<(usize, Arrival)>,
    /// Threads that came. Warps that arrive count whole.
    pub(super) threads: u32,
    pub(super) clock: Clock,
}

/// All barriers of a CTA.
#[derive(Debug, Default)]
pub(crate) struct Barriers {
    pub(super) gathering: [Gathering; 16],
}

impl Barriers {
    /// Where warps wait, for a report.
    pub(crate) fn waiting(&self) -> Vec<(usize, u32, u32)> {
        let all = self.gathering.iter().flat_map(|gathering| &gathering.arrivals);
        let mut waiting: Vec<_> = all
            .filter(|(_, arrival)| arrival.step != BarrierStep::Arrive)
            .map(|(warp, arrival)| (*warp, arrival.id, arrival.line))
            .collect();
        // By warp rather than by the order in which they came, which the seed decides.
        waiting.sort_unstable();
        waiting
    }
}
