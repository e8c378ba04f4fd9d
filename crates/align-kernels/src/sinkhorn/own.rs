//! Debiasing: each item's problem with itself, solved once for all pairs that it is in.
//!
//! At one temperature an item has one such problem. GeomLoss measures the first temperature of its
//! schedule on each pair, so there an item has one for every pair, on the same costs; with a given
//! diameter it again has one.

use rayon::prelude::*;

use super::cost::{add_product, from_products, products, set_scaled_rows};
use super::lanes::{Lanes, flat, flat_mut, vectors, with_matrices};
use super::options::{Cost, Mode, Options};
use super::output::OwnTrace;
use super::pair::{finish, pulls, values};
use super::point_grads::SideGrads;
use super::problem::Problem;
use super::side::Side;
use super::solved::Solved;
use super::{geomloss, symmetric};
use crate::gradient_sides::GradientSides;

/// What a pair takes off for one of its items.
#[derive(Clone)]
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

/// Costs of the items with themselves, where they stay for a second pass.
pub(super) type Costs = Vec<Vec<Lanes>>;

/// Whether the costs of all items with themselves are few enough to keep: 64 MiB.
pub(super) fn are_few(side: &Side<'_>) -> bool {
    const MOST: usize = 1 << 20;
    let of = |k: usize| side.count(k) * vectors(side.count(k));
    (0..side.items()).map(of).sum::<usize>() <= MOST
}

/// Own problems of a side, and what is asked of them.
pub(super) struct Asked<'s> {
    pub side: &'s Side<'s>,
    pub options: &'s Options,
    /// The problems of each item.
    pub tasks: &'s [Vec<OwnTask>],
    /// Found before.
    pub saved: Option<&'s [Vec<OwnTrace>]>,
}

