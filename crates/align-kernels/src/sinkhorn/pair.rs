//! One pair: from a cost tile to its results, and to the matrix `G` that its gradients are made of.

use cpu_math::tile_gemm::gemm_tile;

use super::cost::weigh;
use super::kernels::PlanSums;
use super::lanes::{LANES, Lanes, flat, vectors};
use super::options::{Mode, Options};
use super::problem::{Potentials, Problem};
use super::solved::{Report, Solved};
use super::{absorbed, geomloss};

/// Everything a pair gives back.
pub(super) struct PairResult {
    pub report: Report,
    pub iterations: usize,
    pub eps: f64,
    pub f: Vec<f32>,
    pub g: Vec<f32>,
    pub before: Option<(Vec<f32>, Vec<f32>)>,
    pub plan: Vec<f32>,
    pub projected_x: Vec<f32>,
    pub projected_y: Vec<f32>,
}

/// Row sums of the `G` of the rows and column sums of that of the columns, where gradients are wanted.
#[derive(Default)]
pub(super) struct PullSums {
    pub rows: Vec<f32>,
    pub columns: Vec<f32>,
}

impl PairResult {
    /// The result where a side has no mass: everything is 0.
    pub fn empty(n: usize, m: usize, width: usize, options: &Options) -> Self {
        let (grad_a, grad_b) = (vec![0.0; n], vec![0.0; m]);
        let (value, gap, marginal_error, grad_eps) = (0.0, 0.0, 0.0, 0.0);
        let zeros = |wanted: bool, len: usize| vec![0.0; if wanted { len } else { 0 }];
        let both = || (vec![0.0; n], vec![0.0; m]);
        Self {
            report: Report { value, gap, marginal_error, grad_a, grad_b, grad_eps },
            iterations: 0,
            eps: 1.0,
            f: vec![0.0; n],
            g: vec![0.0; m],
            before: matches!(options.mode, Mode::GeomLoss(_)).then(both),
            plan: zeros(options.plan, n * m),
            projected_x: zeros(options.project_x, n * width),
            projected_y: zeros(options.project_y, m * width),
        }
    }

    /// The potentials, as the solver left them.
    pub fn solved(&self, problem: &Problem<'_>) -> Solved {
        let before = self.before.as_ref().map(|(f, g)| problem.potentials(f, g));
        let at = problem.potentials(&self.f, &self.g);
        Solved { at, before, eps: self.eps, iterations: self.iterations }
    }
}

/// Which side's gradients a matrix `G` makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pull {
    Both,
    Rows,
    Columns,
}

/// Solves a problem as the options say. `schedule` is that of GeomLoss, or empty.
pub(super) fn solve(
    problem: &Problem<'_>,
    options: &Options,
    schedule: &[f64],
    work: &mut [Lanes],
) -> Solved {
    match options.mode {
        Mode::Fixed(fixed) => absorbed::solve(problem, &fixed, work),
        Mode::GeomLoss(_) => geomloss::solve(problem, schedule),
    }
}

/// Reads a result off a solved problem, and passes every `G` to `pull` where `upstream` asks for
/// gradients. `points` are those of the two sides, for projections.
pub(super) fn finish(
    problem: &Problem<'_>,
    solved: &Solved,
    options: &Options,
    points: Option<(&[f32], &[f32], usize)>,
    upstream: Option<f32>,
    tile: &mut [Lanes],
    pull: impl FnMut(Pull, &[Lanes], &[f32], &[f32]),
) -> (PairResult, PullSums) {
    let (n, m) = (problem.n, problem.m);
    let sums = problem.plan(&solved.at, solved.eps, tile);
    let report = solved.report(problem, &options.mode, &sums);
    let mut plan = Vec::new();
    if options.plan {
        let rows = flat(tile).chunks_exact(vectors(m) * LANES);
        plan = rows.flat_map(|row| &row[..m]).copied().collect();
    }
    let (mut projected_x, mut projected_y) = (Vec::new(), Vec::new());
    if let Some((x, y, width)) = points {
        if options.project_x {
            projected_x = project(tile, (n, m), false, y, width, &sums);
        }
        if options.project_y {
            projected_y = project(tile, (n, m), true, x, width, &sums);
        }
    }
    let pull_sums = match upstream {
        Some(weight) => pulls(problem, solved, options, weight, tile, pull),
        None => PullSums::default(),
    };
    let plain = |at: &Potentials| (values(&at.f, &problem.a, n), values(&at.g, &problem.b, m));
    let (f, g) = plain(&solved.at);
    let result = PairResult {
        report,
        iterations: solved.iterations,
        eps: solved.eps,
        f,
        g,
        before: solved.before.as_ref().map(plain),
        plan,
        projected_x,
        projected_y,
    };
    (result, pull_sums)
}

/// Makes `G`, the derivative by the cost: the plan that the value was computed with. With GeomLoss
/// there are two, each through the last update of one side. `tile` holds the plan of `solved.at`, unless
/// they are made anew.
pub(super) fn pulls(
    problem: &Problem<'_>,
    solved: &Solved,
    options: &Options,
    weight: f32,
    tile: &mut [Lanes],
    mut pull: impl FnMut(Pull, &[Lanes], &[f32], &[f32]),
) -> PullSums {
    let (kind, wanted) = (options.cost, options.gradients);
    let Some(before) = &solved.before else {
        let (rows, columns) = weigh(kind, weight, problem.cost, tile, problem.m);
        pull(Pull::Both, tile, &rows, &columns);
        return PullSums { rows, columns };
    };
    let mut sums = PullSums::default();
    if wanted.has_x() {
        let through_rows = Potentials { f: solved.at.f.clone(), g: before.g.clone() };
        problem.plan(&through_rows, solved.eps, tile);
        let (rows, columns) = weigh(kind, weight, problem.cost, tile, problem.m);
        pull(Pull::Rows, tile, &rows, &columns);
        sums.rows = rows;
    }
    if wanted.has_y() {
        let through_columns = Potentials { f: before.f.clone(), g: solved.at.g.clone() };
        problem.plan(&through_columns, solved.eps, tile);
        let (rows, columns) = weigh(kind, weight, problem.cost, tile, problem.m);
        pull(Pull::Columns, tile, &rows, &columns);
        sums.columns = columns;
    }
    sums
}

/// Potentials as plain values, 0 at points without mass.
pub(super) fn values(h: &[Lanes], weights: &[Lanes], len: usize) -> Vec<f32> {
    let values = flat(h)[..len].iter().zip(flat(weights));
    values.map(|(&h, &w)| if w == 0.0 { 0.0 } else { h }).collect()
}

/// Means of `points` under the rows, or columns, of a plan.
fn project(
    plan: &[Lanes],
    (n, m): (usize, usize),
    turned: bool,
    points: &[f32],
    width: usize,
    sums: &PlanSums,
) -> Vec<f32> {
    let stride = vectors(m) * LANES;
    let (rows, inner, strides, sums) =
        if turned { (m, n, (1, stride), &sums.columns) } else { (n, m, (stride, 1), &sums.rows) };
    let mut out = vec![0.0; rows * width];
    let (plan, points) = ((flat(plan), strides), (points, (width, 1)));
    gemm_tile((rows, width, inner), 1.0, plan, points, 0.0, (&mut out, (width, 1)));
    for (row, &sum) in out.chunks_exact_mut(width).zip(sums) {
        let scale = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        row.iter_mut().for_each(|x| *x *= scale);
    }
    out
}
