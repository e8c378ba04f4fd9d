//! A CTA: its warps, its shared memory and its barriers.

use super::barriers::Barriers;
use super::warp::Warp;
use crate::machine::cta_memory::CtaMemory;
use crate::machine::device::Device;
use crate::machine::registers::{LANES, Mask};
use crate::program::{Code, Special};

/// One CTA of a running cluster.
#[derive(Debug)]
pub(crate) struct Cta {
    pub(crate) index: [u32; 3],
    pub(crate) warps: Vec<Warp>,
    pub(crate) state: Vec<WarpState>,
    /// Instructions of each warp since it last spun.
    pub(crate) since_spin: Vec<u32>,
    pub(crate) barriers: Barriers,
}

/// Whether a warp can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WarpState {
    Ready,
    /// It spun and has not run since.
    Spinning,
    AtBarrier,
    AtCluster,
    Done,
}

/// Where a CTA stands in its grid and cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// `%ctaid`.
    pub(crate) index: [u32; 3],
    /// `%ctaid` as one number, x fastest.
    pub(crate) linear: u32,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// CTAs of a cluster, and whether the launch has clusters.
    pub(crate) cluster: [u32; 3],
    pub(crate) explicit_cluster: bool,
    /// Number of the CTA in its cluster.
    pub(crate) rank: u32,
    pub(crate) dynamic_shared: u32,
    pub(crate) sms: u32,
}

impl Cta {
    /// A CTA at the start of a kernel.
    pub(crate) fn start(
        code: &Code,
        place: &Place,
        memory: &mut CtaMemory,
        device: &Device,
    ) -> Cta {
        let threads = place.block.iter().product::<u32>();
        memory.start(code.shared_bytes + place.dynamic_shared, device.options.races);
        let count = threads.div_ceil(LANES as u32);
        let warps = (0..count)
            .map(|index| {
                let left = threads - index * LANES as u32;
                let live: Mask = if left >= 32 { Mask::MAX } else { (1 << left) - 1 };
                let mut warp = Warp::new(code, index as usize, place.linear, live);
                for &(plane, value) in &code.constants {
                    warp.registers.preset(plane, [value; LANES]);
                }
                for (plane, name, offset) in &code.addresses {
                    let base = device.variables.get(name).map_or(0, |(base, _)| *base);
                    let address = base.wrapping_add_signed(*offset);
                    warp.registers.preset(*plane, [address as u32; LANES]);
                    warp.registers.preset(plane + 1, [(address >> 32) as u32; LANES]);
                }
                for &(plane, special) in &code.specials {
                    warp.registers.preset(plane, special_lanes(code, place, index, special));
                }
                warp
            })
            .collect::<Vec<_>>();
        Cta {
            index: place.index,
            state: vec![WarpState::Ready; warps.len()],
            since_spin: vec![0; warps.len()],
            barriers: Barriers::default(),
            warps,
        }
    }
}

fn special_lanes(code: &Code, place: &Place, warp: u32, special: Special) -> [u32; LANES] {
    let [bx, by, bz] = place.block;
    let threads = bx * by * bz;
    let clusters = [0, 1, 2].map(|axis| place.grid[axis].div_ceil(place.cluster[axis]));
    std::array::from_fn(|lane| {
        let thread = warp * LANES as u32 + lane as u32;
        let lane = lane as u32;
        match special {
            Special::Tid(axis) => [thread % bx, thread / bx % by, thread / bx / by][axis],
            Special::Ntid(axis) => place.block[axis],
            Special::Ctaid(axis) => place.index[axis],
            Special::Nctaid(axis) => place.grid[axis],
            Special::Laneid => lane,
            Special::Warpid => warp,
            Special::Nwarpid => threads.div_ceil(LANES as u32),
            Special::Smid => place.linear % place.sms,
            Special::Nsmid => place.sms,
            Special::Gridid => 1,
            Special::LanemaskEq => 1 << lane,
            Special::LanemaskLe => u32::MAX >> (31 - lane),
            Special::LanemaskLt => (1 << lane) - 1,
            Special::LanemaskGe => u32::MAX << lane,
            Special::LanemaskGt => (u32::MAX << lane) << 1,
            Special::DynamicSharedSize => place.dynamic_shared,
            Special::TotalSharedSize => code.shared_bytes + place.dynamic_shared,
            Special::Clusterid(axis) => place.index[axis] / place.cluster[axis],
            Special::Nclusterid(axis) => clusters[axis],
            Special::ClusterCtaid(axis) => place.index[axis] % place.cluster[axis],
            Special::ClusterNctaid(axis) => place.cluster[axis],
            Special::ClusterCtarank => place.rank,
            Special::ClusterNctarank => place.cluster.iter().product(),
            Special::IsExplicitCluster => u32::from(place.explicit_cluster),
        }
    })
}