impl Asked<'_> {
    /// Solves all own problems. Takes the gradients off `grad` where there is one; adds to `costs` where
    /// they are to be kept.
    pub fn solve(&self, grad: Option<&mut SideGrads>, costs: Option<&mut Costs>) -> Vec<Vec<Own>> {
        let shared = grad.map(SideGrads::shared);
        let is_kept = costs.is_some();
        let one = |k: usize| {
            let n = self.side.count(k);
            if self.tasks[k].is_empty() {
                return (Vec::new(), Vec::new());
            }
            with_matrices(n * vectors(n), |cost, tile| {
                self.costs(k, cost);
                let weights = self.side.item_weights(k);
                let problem = Problem::new(cost, weights, weights, self.options.rho());
                let mut total = shared.as_ref().map(|_| Total::new(n));
                let tasks = self.tasks[k].iter().enumerate();
                let owns =
                    tasks.map(|(t, task)| self.one((k, t), task, &problem, tile, &mut total));
                let owns = owns.collect();
                if let (Some(total), Some(grads)) = (total, &shared) {
                    // SAFETY: items do not share points.
                    self.take_off(k, total, unsafe { grads.rows(self.side.range(k)) });
                }
                (owns, if is_kept { cost.to_vec() } else { Vec::new() })
            })
        };
        let (owns, kept): (Vec<_>, Vec<_>) =
            (0..self.side.items()).into_par_iter().map(one).unzip();
        if let Some(costs) = costs {
            *costs = kept;
        }
        owns
    }

    /// Takes the gradients of problems that were solved off `grad`. `costs` may hold those of the items.
    pub fn pull(&self, owns: &[Vec<Own>], grad: &mut SideGrads, costs: &Costs) {
        let grads = grad.shared();
        (0..self.side.items()).into_par_iter().filter(|&k| !owns[k].is_empty()).for_each(|k| {
            let n = self.side.count(k);
            with_matrices(n * vectors(n), |cost, tile| {
                let cost = match costs.get(k) {
                    Some(kept) => &kept[..],
                    None => {
                        self.costs(k, cost);
                        cost
                    }
                };
                let weights = self.side.item_weights(k);
                let problem = Problem::new(cost, weights, weights, self.options.rho());
                let mut total = Total::new(n);
                for (own, task) in owns[k].iter().zip(&self.tasks[k]) {
                    let solved = restored(&problem, &own.trace);
                    if solved.before.is_none() {
                        problem.plan(&solved.at, solved.eps, tile);
                    }
                    let options = self.plain();
                    pulls(&problem, &solved, &options, task.upstream, tile, |_, g, rows, _| {
                        total.add(g, rows);
                    });
                }
                // SAFETY: items do not share points.
                self.take_off(k, total, unsafe { grads.rows(self.side.range(k)) });
            });
        });
    }

    /// Costs of an item with itself.
    fn costs(&self, k: usize, cost: &mut [Lanes]) {
        let (points, norms) = (self.side.item_points(k), self.side.item_norms(k));
        products(points, points, self.side.width, cost);
        from_products(self.options.cost, (norms, norms), true, cost);
    }

    /// Problem `t` of item `k`, whose `G` is added where a total is wanted.
    fn one(
        &self,
        (k, t): (usize, usize),
        task: &OwnTask,
        problem: &Problem<'_>,
        tile: &mut [Lanes],
        total: &mut Option<Total>,
    ) -> Own {
        let trace = self.saved.map(|saved| &saved[k][t]);
        let mut solved = match (trace, self.options.mode) {
            (Some(trace), _) => restored(problem, trace),
            (None, Mode::Fixed(fixed)) => symmetric::solve(problem, &fixed, tile),
            (None, Mode::GeomLoss(_)) => geomloss::solve(problem, &task.schedule),
        };
        // Equal but for rounding; made equal, so that one of them is enough to keep.
        solved.at.g.clone_from(&solved.at.f);
        if let Some(before) = &mut solved.before {
            before.g.clone_from(&before.f);
        }
        let upstream = total.as_ref().map(|_| task.upstream);
        let pull = |_, g: &[Lanes], rows: &[f32], _: &[f32]| {
            if let Some(total) = total {
                total.add(g, rows);
            }
        };
        let (result, _) = finish(problem, &solved, &self.plain(), None, upstream, tile, pull);
        let is_fixed = matches!(self.options.mode, Mode::Fixed(_));
        let report = result.report;
        Own {
            value: report.value / 2.0,
            grad_weights: report.grad_a,
            grad_eps: report.grad_eps / 2.0,
            trace: OwnTrace {
                eps: solved.eps,
                f: values(&solved.at.f, &problem.a, problem.n),
                f_before: (!is_fixed).then(|| result.before.unwrap_or_default().0),
            },
        }
    }

    /// What own problems are finished by. The rows stand for both arguments: the plan is symmetric.
    fn plain(&self) -> Options {
        let gradients = GradientSides::X;
        Options { plan: false, project_x: false, project_y: false, gradients, ..*self.options }
    }

    /// `grad = G points`, less the diagonal for costs that have one.
    fn take_off(&self, k: usize, total: Total, grad: &mut [f32]) {
        let Total { g, mut rows } = total;
        let (n, points, width) = (rows.len(), self.side.item_points(k), self.side.width);
        let share = if self.options.cost == Cost::Cosine { 0.0 } else { -1.0 };
        rows.iter_mut().for_each(|sum| *sum *= share);
        set_scaled_rows(&rows, points, width, grad);
        add_product(1.0, &g, (n, n), false, points, width, grad);
    }
}

/// The sum of all `G` of an item, for one product, and of their row sums.
struct Total {
    g: Vec<Lanes>,
    rows: Vec<f32>,
}

impl Total {
    fn new(n: usize) -> Self {
        Self { g: vec![Lanes::splat(0.0); n * vectors(n)], rows: vec![0.0; n] }
    }

    fn add(&mut self, g: &[Lanes], rows: &[f32]) {
        add(flat_mut(&mut self.g), flat(g));
        add(&mut self.rows, rows);
    }
}

fn add(sums: &mut [f32], part: &[f32]) {
    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
}

fn restored(problem: &Problem<'_>, trace: &OwnTrace) -> Solved {
    let at = problem.potentials(&trace.f, &trace.f);
    let before = trace.f_before.as_ref().map(|f| problem.potentials(f, f));
    Solved { at, before, eps: trace.eps, iterations: 0 }
}
