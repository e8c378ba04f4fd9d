//! One temperature until convergence: pairs that fit registers in one launch of their size, others in the
//! log domain.
//!
//! A pair of up to `64 R` by `64 S` points takes `R S` warps, of two CTAs where one does not hold them and
//! the device has clusters. Costs come chunk by chunk, so that they are
//! still in the L2 cache when the iterations begin, and each is read once.

use gpu_runtime::{Arg, DeviceBuffer, DeviceSlice, Launch, args};

use super::iterate::{self, Iterations, Reached};
use super::plan::{self, Sums};
use super::problem::{Parts, Problem, Side};
use super::updates::Buffer;
use crate::device::clouds::Clouds;
use crate::device::layout::{Chunk, Layout};
use crate::device::pairwise_cost::{Lists, Products};
use crate::device::parcel::{Delivered, Parcel, Place};
use crate::device::session::Session;
use crate::error::Result;
use crate::registry::{RESIDENT, RESIDENT_CLUSTER};
use crate::sinkhorn::{Acceleration, Call, Fixed};

/// Costs of a chunk: 33 MB of the 50 MB or 60 MB that an L2 cache has.
const CHUNK: usize = 33 << 18;
/// Rows and columns of a warp, and most warps of a pair.
const TILE: u32 = 64;
const MOST_WARPS: u32 = 8;
/// Shared memory of the most warps.
const MOST_SHARED: u32 = Grid { ctas: 1, down: MOST_WARPS, across: 1 }.shared();

/// Potentials of all pairs, and what their plans sum to.
pub(super) struct Solved {
    pub reached: Reached,
    pub sums: Sums,
    /// Plans without gaps, if they were asked for and every pair fits.
    pub plan: Option<Buffer>,
}

/// Solves every pair. Those without mass have zeros, after no iteration.
pub(super) fn solve(
    problem: &Problem<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    fixed: &Fixed,
    wants_plan: bool,
) -> Result<Solved> {
    let (session, all) = (&problem.session, &problem.layout);
    let with_mass = (0..call.pairs()).filter(|&k| call.has_mass(k));
    let (fit, rest): (Vec<_>, Vec<_>) =
        with_mass.partition(|&k| Grid::of(session, all, k).is_some());
    let zeros = |side| session.zeros(problem.len(side));
    let mut out = Results {
        f: zeros(Side::Rows)?,
        g: zeros(Side::Columns)?,
        rows: zeros(Side::Rows)?,
        columns: zeros(Side::Columns)?,
        iterations: session.zeros(call.pairs())?,
        entropy: None,
        plan: None,
    };
    if wants_plan && fit.len() == call.pairs() {
        out.entropy = Some(session.room(problem.len(Side::Rows))?);
        out.plan = Some(session.room(all.cost_starts[fit.len()])?);
    }
    if !fit.is_empty() {
        out.of_registers(problem, call, clouds, fixed, &fit)?;
    }
    if !rest.is_empty() {
        out.of_log_domain(problem, call, clouds, fixed, &rest)?;
    }
    let Results { f, g, rows, mut columns, iterations, entropy, plan } = out;
    if let Some(plan) = &plan {
        columns = plan::of_columns(problem, plan)?;
    }
    let reached = Reached { f, g, before: None, iterations: Iterations::Counted(iterations) };
    Ok(Solved { reached, sums: Sums { rows, columns, entropy }, plan })
}

/// What belongs to all pairs, on the device.
struct Results {
    f: Buffer,
    g: Buffer,
    rows: Buffer,
    columns: Buffer,
    iterations: DeviceBuffer<u32>,
    entropy: Option<Buffer>,
    plan: Option<Buffer>,
}

