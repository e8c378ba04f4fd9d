//! The problem of a cloud with itself, whose two potentials are one.
//!
//! Each update takes the mean of the old potential and the new one: `u = sqrt(u / (K (a u)))`. It needs
//! one product an iteration and converges in some ten of them.
//!
//! # Source
//!
//! Feydy et al. 2019, arXiv:1810.08278, section 3.1; Knight, Ruiz and Ucar 2014 (symmetric scaling).

use super::absorbed::{fold, has_nan, pulled};
use super::kernels;
use super::lanes::Lanes;
use super::options::Fixed;
use super::problem::{Potentials, Problem, vec_range};
use super::scaling::{Damped, Relaxed, Scaling};
use super::solved::Solved;

/// Largest `|log2 u|` before the scaling is absorbed.
const LARGEST_DRIFT: f32 = 40.0;

/// Solves one problem with `b = a` and a symmetric cost. `kernel` is work memory of the cost's size.
pub(super) fn solve(problem: &Problem<'_>, fixed: &Fixed, kernel: &mut [Lanes]) -> Solved {
    let eps = fixed.eps;
    let damping = problem.damping(eps);
    let mut at = problem.zero_potentials();
    let (mut u, mut mass) = (vec![Lanes::splat(1.0); at.f.len()], problem.a.clone());
    let mut shifts = vec![Lanes::splat(0.0); at.f.len()];
    problem.absorb(&at, eps, kernel);
    let mut iterations = 0;
    while iterations < fixed.max_iters {
        let sums = products(problem, kernel, &mass);
        let kept = u.clone();
        let (omega, weight, shift) = (0.5, &problem.a, &shifts);
        let side = Scaling { weight, shift, scale: &mut u, mass: &mut mass };
        let seen = if problem.rho.is_finite() {
            kernels::update(Damped { omega, damping: damping as f32 }, &sums, side)
        } else {
            kernels::update(Relaxed { omega }, &sums, side)
        };
        // Both marginals carry the error alike.
        if iterations > 0 && seen.sound && 2.0 * seen.error <= fixed.tol {
            u = kept;
            break;
        }
        iterations += 1;
        if !seen.sound {
            fold(&mut at.f, &kept, eps);
            u.fill(Lanes::splat(1.0));
            at.g.clone_from(&at.f);
            problem.log_rows(&mut at, eps);
            halfway(&mut at);
        }
        if !seen.sound || seen.drift > LARGEST_DRIFT {
            fold(&mut at.f, &u, eps);
            at.g.clone_from(&at.f);
            if has_nan(&at.f) {
                break;
            }
            u.fill(Lanes::splat(1.0));
            mass.clone_from(&problem.a);
            pulled(&at.f, ((1.0 - damping) / eps) as f32, &mut shifts);
            problem.absorb(&at, eps, kernel);
        }
    }
    if !has_nan(&at.f) {
        fold(&mut at.f, &u, eps);
    }
    at.g.clone_from(&at.f);
    Solved { at, before: None, eps, iterations }
}

/// `K (a u)`.
fn products(problem: &Problem<'_>, kernel: &mut [Lanes], mass: &[Lanes]) -> Vec<Lanes> {
    let (parts, _) = problem.over_parts(kernel, |rows, kernel, _| {
        let mut out = vec![Lanes::splat(0.0); vec_range(&rows).len()];
        kernels::row_sums(kernel, mass, &mut out);
        out
    });
    parts.concat()
}

/// `f = (f + g) / 2`.
fn halfway(at: &mut Potentials) {
    for (f, g) in at.f.iter_mut().zip(&at.g) {
        f.0.iter_mut().zip(&g.0).for_each(|(f, g)| *f = (*f + g) / 2.0);
    }
}
