//! Warps come to a barrier of their CTA, and it opens.

use super::barriers::{Arrival, Gathering};
use super::cta::{Cta, WarpState};
use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::{LANES, Mask};
use crate::program::BarrierStep;

impl Cta {
    /// Warp `warp` comes to a barrier.
    pub(crate) fn arrive(&mut self, warp: usize, arrival: Arrival) -> Result<(), Trouble> {
        let clock = self.warps[warp].memory.clock;
        let gathering = &mut self.barriers.gathering[arrival.id as usize];
        if let Some((other, first)) = gathering.arrivals.first()
            && first.count != arrival.count
        {
            return Err(Trouble::new(
                FaultKind::BarrierDivergence,
                format!(
                    "barrier {} of {}, but warp {other} waits there for {} (line {})",
                    arrival.id,
                    threads(arrival.count),
                    threads(first.count),
                    first.line
                ),
            ));
        }
        if let Some((_, first)) = gathering.arrivals.iter().find(|(other, _)| *other == warp) {
            return Err(Trouble::new(
                FaultKind::BarrierDivergence,
                format!(
                    "arrives at barrier {} again, before the others that its arrival of line {} \
                     counts on have come (hint: the warps disagree on whose turn it is)",
                    arrival.id, first.line
                ),
            ));
        }
        gathering.clock.join(&clock);
        gathering.arrivals.push((warp, arrival));
        gathering.threads += LANES as u32;
        if arrival.step == BarrierStep::Arrive {
            self.warps[warp].memory.clock.advance(warp);
        }
        Ok(())
    }

    /// Opens every barrier at which all that it waits for have arrived; tells whether one did.
    pub(crate) fn open_barriers(&mut self) -> bool {
        let live = self.warps.iter().filter(|warp| warp.live != 0).count() as u32;
        let mut opened = false;
        for id in 0..16 {
            let gathering = &self.barriers.gathering[id];
            let Some((_, first)) = gathering.arrivals.first() else { continue };
            let expected = if first.count == 0 { live * LANES as u32 } else { first.count };
            if gathering.threads >= expected {
                let gathering = std::mem::take(&mut self.barriers.gathering[id]);
                self.open(gathering);
                opened = true;
            }
        }
        opened
    }

    fn open(&mut self, gathering: Gathering) {
        let vote = |lanes: Mask, warp: usize, source, negated: bool| {
            let value = self.warps[warp].registers.predicate(source);
            (if negated { !value } else { value }) & lanes
        };
        let (mut count, mut all, mut any) = (0, true, false);
        for &(warp, arrival) in &gathering.arrivals {
            match arrival.step {
                BarrierStep::Count { source, negated, .. }
                | BarrierStep::And { source, negated, .. }
                | BarrierStep::Or { source, negated, .. } => {
                    let votes = vote(arrival.lanes, warp, source, negated);
                    count += votes.count_ones();
                    all &= votes == arrival.lanes;
                    any |= votes != 0;
                }
                BarrierStep::Sync | BarrierStep::Arrive => {}
            }
        }
        for &(index, arrival) in &gathering.arrivals {
            let warp = &mut self.warps[index];
            match arrival.step {
                BarrierStep::Arrive => continue,
                BarrierStep::Sync => {}
                BarrierStep::Count { to, .. } => {
                    warp.registers.set_plane(to, arrival.lanes, &[count; LANES]);
                }
                BarrierStep::And { to, .. } => {
                    warp.registers.set_predicate(to, arrival.lanes, Mask::from(all).wrapping_neg());
                }
                BarrierStep::Or { to, .. } => {
                    warp.registers.set_predicate(to, arrival.lanes, Mask::from(any).wrapping_neg());
                }
            }
            warp.memory.clock.join(&gathering.clock);
            warp.memory.clock.advance(index);
            self.state[index] = WarpState::Ready;
        }
    }
}

fn threads(count: u32) -> String {
    match count {
        0 => "all threads".to_owned(),
        count => format!("{count} threads"),
    }
}
