//! The annealed iteration of GeomLoss: one averaged update of both potentials a temperature.
//!
//! Both updates of a step start from the same potentials, so one exponential an entry serves both:
//! with `E = exp((f + g - C) / eps)`, the update of `f` is `f - eps ln (E b)` and that of `g` is
//! `g - eps ln (E' a)`.
//!
//! # Source
//!
//! GeomLoss 0.3.1, `sinkhorn_loop`; Feydy 2020 (thesis), algorithm 3.5.

use super::lanes::{Lanes, flat, flat_mut};
use super::problem::{Potentials, Problem};
use super::solved::Solved;

/// Sums below this, or above its inverse, are not trusted.
const LEAST_SUM: f32 = 1e-30;

/// Takes one problem through the temperatures of `schedule`, which is not empty.
pub(super) fn solve(problem: &Problem<'_>, schedule: &[f64]) -> Solved {
    let mut at = updated(problem, &problem.zero_potentials(), schedule[0]);
    let mut eps = schedule[0];
    for &next in schedule {
        eps = next;
        let new = updated(problem, &at, eps);
        mean(&mut at.f, &new.f);
        mean(&mut at.g, &new.g);
    }
    // The last update is not averaged: gradients go through it alone.
    let last = updated(problem, &at, eps);
    Solved { at: last, before: Some(at), eps, iterations: schedule.len() }
}

/// Both potentials after a full update from `at`.
fn updated(problem: &Problem<'_>, at: &Potentials, eps: f64) -> Potentials {
    let (rows, columns) = problem.joint_sums(at, eps);
    let mut new = at.clone();
    if sound(&rows, &problem.a) && sound(&columns, &problem.b) {
        let damping = problem.damping(eps);
        shift(&mut new.f, &rows, &problem.a, eps, damping);
        shift(&mut new.g, &columns, &problem.b, eps, damping);
    } else {
        problem.log_rows(&mut new, eps);
        let rows = std::mem::replace(&mut new.f, at.f.clone());
        problem.log_columns(&mut new, eps);
        new.f = rows;
    }
    new
}

fn sound(sums: &[Lanes], weights: &[Lanes]) -> bool {
    let fits = |(&s, &w): (&f32, &f32)| w == 0.0 || (LEAST_SUM..=1.0 / LEAST_SUM).contains(&s);
    flat(sums).iter().zip(flat(weights)).all(fits)
}

/// `h = damping (h - eps ln sum)`, at points with mass.
fn shift(h: &mut [Lanes], sums: &[Lanes], weights: &[Lanes], eps: f64, damping: f64) {
    let values = flat_mut(h).iter_mut().zip(flat(sums)).zip(flat(weights));
    for ((h, &sum), _) in values.filter(|(_, w)| **w != 0.0) {
        *h = (damping * (f64::from(*h) - eps * f64::from(sum).ln())) as f32;
    }
}

fn mean(h: &mut [Lanes], new: &[Lanes]) {
    for (h, &new) in flat_mut(h).iter_mut().zip(flat(new)) {
        *h = (*h + new) / 2.0;
    }
}
