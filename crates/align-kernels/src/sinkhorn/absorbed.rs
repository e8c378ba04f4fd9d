//! The iteration in absorbed kernel form, at one temperature.
//!
//! With `K = exp((f + g - C) / eps)` held, `v = 1 / (K' (a u))` and `u = 1 / (K (b v))` are sums of
//! products; no exponential is taken until the scalings have moved so far that `K` must be made anew
//! with them absorbed into `f` and `g`.
//!
//! # Source
//!
//! Schmitzer 2019, arXiv:1610.06519, section 3 (stabilised scaling); Sejourne et al. 2019,
//! arXiv:1910.12958 (unbalanced).

use super::anderson::Anderson;
use super::kernels;
use super::lanes::{Lanes, flat, flat_mut};
use super::options::{Acceleration, Fixed};
use super::problem::{Potentials, Problem, vec_range};
use super::relaxation::Relaxation;
use super::scaling::{Damped, Exact, Relaxed, Rule, Scaling, Seen};
use super::solved::Solved;

/// Scalings past `2^40` are absorbed: a term that is 0 in `K` would then still be below `2^-46`.
const LARGEST_DRIFT: f32 = 40.0;

/// Solves one problem. `kernel` is work memory of the cost's size.
pub(super) fn solve(problem: &Problem<'_>, fixed: &Fixed, kernel: &mut [Lanes]) -> Solved {
    let eps = fixed.eps;
    let mut at = problem.zero_potentials();
    if fixed.max_iters == 0 {
        return Solved { at, before: None, eps, iterations: 0 };
    }
    problem.log_columns(&mut at, eps);
    problem.log_rows(&mut at, eps);
    let mut iterations = 1;
    if fixed.max_iters == 1 || has_nan(&at.f) {
        return Solved { at, before: None, eps, iterations };
    }
    let mut state = Absorbed::new(problem, at, eps, kernel);
    let mut relaxation = Relaxation::new(fixed.acceleration == Acceleration::OverRelaxation);
    let mut anderson = match fixed.acceleration {
        Acceleration::Anderson { memory } => Some(Anderson::new(memory)),
        _ => None,
    };
    // What the rows lack after an update that went past their fit.
    let mut row_error = 0.0;
    while iterations < fixed.max_iters {
        // The last rows always fit, to columns that the map alone led to.
        let is_last = iterations + 1 == fixed.max_iters;
        let omega = if is_last { 1.0 } else { relaxation.omega() };
        state.keep_columns();
        let from = anderson.is_some().then(|| state.column_potentials());
        let columns = state.update_columns(omega);
        if !columns.sound {
            state.restart_from_rows();
            anderson.iter_mut().for_each(Anderson::clear);
        } else {
            let error = columns.error + row_error;
            if error <= fixed.tol {
                state.restore_columns();
                break;
            }
            relaxation.observe(error);
            let accelerated = anderson.as_mut().zip(from).and_then(|(anderson, from)| {
                let mapped = || state.column_potentials();
                anderson
                    .retreat(error)
                    .or_else(|| (!is_last).then(|| anderson.step(&from, mapped(), error)))
            });
            if let Some(to) = accelerated {
                state.set_column_potentials(&to);
            } else if columns.drift > LARGEST_DRIFT {
                state.absorb();
            }
            let rows = state.update_rows(omega);
            row_error = (omega - 1.0).abs() * rows.error;
            if !rows.sound {
                state.restart_from_columns();
                row_error = 0.0;
            } else if rows.drift > LARGEST_DRIFT {
                state.absorb();
            }
        }
        iterations += 1;
        if state.broken {
            break;
        }
    }
    Solved { at: state.into_potentials(), before: None, eps, iterations }
}

/// Potentials, the kernel that holds them, and scalings on top.
struct Absorbed<'p, 'c, 'k> {
    problem: &'p Problem<'c>,
    at: Potentials,
    eps: f64,
    kernel: &'k mut [Lanes],
    u: Vec<Lanes>,
    v: Vec<Lanes>,
    /// `a u` and `b v`.
    row_mass: Vec<Lanes>,
    column_mass: Vec<Lanes>,
    /// `(1 - damping) f / eps`, and of `g`: what unbalanced updates pull by.
    row_shift: Vec<Lanes>,
    column_shift: Vec<Lanes>,
    /// `K' (a u)`.
    column_sums: Vec<Lanes>,
    kept: (Vec<Lanes>, Vec<Lanes>),
    /// Whether NaN was met.
    broken: bool,
    /// Whether the last sweep began at the last rows.
    backwards: bool,
}

