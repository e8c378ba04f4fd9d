//! Pairs too large for one CTA: a launch runs all their iterations, unless scalings drift or sums leave the
//! range of f32.
//!
//! `kernels/sinkhorn/README.md` tells how. Memory beyond the costs: as much again for the kernels of the pairs
//! of one group size, and about 2 MB a group of CTAs that works at the time.

mod job;
mod shape;

use std::collections::BTreeMap;
use std::f64::consts::{LN_2, LOG2_E};

use gpu_runtime::{DeviceBuffer, Kernel, Launch, args};

use self::job::{Job, Scratch, job};
use self::shape::{Card, Shape};
use super::problem::Problem;
use super::updates::{Buffer, Updates};
use crate::device::layout::Pair;
use crate::error::Result;
use crate::registry::{ABSORB, FOLD, STREAM};
use crate::sinkhorn::{Acceleration, Fixed};

/// The largest factor of over-relaxation, as on the host.
const LARGEST_OMEGA: f32 = 1.9;
const BLOCK: [u32; 3] = [32, 16, 1];
/// Words of a pair's state.
const INNER: usize = 8;
/// What the kernels say of a pair that it has finished.
const FINISHED: u32 = 2;

/// The pairs of a call that are streamed, and how.
pub(super) struct Streamed {
    absorb: Kernel,
    iterate: Kernel,
    fold: Kernel,
    shapes: Vec<(usize, Shape)>,
}

/// What is kept of each pair of the call from one launch to the next.
struct State<'i> {
    next: DeviceBuffer<u32>,
    skip_columns: DeviceBuffer<u32>,
    skip_rows: DeviceBuffer<u32>,
    iterations: &'i mut DeviceBuffer<u32>,
    /// What only the kernels read.
    inner: DeviceBuffer<[u32; INNER]>,
}

impl Streamed {
    /// Chooses the pairs of a layout that are not too long for a CTA, but for those that are done: flags of
    /// 1.
    pub fn new(problem: &Problem<'_>, is_done: &[u32]) -> Result<Self> {
        let session = &problem.session;
        let (absorb, iterate) = (session.kernel(&ABSORB)?, session.kernel(&STREAM)?);
        let fold = session.kernel(&FOLD)?;
        let shared = session.stream.device().facts().shared_per_block_optin;
        session.gpu(iterate.set_dynamic_shared(shared))?;
        let ctas = session.gpu(iterate.cooperative_blocks(BLOCK.iter().product(), shared))?;
        let card = Card { ctas, shared: u64::from(shared) };
        let of = |(k, pair): (usize, &Pair)| {
            let [_, n, _, m, ..] = *pair;
            let shape = Shape::new(n, m, card).filter(|_| is_done[k] == 0);
            Some((k, shape?))
        };
        let shapes = problem.layout.pairs.iter().enumerate().filter_map(of).collect();
        Ok(Self { absorb, iterate, fold, shapes })
    }

