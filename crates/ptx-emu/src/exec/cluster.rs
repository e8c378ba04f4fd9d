//! A cluster: the CTAs that run side by side and see each other's shared memory. Mostly one CTA.

use super::barriers::Arrival;
use super::cta::{Cta, Place, WarpState};
use super::located::Located;
use super::warp::{Pause, Surroundings};
use crate::counters::Counters;
use crate::fault::{Fault, FaultKind, Trouble};
use crate::machine::cta_memory::CtaMemory;
use crate::machine::device::Device;
use crate::machine::late::Late;
use crate::machine::{bulk_landing, end};
use crate::program::{ClusterStep, Code};
use crate::random::Random;

/// Longest turn of a warp, in instructions.
const TURN: usize = 64;
/// Instructions without a failed wait after which a warp does more than spin.
const SPIN_LOOP: u32 = 128;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    ctas: Vec<Cta>,
    random: Random,
    arrivals: Vec<Arrival>,
    /// Times that every warp was found spinning since something else happened.
    idle: u32,
    /// The progress of the grid when they were last counted.
    progress: u64,
}

/// How a slice of a cluster's time ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slice {
    /// All its threads have exited.
    Done,
    /// There is more to do.
    More,
    /// All its warps spin: other clusters must run first.
    Spinning,
}

impl Cluster {
    /// The CTAs at these places, at the start of the kernel.
    pub(crate) fn start(
        code: &Code,
        places: &[Place],
        memory: &mut Vec<CtaMemory>,
        device: &Device,
    ) -> Cluster {
        memory.resize_with(places.len(), CtaMemory::default);
        let ctas = places
            .iter()
            .zip(memory.iter_mut())
            .map(|(place, memory)| Cta::start(code, place, memory, device))
            .collect();
        let first = places.first().map_or(0, |place| place.linear);
        let random = Random::new(device.options.seed, u64::from(first));
        Cluster { ctas, random, arrivals: Vec::new(), idle: 0, progress: 0 }
    }

    /// Runs about `budget` instructions; adds what it issued to `issued`.
    pub(crate) fn run(
        &mut self,
        code: &Code,
        memory: &mut [CtaMemory],
        device: &Device,
        counters: &mut Counters,
        budget: u64,
        issued: &mut u64,
    ) -> Result<Slice, Fault> {
        let end = *issued + budget;
        while *issued < end {
            let Some((rank, warp)) = self.pick() else {
                if self.open_all(memory, device) {
                    continue;
                }
                if self.ctas.iter().all(|cta| cta.state.iter().all(|s| *s == WarpState::Done)) {
                    end::finish(memory, device).map_err(|late| self.late(late))?;
                    return Ok(Slice::Done);
                }
                if self.wake_spinning() {
                    // Copies that run on their own land when nobody can do anything else.
                    let landed = bulk_landing::land_one(memory, device);
                    if landed.map_err(|late| self.late(late))? {
                        continue;
                    }
                    return Ok(Slice::Spinning);
                }
                return Err(self.deadlock(code, memory));
            };
            let turn = 1 + self.random.below(TURN) as u32;
            let mut around = Surroundings { code, cluster: memory, rank, device, counters };
            let cta = &mut self.ctas[rank];
            let (ran, pause) = cta.warps[warp]
                .run(&mut around, turn, &mut self.arrivals)
                .map_err(|located| fault(cta.index, warp, located))?;
            *issued += u64::from(ran);
            cta.state[warp] = match pause {
                Pause::Turn => WarpState::Ready,
                Pause::AtBarrier => WarpState::AtBarrier,
                Pause::AtCluster => WarpState::AtCluster,
                Pause::Spinning => WarpState::Spinning,
                Pause::Done => WarpState::Done,
            };
            cta.since_spin[warp] = match pause {
                Pause::Spinning => 0,
                Pause::Turn => cta.since_spin[warp].saturating_add(ran),
                _ => u32::MAX,
            };
            // A turn may end inside a loop that only spins.
            if cta.since_spin[warp] > SPIN_LOOP {
                self.idle = 0;
            }
            let arrived = !self.arrivals.is_empty();
            for arrival in self.arrivals.drain(..) {
                let line = arrival.line;
                cta.arrive(warp, arrival)
                    .map_err(|trouble| fault(cta.index, warp, Located { line, trouble }))?;
            }
            memory[rank].exited = cta.state.iter().all(|state| *state == WarpState::Done);
            // At once, before a warp that arrived without waiting comes round again.
            if arrived || pause != Pause::Turn {
                cta.open_barriers();
                self.open_cluster(memory, device);
            }
        }
        Ok(Slice::More)
    }