impl<'p, 'c, 'k> Absorbed<'p, 'c, 'k> {
    fn new(problem: &'p Problem<'c>, at: Potentials, eps: f64, kernel: &'k mut [Lanes]) -> Self {
        let ones = |side: &[Lanes]| vec![Lanes::splat(1.0); side.len()];
        let zeros = |side: &[Lanes]| vec![Lanes::splat(0.0); side.len()];
        let (a, b) = (&problem.a, &problem.b);
        let mut state = Self {
            problem,
            at,
            eps,
            kernel,
            u: ones(a),
            v: ones(b),
            row_mass: a.clone(),
            column_mass: b.clone(),
            row_shift: zeros(a),
            column_shift: zeros(b),
            column_sums: Vec::new(),
            kept: (Vec::new(), Vec::new()),
            broken: false,
            backwards: false,
        };
        state.rebuild();
        state
    }

    fn damping(&self) -> f64 {
        self.problem.damping(self.eps)
    }

    fn keep_columns(&mut self) {
        self.kept.0.clone_from(&self.v);
        self.kept.1.clone_from(&self.column_mass);
    }

    fn restore_columns(&mut self) {
        std::mem::swap(&mut self.v, &mut self.kept.0);
        std::mem::swap(&mut self.column_mass, &mut self.kept.1);
    }

    /// Potentials of the columns, scalings included; 0 where there is no mass.
    fn column_potentials(&self) -> Vec<f64> {
        let values = flat(&self.at.g).iter().zip(flat(&self.v));
        let value = |(&g, &v): (&f32, &f32)| match g {
            f32::NEG_INFINITY => 0.0,
            _ => f64::from(g) + self.eps * f64::from(v).ln(),
        };
        values.map(value).collect()
    }

    /// Takes the columns to these potentials, by their scalings if these stay in range.
    fn set_column_potentials(&mut self, potentials: &[f64]) {
        let far = f64::from(LARGEST_DRIFT) * std::f64::consts::LN_2 * self.eps;
        let given = flat(&self.at.g).iter().zip(potentials);
        let mut moves = given.filter(|(g, _)| **g != f32::NEG_INFINITY);
        if moves.any(|(g, to)| (to - f64::from(*g)).abs() > far) {
            for (g, &to) in flat_mut(&mut self.at.g).iter_mut().zip(potentials) {
                *g = if *g == f32::NEG_INFINITY { *g } else { to as f32 };
            }
            fold(&mut self.at.f, &self.u, self.eps);
            return self.rebuild();
        }
        let slots = flat_mut(&mut self.v).iter_mut().zip(flat_mut(&mut self.column_mass));
        let given = flat(&self.at.g).iter().zip(flat(&self.problem.b)).zip(potentials);
        for ((v, mass), ((&g, &b), &to)) in slots.zip(given) {
            if g != f32::NEG_INFINITY {
                *v = ((to - f64::from(g)) / self.eps).exp() as f32;
                *mass = b * *v;
            }
        }
    }

    /// Moves the scalings into the potentials and makes the kernel anew.
    fn absorb(&mut self) {
        fold(&mut self.at.f, &self.u, self.eps);
        fold(&mut self.at.g, &self.v, self.eps);
        self.rebuild();
    }

    /// A column sum cannot be trusted: takes a whole iteration in the log domain.
    fn restart_from_rows(&mut self) {
        fold(&mut self.at.f, &self.u, self.eps);
        self.problem.log_columns(&mut self.at, self.eps);
        self.problem.log_rows(&mut self.at, self.eps);
        self.rebuild();
    }

    /// A row sum cannot be trusted: updates the rows in the log domain.
    fn restart_from_columns(&mut self) {
        fold(&mut self.at.g, &self.v, self.eps);
        self.problem.log_rows(&mut self.at, self.eps);
        self.rebuild();
    }