    /// The numbers of the pairs.
    pub fn pairs(&self) -> impl Iterator<Item = usize> + '_ {
        self.shapes.iter().map(|(k, _)| *k)
    }

    /// Solves them. Other pairs keep what they have.
    pub fn solve(
        &self,
        problem: &Problem<'_>,
        cost: &Buffer,
        fixed: &Fixed,
        (f, g): (&mut Buffer, &mut Buffer),
        iterations: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        if self.shapes.is_empty() || fixed.max_iters == 0 {
            return Ok(());
        }
        let session = &problem.session;
        let mut next = vec![FINISHED; problem.layout.pairs.len()];
        self.pairs().for_each(|k| next[k] = 0);
        let largest = match fixed.acceleration {
            Acceleration::Plain => 1.0,
            // Anderson's combination is a hint, which this path takes as the other.
            Acceleration::OverRelaxation | Acceleration::Anderson { .. } => LARGEST_OMEGA,
        };
        // Factor, limit, error when watching began, least error; watched, iterations, action, which v.
        let [factor, limit, begin, least] =
            [1.0, largest, 0.0, f32::INFINITY].map(|x: f32| x.to_bits());
        let inner = [factor, limit, begin, least, 0, 1, 0, 0];
        let mut state = State {
            next: session.send(&next)?,
            skip_columns: session.send(&next)?,
            skip_rows: session.send(&next)?,
            iterations,
            inner: session.send(&vec![inner; next.len()])?,
        };
        let updates = Updates::new(problem, cost)?;
        loop {
            // The first iteration, and those that f32 sums cannot make, are done in the log domain.
            updates.columns(f, g, Some(&state.skip_columns))?;
            updates.rows(g, f, Some(&state.skip_rows))?;
            let mut sizes = BTreeMap::<u32, Vec<(usize, Shape)>>::new();
            for &(k, shape) in self.shapes.iter().filter(|(k, _)| next[*k] != FINISHED) {
                sizes.entry(shape.size).or_default().push((k, shape));
            }
            for pairs in sizes.values() {
                self.launch(problem, cost, fixed, (f, g), pairs, &mut state)?;
            }
            next = session.fetch(&state.next)?;
            if next.iter().all(|&next| next == FINISHED) {
                return Ok(());
            }
        }
    }

    /// Makes the kernels of pairs of one group size, and iterates.
    fn launch(
        &self,
        problem: &Problem<'_>,
        cost: &Buffer,
        fixed: &Fixed,
        potentials: (&mut Buffer, &mut Buffer),
        pairs: &[(usize, Shape)],
        state: &mut State<'_>,
    ) -> Result<()> {
        let (session, size) = (&problem.session, pairs[0].1.size);
        let most = |of: fn(&Shape) -> u64| pairs.iter().map(|(_, shape)| of(shape)).max();
        let sum = |of: fn(&Shape) -> u64| pairs.iter().map(|(_, shape)| of(shape)).sum::<u64>();
        // Of a card's shared memory: far below 2^32.
        let shared = most(Shape::shared).unwrap_or(0) as u32;
        let kernels = session.room::<f32>(sum(Shape::kernel) as usize / 4)?;
        let rows = session.room::<f32>(sum(Shape::rows) as usize / 4)?;
        let rooms = session.zeros::<u32>(sum(Shape::room) as usize / 4)?;
        let (kernel, rows_at) = (kernels.address(), rows.address());
        let mut scratch = Scratch { kernel, rows: rows_at, room: rooms.address(), state: 0 };
        let of = |&(k, shape): &(usize, Shape)| {
            scratch.state = state.inner.address() + (4 * INNER * k) as u64;
            let job = job(problem, cost, &potentials, (k, shape), scratch);
            scratch.kernel += shape.kernel();
            scratch.rows += shape.rows();
            scratch.room += shape.room();
            job
        };
        let jobs: Vec<Job> = pairs.iter().map(of).collect();
        let list = session.send(jobs.as_flattened())?;
        // The layout refuses more pairs.
        let count = jobs.len() as u32;
        let ctas = self.iterate.cooperative_blocks(BLOCK.iter().product(), shared);
        let groups = count.min(session.gpu(ctas)? / size);
        let (all, some) = ([count * size, 1, 1], [groups * size, 1, 1]);
        let damping = 1.0 / (1.0 + problem.eps / problem.rho);
        let pull = ((1.0 - damping) * LOG2_E / problem.eps) as f32;
        let args = args![&list, size, problem.scalars.scale, pull];
        // SAFETY: the jobs hold addresses in buffers that outlive the launches on this stream, potentials that
        // are lent for writing among them, with the extents of the layout and of the shapes.
        unsafe { session.launch(&self.absorb, Launch::new(all, BLOCK), args)? };
        let max_iters = u32::try_from(fixed.max_iters).unwrap_or(u32::MAX);
        let args = args![&list, count, size, max_iters, fixed.tol as f32, damping as f32];
        let launch = Launch::new(some, BLOCK).dynamic_shared(shared).cooperative();
        // SAFETY: as above; the state has an entry a pair.
        unsafe { session.launch(&self.iterate, launch, args)? };
        let args = args![
            &list,
            &mut state.next,
            &mut state.skip_columns,
            &mut state.skip_rows,
            &mut *state.iterations,
            size,
            (problem.eps * LN_2) as f32,
        ];
        // SAFETY: as above; flags and counts have an entry a pair.
        unsafe { session.launch(&self.fold, Launch::new(all, [512, 1, 1]), args) }
    }
}
