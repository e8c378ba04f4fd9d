//! Iterations until every pair is done.

use gpu_runtime::DeviceBuffer;

use super::problem::{Problem, Side};
use super::stream::Streamed;
use super::updates::{Buffer, Progress, Updates};
use crate::error::Result;
use crate::sinkhorn::{Fixed, Output};

/// Iterations between two looks at the flags, for which the host has to wait for the device.
pub(super) const LOOK_EVERY: usize = 10;

/// Potentials of all pairs, and how they were reached.
pub(super) struct Reached {
    pub f: Buffer,
    pub g: Buffer,
    /// Potentials before the last update, where gradients go through that update alone (GeomLoss).
    pub before: Option<[Buffer; 2]>,
    /// Of each pair; on the device until the end, or from before.
    pub iterations: Iterations,
}

pub(super) enum Iterations {
    Counted(DeviceBuffer<u32>),
    Known(Vec<usize>),
}

/// Solves every pair of a layout, all of which have mass.
pub(super) fn solve(problem: &Problem<'_>, cost: &Buffer, fixed: &Fixed) -> Result<Reached> {
    solve_but(problem, cost, fixed, &vec![0; problem.layout.pairs.len()])
}

/// Solves all pairs but those that are done from the start: flags of 1.
pub(super) fn solve_but(
    problem: &Problem<'_>,
    cost: &Buffer,
    fixed: &Fixed,
    is_done: &[u32],
) -> Result<Reached> {
    let session = &problem.session;
    let streamed = Streamed::new(problem, is_done)?;
    let mut is_done = is_done.to_vec();
    // Streamed pairs are none of this loop's.
    streamed.pairs().for_each(|k| is_done[k] = 1);
    let mut f = session.zeros(problem.len(Side::Rows))?;
    let mut g = session.zeros(problem.len(Side::Columns))?;
    let mut next = session.zeros(problem.len(Side::Columns))?;
    let mut error = session.room(is_done.len())?;
    let (done, iterations) = (session.send(&is_done)?, session.zeros(is_done.len())?);
    let mut progress = Progress { done, iterations };
    let all_done = |flags: &[u32]| flags.iter().all(|&flag| flag != 0);
    if fixed.max_iters > 0 && !all_done(&is_done) {
        let updates = Updates::new(problem, cost)?;
        updates.columns(&f, &mut g, Some(&progress.done))?;
        for round in 1..=fixed.max_iters {
            let is_last = round == fixed.max_iters;
            updates.rows(&g, &mut f, Some(&progress.done))?;
            updates.columns(&f, &mut next, Some(&progress.done))?;
            let tol = fixed.tol as f32;
            updates.advance((&mut g, &next), &mut error, &mut progress, !is_last, tol)?;
            if round % LOOK_EVERY == 0 && !is_last && all_done(&session.fetch(&progress.done)?) {
                break;
            }
        }
    }
    streamed.solve(problem, cost, fixed, (&mut f, &mut g), &mut progress.iterations)?;
    Ok(Reached { f, g, before: None, iterations: Iterations::Counted(progress.iterations) })
}

/// The potentials of an earlier call.
pub(super) fn restored(problem: &Problem<'_>, saved: &Output) -> Result<Reached> {
    let session = &problem.session;
    let before = match saved.before() {
        Some((f, g)) => Some([session.send(f)?, session.send(g)?]),
        None => None,
    };
    Ok(Reached {
        f: session.send(&saved.f)?,
        g: session.send(&saved.g)?,
        before,
        iterations: Iterations::Known(saved.iterations.clone()),
    })
}
