//! Debiasing: each item's problem with itself, solved once for all pairs that it is in.
//!
//! At one temperature an item has one such problem. GeomLoss measures the first temperature of its
//! schedule on each pair, so there an item has one for every pair, on the same costs; with a given
//! diameter it again has one.

use cpu_math::parallel::SharedMut;
use rayon::prelude::*;

use super::cost::{add_product, from_products, products, set_scaled_rows};
use super::lanes::{Lanes, flat, flat_mut, vectors, with_matrices};
use super::options::{Cost, Mode, Options};
use super::output::OwnTrace;
use super::pair::{Pull, finish, values};
use super::problem::Problem;
use super::side::Side;
use super::solved::Solved;
use super::{geomloss, symmetric};

/// What a pair takes off for one of its items.
pub(super) struct Own {
    pub value: f64,
    /// By the weights, and by eps.
    pub grad_weights: Vec<f64>,
    pub grad_eps: f64,
    pub trace: OwnTrace,
}

/// One problem to solve: its schedule, and the summed upstream weights of the pairs it serves.
pub(super) struct OwnTask {
    pub schedule: Vec<f64>,
    pub upstream: f32,
}

/// Solves all own problems of a side. `tasks` holds those of each item; `saved` what an earlier call
/// found. Takes the gradients off `grad: (N, D)` where there is one.
pub(super) fn solve(
    side: &Side<'_>,
    options: &Options,
    tasks: &[Vec<OwnTask>],
    saved: Option<&[Vec<OwnTrace>]>,
    grad: Option<&mut [f32]>,
) -> Vec<Vec<Own>> {
    let grad = grad.map(SharedMut::new);
    let one = |k: usize| {
        let (points, norms) = (side.item_points(k), side.item_norms(k));
        let n = norms.len();
        if tasks[k].is_empty() {
            return Vec::new();
        }
        with_matrices(n * vectors(n), |cost, tile| {
            products(points, points, side.width, cost);
            from_products(options.cost, (norms, norms), true, cost);
            let weights = side.item_weights(k);
            let problem = Problem::new(cost, weights, weights, options.rho());
            // The sum of all `G`, for one product, and of their row sums.
            let mut total = vec![Lanes::splat(0.0); if grad.is_some() { tile.len() } else { 0 }];
            let mut total_rows = vec![0f32; n];
            let each = |(t, task): (usize, &OwnTask)| {
                let trace = saved.map(|saved| &saved[k][t]);
                let mut solved = match (trace, options.mode) {
                    (Some(trace), _) => restored(&problem, trace),
                    (None, Mode::Fixed(fixed)) => symmetric::solve(&problem, &fixed, tile),
                    (None, Mode::GeomLoss(_)) => geomloss::solve(&problem, &task.schedule),
                };
                // Equal but for rounding; made equal, so that one of them is enough to keep.
                solved.at.g.clone_from(&solved.at.f);
                if let Some(before) = &mut solved.before {
                    before.g.clone_from(&before.f);
                }
                let upstream = grad.as_ref().map(|_| task.upstream);
                let plain = Options { plan: false, project_x: false, project_y: false, ..*options };
                let result =
                    finish(&problem, &solved, &plain, None, upstream, tile, |pull, g, rows, _| {
                        // The rows stand for both arguments: the plan is symmetric.
                        if pull != Pull::Columns {
                            add(flat_mut(&mut total), flat(g));
                            add(&mut total_rows, rows);
                        }
                    });
                let fixed = matches!(options.mode, Mode::Fixed(_));
                let report = result.report;
                Own {
                    value: report.value / 2.0,
                    grad_weights: report.grad_a,
                    grad_eps: report.grad_eps / 2.0,
                    trace: OwnTrace {
                        eps: solved.eps,
                        f: values(&solved.at.f, &problem.a, n),
                        f_before: (!fixed).then(|| result.before.unwrap_or_default().0),
                    },
                }
            };
            let owns = tasks[k].iter().enumerate().map(each).collect();
            if let Some(grad) = &grad {
                // SAFETY: items do not share rows.
                let out = unsafe {
                    let at = grad.pointer(side.offsets[k] * side.width);
                    std::slice::from_raw_parts_mut(at, n * side.width)
                };
                let share = if options.cost == Cost::Cosine { 0.0 } else { -1.0 };
                total_rows.iter_mut().for_each(|sum| *sum *= share);
                set_scaled_rows(&total_rows, points, side.width, out);
                add_product(1.0, &total, (n, n), false, points, side.width, out);
            }
            owns
        })
    };
    (0..side.items()).into_par_iter().map(one).collect()
}

fn add(sums: &mut [f32], part: &[f32]) {
    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
}

fn restored(problem: &Problem<'_>, trace: &OwnTrace) -> Solved {
    let at = problem.potentials(&trace.f, &trace.f);
    let before = trace.f_before.as_ref().map(|f| problem.potentials(f, f));
    Solved { at, before, eps: trace.eps, iterations: 0 }
}