impl Results {
    fn of_registers(
        &mut self,
        problem: &Problem<'_>,
        call: &Call<'_>,
        clouds: &Clouds<'_>,
        fixed: &Fixed,
        which: &[usize],
    ) -> Result<()> {
        let session = &problem.session;
        let all = &problem.layout;
        let layout = if which.len() == all.pairs.len() {
            let (x, y) = (call.x.offsets, call.y.offsets);
            Layout::padded(session.op, x, y, call.options.pairing, CHUNK)?
        } else {
            all.some_padded(session.op, which, CHUNK)?
        };
        let mut parcel = Parcel::default();
        let lists = Lists::put(session, &layout, &mut parcel);
        let of_chunk = |chunk| Queue::of_chunk(session, &layout, chunk, which, &mut parcel);
        let queues: Vec<Vec<Queue>> = layout.chunks.iter().map(of_chunk).collect();
        let count = queues.iter().map(Vec::len).sum();
        let (delivered, tickets) = (parcel.send(session)?, session.zeros::<u32>(count)?);
        let products = Products::new(session, clouds, call.options.cost)?;
        let mut cost = session.room(layout.most_costs())?;
        let mut ticket = tickets.address();
        for (chunk, queues) in queues.iter().enumerate() {
            products.write(session, &layout, &delivered, &lists, chunk, &mut cost)?;
            for queue in queues {
                self.launch(problem, fixed, &cost, queue, (&delivered, ticket))?;
                ticket += 4;
            }
            if let (Some(plan), Some(entropy)) = (&mut self.plan, &mut self.entropy) {
                let (pairs, values) = (delivered.at(lists.pairs), Arg::from(&cost));
                let costs = plan::Costs { values, pairs, pad: layout.pad };
                let rows = layout.rows_of(&layout.chunks[chunk]);
                let (potentials, sums) = ([&self.f, &self.g], [&mut self.rows, entropy]);
                plan::of_some_rows(problem, plan.into(), &costs, potentials, sums, rows)?;
            }
        }
        Ok(())
    }

    fn launch(
        &mut self,
        problem: &Problem<'_>,
        fixed: &Fixed,
        cost: &Buffer,
        queue: &Queue,
        (delivered, ticket): (&Delivered, u64),
    ) -> Result<()> {
        let session = &problem.session;
        let clusters = queue.grid.ctas == 2;
        let kernel = session.kernel(if clusters { &RESIDENT_CLUSTER } else { &RESIDENT })?;
        let (threads, shared) = (32 * queue.grid.warps(), queue.grid.shared());
        // The same for every launch: another thread may be about to ask for more.
        session.gpu(kernel.set_dynamic_shared(MOST_SHARED))?;
        let at_once = session.gpu(kernel.blocks_per_sm(threads, shared))?;
        let at_once = at_once.max(1) * session.stream.device().facts().sm_count;
        let damping = 1.0 / (1.0 + problem.eps / problem.rho);
        let args = args![
            &mut self.f,
            &mut self.g,
            &mut self.rows,
            &mut self.columns,
            &mut self.iterations,
            cost,
            problem.weights(Side::Rows),
            problem.weights(Side::Columns),
            delivered.at(queue.jobs),
            Arg::address(ticket),
            queue.count,
            queue.grid.across.trailing_zeros(),
            u32::try_from(fixed.max_iters).unwrap_or(u32::MAX - 1),
            u32::from(fixed.acceleration != Acceleration::Plain),
            problem.scalars.scale,
            (problem.eps * std::f64::consts::LN_2) as f32,
            damping as f32,
            (problem.eps / problem.rho) as f32,
            fixed.tol as f32,
        ];
        let pairs = queue.count.min((at_once / queue.grid.ctas).max(1));
        let launch = Launch::linear(pairs * queue.grid.ctas, threads).dynamic_shared(shared);
        let launch = if clusters { launch.cluster([2, 1, 1]) } else { launch };
        // SAFETY: the jobs are of pairs with mass that fit the grid, whose costs are those of the chunk;
        // the rest has the sizes of the layout of all pairs, and the ticket is 0.
        unsafe { session.launch(&kernel, launch, args) }
    }

    fn of_log_domain(
        &mut self,
        problem: &Problem<'_>,
        call: &Call<'_>,
        clouds: &Clouds<'_>,
        fixed: &Fixed,
        which: &[usize],
    ) -> Result<()> {
        let session = problem.session;
        let layout = problem.layout.some(session.op, which)?;
        let weights = [&call.x.weights[..], &call.y.weights[..]];
        let blocks = [Vec::new(), Vec::new()];
        let parts = Parts { weights, rho: call.rho, blocks, upstream: None };
        let some = Problem::of(session, layout, problem.eps, parts)?;
        let cost = some.costs(clouds, call.options.cost)?;
        let mut reached = iterate::solve(&some, &cost, fixed)?;
        let sums = plan::sums_alone(&some, &cost, &mut reached)?;
        let copy = |to: &mut Buffer, at: usize, from: DeviceSlice<'_, f32>| {
            let mut to = session.gpu(to.slice_mut(at..at + from.len()))?;
            session.gpu(to.copy_from(session.stream, from))
        };
        for (at, &k) in which.iter().enumerate() {
            let (own, to) = (some.layout.potentials(at), problem.layout.potentials(k));
            copy(&mut self.f, to.0.start, session.gpu(reached.f.slice(own.0.clone()))?)?;
            copy(&mut self.g, to.1.start, session.gpu(reached.g.slice(own.1.clone()))?)?;
            copy(&mut self.rows, to.0.start, session.gpu(sums.rows.slice(own.0))?)?;
            copy(&mut self.columns, to.1.start, session.gpu(sums.columns.slice(own.1))?)?;
            if let Iterations::Counted(counts) = &reached.iterations {
                let mut to = session.gpu(self.iterations.slice_mut(k..=k))?;
                session.gpu(to.copy_from(session.stream, session.gpu(counts.slice(at..=at))?))?;
            }
        }
        Ok(())
    }
}

