//! Debiasing on the device: each item's problem with itself, solved once for all pairs that it is in.
//!
//! Problems of one item share their costs, however many there are. One potential is both, and half of
//! what pulls on either argument of a plan is what pulls on one.

use gpu_runtime::{Arg, Launch, args};

use super::course::Course;
use super::geomloss;
use super::gradient::product;
use super::iterate::{Iterations, LOOK_EVERY, Reached};
use super::numbers::{Kind, State, reported};
use super::plan::of_rows;
use super::problem::{Parts, Problem, Side};
use super::schedule::{Schedules, optional};
use super::tasks::Tasks;
use super::updates::{Buffer, Progress, Updates};
use crate::device::clouds::Clouds;
use crate::device::layout::{Layout, blocks};
use crate::device::pairwise_cost::norms;
use crate::device::parcel::Parcel;
use crate::device::points::DevicePoints;
use crate::device::session::Session;
use crate::error::Result;
use crate::registry::OWN_PULL;
use crate::sinkhorn::{Call, Cost, Fixed, Mode, Output, OwnTrace, Pairing};

/// What is asked of the own problems of a side.
pub(super) struct Request<'r> {
    /// 0 for `x`, 1 for `y`.
    pub side: usize,
    pub eps: f64,
    /// Temperatures of pairs, where the mode has some and potentials are not known.
    pub schedules: Option<&'r Schedules>,
    pub saved: Option<&'r Output>,
    /// Whether gradients are wanted, and the weights of the pairs, 1 if none.
    pub gradient: Option<Option<&'r [f32]>>,
}

/// Own problems of a side, on the host.
pub(super) struct Own {
    pub tasks: Tasks,
    /// Value, gap, marginal error and slope of each; the gradients of points are elsewhere.
    pub report: Vec<[f64; 4]>,
    pub layout: Layout,
    pub f: Vec<f32>,
    pub before: Option<Vec<f32>>,
    /// Row sums of the plans, where gradients were asked for.
    pub sums: Vec<f32>,
    pub eps: f64,
}

/// Solves the own problems of a side. The buffer holds half their gradients by the points.
pub(super) fn solve(
    session: Session<'_>,
    call: &Call<'_>,
    points: DevicePoints<'_>,
    request: &Request<'_>,
) -> Result<(Own, Option<Buffer>)> {
    let side = if request.side == 0 { &call.x } else { &call.y };
    let tasks = Tasks::new(call, request.side, request.gradient.flatten());
    let one = Layout::new(session.op, side.offsets, side.offsets, Pairing::Paired)?;
    let layout = Layout::own(session.op, &one, &tasks.items)?;
    let parts = |blocks, upstream| Parts {
        weights: [&side.weights, &side.weights],
        rho: call.rho,
        blocks: [blocks, Vec::new()],
        upstream,
    };
    let wanted = blocks(side.offsets, |k| request.gradient.is_some() && tasks.runs[k][1] > 0);
    let items = Problem::of(session, one, request.eps, parts(wanted, None))?;
    let problem =
        Problem::of(session, layout, request.eps, parts(Vec::new(), Some(&tasks.upstream)))?;
    let clouds = items.clouds(points, points)?;
    let cost = items.costs(&clouds, call.options.cost)?;
    let reached = match (request.saved, request.schedules, call.options.mode) {
        (Some(saved), ..) => restored(&problem, &tasks, saved.own(request.side))?,
        (None, Some(schedules), _) => {
            let schedules = tasks.pairs.iter().map(|&k| schedules.of(k)).collect();
            geomloss::solve(&problem, &cost, &Course { schedules, is_symmetric: true })?
        }
        (None, None, Mode::Fixed(fixed)) => at_one_temperature(&problem, &cost, &fixed)?,
        (None, None, Mode::GeomLoss(_)) => unreachable!("GeomLoss has schedules"),
    };
    let f = &reached.f;
    let (rows, entropy) = of_rows(&problem, Arg::address(0), (&cost).into(), [f, f])?;
    let state = State { potentials: [f, f], sums: [&rows, &rows], entropy: Some(&entropy) };
    let is_annealed = matches!(call.options.mode, Mode::GeomLoss(_));
    let kind = Kind { weights: [&side.weights, &side.weights], is_annealed };
    let grad = match request.gradient {
        Some(_) => {
            Some(pulled(&items, &problem, call, (points, clouds), cost, (&tasks, &reached))?)
        }
        None => None,
    };
    let (f, _, report) = reported(&problem, kind, state)?;
    let before = match &reached.before {
        Some([before, _]) => Some(session.fetch(before)?),
        None => None,
    };
    let sums = if grad.is_some() { session.fetch(&rows)? } else { Vec::new() };
    let layout = problem.layout;
    Ok((Own { tasks, report, layout, f, before, sums, eps: request.eps }, grad))
}

