//! A grid: clusters taken in order by a few worker threads.
//!
//! A cooperative launch keeps all its clusters alive and gives each worker its share of them, so
//! that CTAs may wait for each other; an ordinary one runs a cluster to its end before the next.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::cluster::{Cluster, Slice};
use super::cta::Place;
use crate::counters::Counters;
use crate::fault::{Fault, FaultKind};
use crate::launch::LaunchConfig;
use crate::machine::cta_memory::CtaMemory;
use crate::machine::device::Device;
use crate::program::Code;

/// Instructions of a cluster before another one of a cooperative launch has its turn.
const SLICE: u64 = 4096;
/// Rounds of spinning, with nothing else happening in the grid, that make a deadlock.
const IDLE_ROUNDS: u32 = 1000;

/// A launch at work, as its workers share it.
struct Grid<'a> {
    code: &'a Code,
    config: &'a LaunchConfig,
    device: &'a Device,
    /// CTAs of a cluster, and clusters along each axis.
    cluster: [u32; 3],
    clusters: [u32; 3],
    explicit_cluster: bool,
    next: AtomicUsize,
    issued: AtomicU64,
    /// Slices in which some cluster did more than spin.
    progress: AtomicU64,
    stop: AtomicBool,
    /// The fault of the lowest CTA, whichever worker met it first.
    fault: Mutex<Option<(u32, Fault)>>,
}

/// Runs all CTAs of a launch.
pub(crate) fn run(
    code: &Code,
    config: &LaunchConfig,
    cluster: Option<[u32; 3]>,
    device: &Device,
) -> Result<Counters, Fault> {
    let shape = cluster.unwrap_or([1; 3]);
    let grid = Grid {
        code,
        config,
        device,
        cluster: shape,
        clusters: [0, 1, 2].map(|axis| config.grid[axis] / shape[axis]),
        explicit_cluster: cluster.is_some(),
        next: AtomicUsize::new(0),
        issued: AtomicU64::new(0),
        progress: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        fault: Mutex::new(None),
    };
    let threads = match device.options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let workers = threads.min(grid.count()).max(1);
    let counters = if workers == 1 {
        grid.work(0, 1)
    } else {
        std::thread::scope(|scope| {
            let grid = &grid;
            let handles: Vec<_> = (0..workers)
                .map(|worker| scope.spawn(move || grid.work(worker, workers)))
                .collect();
            handles.into_iter().fold(Counters::default(), |mut sum, handle| {
                match handle.join() {
                    Ok(counters) => sum += counters,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
                sum
            })
        })
    };
    match grid.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, fault)) => Err(fault),
        None => Ok(counters),
    }
}

impl Grid<'_> {
    fn count(&self) -> usize {
        self.clusters.iter().map(|&count| count as usize).product()
    }

    fn work(&self, worker: usize, workers: usize) -> Counters {
        let mut counters = Counters::default();
        if self.config.cooperative {
            self.side_by_side(worker, workers, &mut counters);
        } else {
            self.one_by_one(&mut counters);
        }
        counters
    }

    fn one_by_one(&self, counters: &mut Counters) {
        let mut memory = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            if index >= self.count() || self.stop.load(Relaxed) {
                return;
            }
            let places = self.places(index);
            let mut cluster = Cluster::start(self.code, &places, &mut memory, self.device);
            while self.slice(&mut cluster, &places, &mut memory, counters) {}
        }
    }

    fn side_by_side(&self, worker: usize, workers: usize, counters: &mut Counters) {
        let mut running: Vec<_> = (worker..self.count())
            .step_by(workers)
            .map(|index| {
                let places = self.places(index);
                let mut memory = Vec::new();
                let cluster = Cluster::start(self.code, &places, &mut memory, self.device);
                (cluster, places, memory)
            })
            .collect();
        while !running.is_empty() {
            running.retain_mut(|(cluster, places, memory)| {
                self.slice(cluster, places, memory, counters)
            });
        }
    }

    /// Runs a slice of a cluster; tells whether there is more.
    fn slice(
        &self,
        cluster: &mut Cluster,
        places: &[Place],
        memory: &mut [CtaMemory],
        counters: &mut Counters,
    ) -> bool {
        let mut issued = 0;
        let slice = cluster.run(self.code, memory, self.device, counters, SLICE, &mut issued);
        let total = self.issued.fetch_add(issued, Relaxed) + issued;
        let first = places.first().map_or(0, |place| place.linear);
        match slice {
            Err(fault) => {
                self.report(first, fault);
                return false;
            }
            Ok(Slice::Done) => {
                self.progress.fetch_add(1, Relaxed);
                return false;
            }
            Ok(Slice::More) => {
                self.progress.fetch_add(1, Relaxed);
            }
            Ok(Slice::Spinning) => {
                // Only clusters of a cooperative launch wait for each other.
                let others = self.config.cooperative.then(|| self.progress.load(Relaxed));
                if cluster.rest(others.unwrap_or(0)) == IDLE_ROUNDS {
                    self.report(first, cluster.deadlock(self.code, memory));
                    return false;
                }
                std::thread::yield_now();
            }
        }
        let limit = self.device.options.instruction_limit;
        if total > limit {
            let fault = Fault::host(
                FaultKind::Limit,
                format!(
                    "the launch has issued {total} warp instructions, expected at most {limit} \
                     (hint: a loop without end? else raise instruction_limit)"
                ),
            );
            let fault = match cluster.at_work(self.code) {
                Some((cta, warp, line)) => {
                    Fault { cta: Some(cta), warp: Some(warp as u32), line: Some(line), ..fault }
                }
                None => fault,
            };
            self.report(first, fault);
        }
        !self.stop.load(Relaxed)
    }

    fn report(&self, cta: u32, fault: Fault) {
        self.stop.store(true, Relaxed);
        let mut kept = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(other, _)| cta < *other) {
            *kept = Some((cta, fault));
        }
    }

    /// Where the CTAs of a cluster stand.
    fn places(&self, index: usize) -> Vec<Place> {
        let [cx, cy, _] = self.clusters;
        let index = index as u32;
        let origin = [index % cx, index / cx % cy, index / cx / cy];
        let [sx, sy, sz] = self.cluster;
        let [gx, gy, _] = self.config.grid;
        (0..sx * sy * sz)
            .map(|rank| {
                let inside = [rank % sx, rank / sx % sy, rank / sx / sy];
                let [x, y, z] =
                    [0, 1, 2].map(|axis| origin[axis] * self.cluster[axis] + inside[axis]);
                Place {
                    index: [x, y, z],
                    linear: x + gx * (y + gy * z),
                    grid: self.config.grid,
                    block: self.config.block,
                    cluster: self.cluster,
                    explicit_cluster: self.explicit_cluster,
                    rank,
                    dynamic_shared: self.config.dynamic_shared,
                    sms: self.device.options.spec.sms,
                }
            })
            .collect()
    }
}