    /// A warp that can run, by the seed.
    fn pick(&mut self) -> Option<(usize, usize)> {
        let ready = |state: &WarpState| *state == WarpState::Ready;
        let count: usize =
            self.ctas.iter().map(|cta| cta.state.iter().filter(|s| ready(s)).count()).sum();
        if count == 0 {
            return None;
        }
        let mut left = self.random.below(count);
        for (rank, cta) in self.ctas.iter().enumerate() {
            for (warp, _) in cta.state.iter().enumerate().filter(|(_, state)| ready(state)) {
                if left == 0 {
                    return Some((rank, warp));
                }
                left -= 1;
            }
        }
        None
    }

    fn open_all(&mut self, memory: &mut [CtaMemory], device: &Device) -> bool {
        let mut opened = false;
        for cta in &mut self.ctas {
            opened |= cta.open_barriers();
        }
        self.open_cluster(memory, device) || opened
    }

    /// Opens the cluster's barrier when every live warp has arrived.
    fn open_cluster(&mut self, memory: &mut [CtaMemory], device: &Device) -> bool {
        let all = self.ctas.iter().zip(memory.iter()).all(|(cta, memory)| {
            let mut warps = cta.warps.iter().enumerate();
            warps.all(|(index, warp)| warp.live == 0 || memory.cluster_arrived >> index & 1 == 1)
        });
        if !all || memory.iter().all(|memory| memory.cluster_arrived == 0) {
            return false;
        }
        for (cta, memory) in self.ctas.iter_mut().zip(memory.iter_mut()) {
            memory.open_cluster_barrier();
            for (index, warp) in cta.warps.iter_mut().enumerate() {
                if cta.state[index] == WarpState::AtCluster
                    && memory.at_cluster_barrier(&mut warp.memory, ClusterStep::Wait).is_ok()
                {
                    cta.state[index] = WarpState::Ready;
                    // What the others published before they arrived is seen from here on.
                    device.fences.pass(warp.memory.cta_index);
                }
            }
        }
        true
    }

    fn late(&self, late: Late) -> Fault {
        let Late { rank, warp, line, trouble } = late;
        fault(self.ctas[rank].index, warp, Located { line, trouble })
    }

    fn wake_spinning(&mut self) -> bool {
        let mut woken = false;
        for state in self.ctas.iter_mut().flat_map(|cta| &mut cta.state) {
            if *state == WarpState::Spinning {
                *state = WarpState::Ready;
                woken = true;
            }
        }
        woken
    }

    /// Where a warp is at work: its CTA, itself and its line.
    pub(crate) fn at_work(&self, code: &Code) -> Option<([u32; 3], usize, u32)> {
        self.ctas.iter().find_map(|cta| {
            let ready = |state: &WarpState| matches!(state, WarpState::Ready | WarpState::Spinning);
            let warp = cta.state.iter().position(ready)?;
            let (line, _) = cta.warps[warp].places(code).into_iter().next()?;
            Some((cta.index, warp, line))
        })
    }

    /// Every warp spins, and the grid has come so far; tells how often in a row that was so.
    pub(crate) fn rest(&mut self, progress: u64) -> u32 {
        if self.progress != progress {
            (self.progress, self.idle) = (progress, 0);
        }
        self.idle += 1;
        self.idle
    }

    /// Nothing can run any more: tells where each warp stands.
    pub(crate) fn deadlock(&self, code: &Code, memory: &[CtaMemory]) -> Fault {
        let mut lines = Vec::new();
        let mut first = None;
        for cta in &self.ctas {
            for (warp, id, line) in cta.barriers.waiting() {
                first.get_or_insert((cta.index, warp, line));
                lines.push(format!("warp {warp} waits at barrier {id}, line {line}"));
            }
            for (index, warp) in cta.warps.iter().enumerate() {
                let line = warp.places(code).first().map_or(0, |(line, _)| *line);
                let why = match cta.state[index] {
                    WarpState::AtCluster => "waits for the cluster",
                    WarpState::Ready | WarpState::Spinning => "spins",
                    WarpState::AtBarrier | WarpState::Done => continue,
                };
                first.get_or_insert((cta.index, index, line));
                lines.push(format!("warp {index} {why}, line {line}"));
            }
        }
        for (cta, memory) in self.ctas.iter().zip(memory) {
            let [x, y, z] = cta.index;
            let open = memory.open_mbarriers().into_iter();
            lines.extend(open.map(|object| format!("cta ({x},{y},{z}) {object}")));
        }
        let (cta, warp, line) = first.unwrap_or(([0; 3], 0, 0));
        let detail = format!(
            "no warp can go on: {} (hint: every warp of the barrier must reach it)",
            lines.join("; ")
        );
        fault(cta, warp, Located { line, trouble: Trouble::new(FaultKind::Deadlock, detail) })
    }
}

fn fault(cta: [u32; 3], warp: usize, located: Located) -> Fault {
    let Located { line, trouble } = located;
    Fault {
        kind: trouble.kind,
        file: None,
        kernel: None,
        line: Some(line),
        cta: Some(cta),
        warp: Some(warp as u32),
        lane: trouble.lane,
        detail: trouble.detail,
    }
}