/// Warps of a pair: `down` by `across` in each of its CTAs, which are side by side. `across` is a power
/// of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Grid {
    ctas: u32,
    down: u32,
    across: u32,
}

impl Grid {
    /// The warps of a pair, if there are as many.
    fn of(session: &Session<'_>, layout: &Layout, k: usize) -> Option<Self> {
        let [_, n, _, m, ..] = layout.pairs[k];
        let capability = session.stream.device().facts().compute_capability;
        let has_clusters = (capability.major, capability.minor) == (9, 0);
        Self::of_size(n, m, if has_clusters { 2 } else { 1 })
    }

    /// The warps of `n` by `m` points in at most so many CTAs.
    fn of_size(n: u32, m: u32, most_ctas: u32) -> Option<Self> {
        let down = n.div_ceil(TILE);
        let across = m.div_ceil(TILE).checked_next_power_of_two()?;
        let warps = down.checked_mul(across)?;
        let ctas = if warps <= MOST_WARPS { 1 } else { 2 };
        let fits = ctas <= most_ctas && across >= ctas && warps <= ctas * MOST_WARPS;
        fits.then_some(Self { ctas, down, across: across / ctas })
    }

    /// Warps of a CTA.
    const fn warps(self) -> u32 {
        self.down * self.across
    }

    /// Bytes of shared memory, as the head of the kernel says.
    const fn shared(self) -> u32 {
        16640 * self.warps() + 256 * (self.down + self.across) + 256
    }
}

/// Pairs of one grid in one chunk.
struct Queue {
    grid: Grid,
    jobs: Place,
    count: u32,
}

impl Queue {
    /// A queue for each grid, the largest first, and in each of them the largest pairs first.
    fn of_chunk(
        session: &Session<'_>,
        layout: &Layout,
        chunk: &Chunk,
        which: &[usize],
        parcel: &mut Parcel,
    ) -> Vec<Self> {
        let grid = |k: usize| Grid::of(session, layout, k).expect("pairs that fit were chosen");
        let mut pairs: Vec<usize> = chunk.pairs.clone().collect();
        let area = |k: usize| u64::from(layout.pairs[k][1]) * u64::from(layout.pairs[k][3]);
        pairs.sort_by_key(|&k| {
            std::cmp::Reverse((grid(k).ctas * grid(k).warps(), grid(k), area(k)))
        });
        let same = |a: &usize, b: &usize| grid(*a) == grid(*b);
        let queue = |pairs: &[usize]| {
            let job = |&k: &usize| {
                let [a, b, c, d, e, f, g, h] = layout.pairs[k];
                [a, b, c, d, e, f, g, h, which[k] as u32, 0, 0, 0]
            };
            let jobs: Vec<[u32; 12]> = pairs.iter().map(job).collect();
            Self { grid: grid(pairs[0]), jobs: parcel.put(&jobs), count: pairs.len() as u32 }
        };
        pairs.chunk_by(same).map(queue).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_take_as_few_warps_as_hold_them() {
        let grid =
            |n, m, ctas| Grid::of_size(n, m, ctas).map(|grid| (grid.ctas, grid.down, grid.across));
        assert_eq!(grid(1, 1, 1), Some((1, 1, 1)));
        assert_eq!(grid(64, 257, 1), Some((1, 1, 8)), "a power of two");
        assert_eq!(grid(129, 65, 1), Some((1, 3, 2)));
        assert_eq!(grid(128, 512, 1), None);
        assert_eq!(grid(128, 512, 2), Some((2, 2, 4)));
        assert_eq!(grid(512, 128, 2), Some((2, 8, 1)));
        assert_eq!(grid(513, 64, 2), None, "one column of warps is not cut");
        assert_eq!((grid(129, 257, 2), grid(1, u32::MAX, 2)), (None, None));
        // An A100 has 163 KiB for a CTA.
        assert_eq!(MOST_SHARED, 135_680);
    }
}
