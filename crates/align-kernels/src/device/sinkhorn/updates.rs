//! The three kernels that iterations are made of.

use gpu_runtime::{Arg, DeviceBuffer, Kernel, Launch, args};

use super::problem::{Problem, Side};
use crate::error::Result;
use crate::registry::{COLUMNS, MARGINAL, ROWS};

/// Numbers in device memory.
pub(super) type Buffer = DeviceBuffer<f32>;

pub(super) struct Updates<'p, 'a> {
    problem: &'p Problem<'a>,
    cost: &'p Buffer,
    rows: Kernel,
    columns: Kernel,
    marginal: Kernel,
}

/// Which pairs are done, and after how many iterations.
pub(super) struct Progress {
    pub done: DeviceBuffer<u32>,
    pub iterations: DeviceBuffer<u32>,
}

impl<'p, 'a> Updates<'p, 'a> {
    pub fn new(problem: &'p Problem<'a>, cost: &'p Buffer) -> Result<Self> {
        let kernel = |variant| problem.session.kernel(variant);
        let (rows, columns, marginal) = (kernel(&ROWS)?, kernel(&COLUMNS)?, kernel(&MARGINAL)?);
        Ok(Self { problem, cost, rows, columns, marginal })
    }

    /// Row potentials from column potentials; pairs that are done keep theirs.
    pub fn rows(&self, g: &Buffer, f: &mut Buffer, done: Option<&DeviceBuffer<u32>>) -> Result<()> {
        self.rows_at(Arg::address(0), g, f, done)
    }

    /// As [`rows`](Self::rows), with scale and factor of each pair, or no address.
    pub fn rows_at(
        &self,
        own_scalars: Arg<'_>,
        g: &Buffer,
        f: &mut Buffer,
        done: Option<&DeviceBuffer<u32>>,
    ) -> Result<()> {
        let Problem { session, layout, scalars, .. } = self.problem;
        let launch = Launch::new([layout.rows.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![
            f,
            self.cost,
            g,
            self.problem.logs(Side::Rows),
            self.problem.logs(Side::Columns),
            self.problem.pairs(),
            self.problem.pair_of_row(),
            flags(done),
            layout.rows,
            scalars.scale,
            scalars.factor,
            own_scalars,
        ];
        // SAFETY: potentials, costs and lists have the sizes of the layout, and every weight a logarithm.
        unsafe { session.launch(&self.rows, launch, args) }
    }

    /// Column potentials from row potentials; pairs that are done keep theirs.
    pub fn columns(
        &self,
        f: &Buffer,
        g: &mut Buffer,
        done: Option<&DeviceBuffer<u32>>,
    ) -> Result<()> {
        self.columns_at(Arg::address(0), f, g, done)
    }

    /// As [`columns`](Self::columns), with scale and factor of each pair, or no address.
    pub fn columns_at(
        &self,
        own_scalars: Arg<'_>,
        f: &Buffer,
        g: &mut Buffer,
        done: Option<&DeviceBuffer<u32>>,
    ) -> Result<()> {
        let Problem { session, scalars, .. } = self.problem;
        let launch = Launch::new([self.problem.strip_count, 1, 1], [32, 8, 1]);
        let args = args![
            g,
            self.cost,
            f,
            self.problem.logs(Side::Rows),
            self.problem.logs(Side::Columns),
            self.problem.pairs(),
            self.problem.strips(),
            flags(done),
            scalars.scale,
            scalars.factor,
            own_scalars,
        ];
        // SAFETY: as for the rows; the strips are those of the layout.
        unsafe { session.launch(&self.columns, launch, args) }
    }

    /// Counts an iteration of every pair that goes on, marks those that are done, and gives the others
    /// the `next` potentials where `commit` says so.
    pub fn advance(
        &self,
        (g, next): (&mut Buffer, &Buffer),
        error: &mut Buffer,
        progress: &mut Progress,
        commit: bool,
        tol: f32,
    ) -> Result<()> {
        let flags = [Arg::from(&mut progress.done), Arg::from(&mut progress.iterations)];
        let sums = Arg::address(0);
        self.measure(Side::Columns, (g, next), sums, error, flags, commit, tol)
    }

    /// Counts an iteration of every symmetric problem that goes on, and marks those that are done: both
    /// marginals carry the error of the rows alike.
    pub fn advance_symmetric(
        &self,
        (f, next): (&mut Buffer, &Buffer),
        error: &mut Buffer,
        progress: &mut Progress,
        tol: f32,
    ) -> Result<()> {
        let flags = [Arg::from(&mut progress.done), Arg::from(&mut progress.iterations)];
        let sums = Arg::address(0);
        self.measure(Side::Rows, (f, next), sums, error, flags, false, tol / 2.0)
    }

    /// What the plan at these potentials sums to, from the potentials of the next update.
    pub fn sums(
        &self,
        side: Side,
        (potential, next): (&mut Buffer, &Buffer),
        error: &mut Buffer,
    ) -> Result<Buffer> {
        let mut sums = self.problem.session.room(self.problem.len(side))?;
        let flags = [Arg::address(0); 2];
        self.measure(side, (potential, next), (&mut sums).into(), error, flags, false, 0.0)?;
        Ok(sums)
    }

    #[expect(clippy::too_many_arguments, reason = "a kernel's parameters")]
    fn measure(
        &self,
        side: Side,
        (potential, next): (&mut Buffer, &Buffer),
        sums: Arg<'_>,
        error: &mut Buffer,
        [done, iterations]: [Arg<'_>; 2],
        commit: bool,
        tol: f32,
    ) -> Result<()> {
        let Problem { session, scalars, .. } = self.problem;
        let launch = Launch::linear(self.problem.pair_count(), 256);
        let args = args![
            potential,
            next,
            self.problem.weights(side),
            sums,
            error,
            self.problem.pairs(),
            done,
            iterations,
            side as u32,
            u32::from(commit),
            scalars.scale,
            scalars.inv_damping,
            scalars.pull,
            tol,
        ];
        // SAFETY: potentials, weights and sums are those of the side; the rest has an entry a pair.
        unsafe { session.launch(&self.marginal, launch, args) }
    }
}

fn flags(done: Option<&DeviceBuffer<u32>>) -> Arg<'_> {
    done.map_or(Arg::address(0), Arg::from)
}
