//! The end of a cluster: what still runs, and what must not.

use super::bulk_landing;
use super::cta_memory::CtaMemory;
use super::device::Device;
use super::late::Late;
use crate::fault::{FaultKind, Trouble};

/// All threads of a cluster have exited: ends what still runs, or says what must not.
pub(crate) fn finish(memory: &mut [CtaMemory], device: &Device) -> Result<(), Late> {
    bulk_landing::finish(memory, device)?;
    // No warp may have left its warpgroup alone.
    for (rank, cta) in memory.iter().enumerate() {
        if let Some((warp, line)) = cta.warpgroups.unfinished() {
            let trouble = Trouble::new(
                FaultKind::BarrierDivergence,
                "exits without this product of its warpgroup, which needs four whole warps",
            );
            return Err(Late { rank, warp, line, trouble });
        }
    }
    Ok(())
}