/// The symmetric iteration at one temperature: each update is the mean of the old potential and the
/// new one.
fn at_one_temperature(problem: &Problem<'_>, cost: &Buffer, fixed: &Fixed) -> Result<Reached> {
    let session = &problem.session;
    let tasks = problem.layout.pairs.len();
    let mut f = session.zeros(problem.len(Side::Rows))?;
    let mut next = session.zeros(problem.len(Side::Rows))?;
    let mut error = session.room(tasks)?;
    let (done, iterations) = (session.zeros(tasks)?, session.zeros(tasks)?);
    let mut progress = Progress { done, iterations };
    if fixed.max_iters > 0 && tasks > 0 {
        let updates = Updates::new(problem, cost)?;
        for round in 0..=fixed.max_iters {
            updates.rows(&f, &mut next, Some(&progress.done))?;
            if round > 0 {
                let (tol, both) = (fixed.tol as f32, (&mut f, &next));
                updates.advance_symmetric(both, &mut error, &mut progress, tol)?;
            }
            let is_done = |flags: &[u32]| flags.iter().all(|&flag| flag != 0);
            let is_last = round == fixed.max_iters;
            let looks = round > 0 && round % LOOK_EVERY == 0 && !is_last;
            if is_last || looks && is_done(&session.fetch(&progress.done)?) {
                break;
            }
            let means = [Arg::from(&mut f), Arg::from(&next)];
            geomloss::average(problem, means, &mut progress.done)?;
        }
    }
    let g = session.zeros(0)?;
    Ok(Reached { f, g, before: None, iterations: Iterations::Counted(progress.iterations) })
}

/// The potentials of an earlier call, in the order of the problems.
fn restored(problem: &Problem<'_>, tasks: &Tasks, saved: &[Vec<OwnTrace>]) -> Result<Reached> {
    let session = &problem.session;
    let traces: Vec<&OwnTrace> = tasks
        .runs
        .iter()
        .zip(saved)
        .flat_map(|(run, of)| of.iter().take(run[1] as usize))
        .collect();
    let all = |of: fn(&OwnTrace) -> Option<&Vec<f32>>| -> Vec<f32> {
        traces.iter().filter_map(|trace| of(trace)).flatten().copied().collect()
    };
    let f = all(|trace| Some(&trace.f));
    let f_before = all(|trace| trace.f_before.as_ref());
    let before = match f_before.is_empty() {
        true => None,
        false => Some([session.send(&f_before)?, session.zeros(0)?]),
    };
    let (f, g) = (session.send(&f)?, session.zeros(0)?);
    Ok(Reached { f, g, before, iterations: Iterations::Known(Vec::new()) })
}

/// Gradients by the points of half of all own problems. Takes the costs' memory.
fn pulled(
    items: &Problem<'_>,
    problem: &Problem<'_>,
    call: &Call<'_>,
    (points, clouds): (DevicePoints<'_>, Clouds<'_>),
    cost: Buffer,
    (tasks, reached): (&Tasks, &Reached),
) -> Result<Buffer> {
    let session = &items.session;
    let clouds = super::gradient::wide(items, clouds, points, points)?;
    let kind = call.options.cost;
    let inverses = match kind {
        Cost::Cosine => Some(norms(session, &clouds, &clouds.x, 1)?),
        _ => None,
    };
    let mut starts = vec![0u32; tasks.runs.len()];
    for (start, run) in starts.iter_mut().zip(&tasks.runs).filter(|(_, run)| run[1] > 0) {
        *start = problem.layout.pairs[run[0] as usize][6];
    }
    let mut parcel = Parcel::default();
    let (runs, starts) = (parcel.put(&tasks.runs), parcel.put(&starts));
    let delivered = parcel.send(session)?;
    let before = reached.before.as_ref().map_or(&reached.f, |[before, _]| before);
    let mut matrix = cost;
    let in_place = Arg::address(matrix.address());
    let mut rows = session.room(items.len(Side::Rows))?;
    let kernel = session.kernel(&OWN_PULL)?;
    let launch = Launch::new([items.layout.rows.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![
        &mut matrix,
        &mut rows,
        in_place,
        &reached.f,
        before,
        items.weights(Side::Rows),
        optional(inverses.as_ref()),
        problem.upstream(),
        delivered.at(runs),
        delivered.at(starts),
        items.pairs(),
        items.pair_of_row(),
        items.layout.rows,
        u32::from(kind == Cost::Euclidean),
        items.scalars.scale,
    ];
    // SAFETY: matrix and sums have the sizes of the items with themselves; the potentials of an item's
    // problems follow one another from its start on, as many as it has.
    unsafe { session.launch(&kernel, launch, args)? };
    let sums = (kind != Cost::Cosine).then_some(&rows);
    product(items, &clouds, Side::Rows, [1, 0, 1], (&matrix, sums))
}

impl Own {
    /// What later calls need, item after item.
    pub fn traces(&self) -> Vec<Vec<OwnTrace>> {
        let one = |task: usize| {
            let rows = self.layout.potentials(task).0;
            OwnTrace {
                eps: self.eps,
                f: self.f[rows.clone()].to_vec(),
                f_before: self.before.as_ref().map(|before| before[rows].to_vec()),
            }
        };
        let runs =
            self.tasks.runs.iter().map(|&[first, count]| first as usize..(first + count) as usize);
        runs.map(|run| run.map(one).collect()).collect()
    }
}