    fn rebuild(&mut self) {
        self.broken = has_nan(&self.at.f) || has_nan(&self.at.g);
        self.u.fill(Lanes::splat(1.0));
        self.v.fill(Lanes::splat(1.0));
        self.row_mass.clone_from(&self.problem.a);
        self.column_mass.clone_from(&self.problem.b);
        if self.problem.rho.is_finite() {
            let pull = ((1.0 - self.damping()) / self.eps) as f32;
            pulled(&self.at.f, pull, &mut self.row_shift);
            pulled(&self.at.g, pull, &mut self.column_shift);
        }
        self.column_sums = self.problem.absorb(&self.at, self.eps, self.kernel);
    }

    fn update_columns(&mut self, omega: f64) -> Seen {
        let side = Scaling {
            weight: &self.problem.b,
            shift: &self.column_shift,
            scale: &mut self.v,
            mass: &mut self.column_mass,
        };
        let (omega, damping) = (omega as f32, self.problem.damping(self.eps) as f32);
        if self.problem.rho.is_finite() {
            kernels::update(Damped { omega, damping }, &self.column_sums, side)
        } else if omega == 1.0 {
            kernels::update(Exact, &self.column_sums, side)
        } else {
            kernels::update(Relaxed { omega }, &self.column_sums, side)
        }
    }

    fn update_rows(&mut self, omega: f64) -> Seen {
        let (omega, damping) = (omega as f32, self.damping() as f32);
        if self.problem.rho.is_finite() {
            self.sweep(Damped { omega, damping })
        } else if omega == 1.0 {
            self.sweep(Exact)
        } else {
            self.sweep(Relaxed { omega })
        }
    }

    fn sweep<R: Rule>(&mut self, rule: R) -> Seen {
        // A sweep that turns round finds in the cache what the one before it read last.
        self.backwards = !self.backwards;
        let (problem, v, backwards) = (self.problem, &self.column_mass, self.backwards);
        let (weight, shift) = (&problem.a, &self.row_shift);
        let step = problem.part_rows();
        if problem.n <= step {
            let (scale, mass) = (&mut self.u[..], &mut self.row_mass[..]);
            let rows = Scaling { weight, shift, scale, mass };
            let sums = &mut self.column_sums;
            return kernels::sweep(rule, backwards, self.kernel, v, rows, sums);
        }
        let vectors = vec_range(&(0..step)).len();
        let scalings = self.u.chunks_mut(vectors).zip(self.row_mass.chunks_mut(vectors));
        let scalings: Vec<_> = scalings.map(|pair| std::sync::Mutex::new(Some(pair))).collect();
        let work = |rows: std::ops::Range<usize>, kernel: &mut [Lanes], columns: &mut [Lanes]| {
            let range = vec_range(&rows);
            // Each part takes its own scalings, once.
            let mut slot = scalings[rows.start / step].lock().unwrap_or_else(|e| e.into_inner());
            let (scale, mass) = slot.take().unwrap_or_default();
            let rows =
                Scaling { weight: &weight[range.clone()], shift: &shift[range], scale, mass };
            kernels::sweep(rule, backwards, kernel, v, rows, columns)
        };
        let (seen, sums) = problem.over_parts_from(self.kernel, backwards, work);
        self.column_sums = sums;
        let none = Seen { error: 0.0, sound: true, drift: 0.0 };
        seen.into_iter().fold(none, Seen::join)
    }

    fn into_potentials(mut self) -> Potentials {
        fold(&mut self.at.f, &self.u, self.eps);
        fold(&mut self.at.g, &self.v, self.eps);
        self.at
    }
}

/// `h += eps ln scale`.
pub(super) fn fold(h: &mut [Lanes], scale: &[Lanes], eps: f64) {
    for (h, &s) in flat_mut(h).iter_mut().zip(flat(scale)) {
        if s != 1.0 {
            *h = (f64::from(*h) + eps * f64::from(s).ln()) as f32;
        }
    }
}

/// `out = h times pull`, 0 where there is no mass.
pub(super) fn pulled(h: &[Lanes], pull: f32, out: &mut [Lanes]) {
    for (out, &h) in flat_mut(out).iter_mut().zip(flat(h)) {
        *out = if h == f32::NEG_INFINITY { 0.0 } else { h * pull };
    }
}

pub(super) fn has_nan(h: &[Lanes]) -> bool {
    flat(h).iter().any(|h| h.is_nan())
}
