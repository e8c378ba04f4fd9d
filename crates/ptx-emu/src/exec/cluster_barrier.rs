//! The barrier of a cluster: a warp arrives, may do other work, and waits.

use super::warp::Pause;
use crate::fault::{FaultKind, Trouble};
use crate::machine::cta_memory::CtaMemory;
use crate::machine::warp_memory::WarpMemory;
use crate::program::ClusterStep;

impl CtaMemory {
    /// A warp comes to the barrier; tells why it pauses, if it does.
    pub(crate) fn at_cluster_barrier(
        &mut self,
        warp: &mut WarpMemory,
        step: ClusterStep,
    ) -> Result<Option<Pause>, Trouble> {
        let own = 1 << warp.index;
        match step {
            ClusterStep::Arrive => {
                if (self.cluster_arrived | self.cluster_open) & own != 0 {
                    return Err(Trouble::new(
                        FaultKind::BarrierDivergence,
                        "arrives at the cluster's barrier again, expected barrier.cluster.wait first",
                    ));
                }
                self.cluster_arrived |= own;
                self.cluster_clock.join(&warp.clock);
                warp.clock.advance(warp.index);
                Ok(Some(Pause::Turn))
            }
            ClusterStep::Wait if self.cluster_open & own != 0 => {
                self.cluster_open &= !own;
                warp.clock.join(&self.cluster_seen);
                warp.clock.advance(warp.index);
                Ok(None)
            }
            ClusterStep::Wait if self.cluster_arrived & own == 0 => Err(Trouble::new(
                FaultKind::BarrierDivergence,
                "waits at the cluster's barrier, expected barrier.cluster.arrive first",
            )),
            ClusterStep::Wait => Ok(Some(Pause::AtCluster)),
        }
    }

    /// All warps of the cluster have arrived: those of this CTA may pass.
    pub(crate) fn open_cluster_barrier(&mut self) {
        self.cluster_open |= std::mem::take(&mut self.cluster_arrived);
        // Clocks of different CTAs are not compared: each sees what its own warps did before.
        self.cluster_seen = std::mem::take(&mut self.cluster_clock);
    }
}
