//! Gradients of one problem by the envelope theorem.

use super::problem::{Problem, column_sums, row_sums};
use super::solve::{Solution, SolveOptions};
use crate::error::{KernelError, Result};

/// Gradients of [`Solution::value`] with respect to what the problem was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// `(N, M)`: the plan. [`point_gradients`](super::point_gradients) turns it into those of
    /// points.
    pub cost: Vec<f64>,
    /// `(N,)`, exactly 0 at weights of 0.
    pub a: Vec<f64>,
    /// `(M,)`, exactly 0 at weights of 0.
    pub b: Vec<f64>,
    /// `KL(P | ab)`.
    pub eps: f64,
}

/// Computes the gradients of the dual value at the potentials that a solver reached.
///
/// The value is a function of `(C, a, b, eps)` and of potentials; at the optimum it is stationary
/// in the potentials, so they are held:
///
/// ```text
/// d / d C_ij = P_ij                  d / d eps = KL(P | ab)
/// d / d a_i  = w(f_i) - eps ((P 1)_i / a_i - sum b)      w(h) = h, or rho (1 - exp(-h / rho))
/// d / d b_j  = w(g_j) - eps ((P' 1)_j / b_j - sum a)
/// ```
///
/// With unit sums and marginals that fit, `d / d a` is `f`. Short of convergence these are still
/// the exact gradients of the value that was reported, at the potentials that were reported.
///
/// # Shapes
///
/// As [`solve`](super::solve); `solution` is what it returned for the same arguments.
///
/// # Errors
///
/// As [`solve`](super::solve), and [`Shape`](crate::ErrorKind::Shape) when `solution` is of another
/// shape.
///
/// # Numerics
///
/// A balanced problem only defines `d / d a` and `d / d b` up to a constant that moves between
/// them, as it does its potentials: use them along changes that keep both sums equal. The row and
/// column sums used are those of the plan itself.
///
/// # Source
///
/// Danskin's theorem; Feydy et al. 2019, arXiv:1810.08278.
pub fn gradients(
    solution: &Solution,
    cost: &[f64],
    a: &[f64],
    b: &[f64],
    options: SolveOptions,
) -> Result<Gradients> {
    let problem = Problem::new(cost, a, b, options.eps, options.rho)?;
    let (n, m) = (a.len(), b.len());
    if (solution.f.len(), solution.g.len(), solution.plan.len()) != (n, m, n * m) {
        let (got_n, got_m) = (solution.f.len(), solution.g.len());
        let detail = format!("solution is of ({got_n}, {got_m}), expected ({n}, {m})");
        return Err(KernelError::shape("sinkhorn", detail));
    }
    let plan = &solution.plan;
    if problem.is_empty() {
        return Ok(Gradients { cost: plan.clone(), a: vec![0.0; n], b: vec![0.0; m], eps: 0.0 });
    }
    let side = |weights: &[f64], potential: &[f64], sums: Vec<f64>, other: &[f64]| {
        let other: f64 = other.iter().sum();
        let one = |k: usize| match weights[k] {
            0.0 => 0.0,
            w => problem.worth(potential[k]) - options.eps * (sums[k] / w - other),
        };
        (0..weights.len()).map(one).collect::<Vec<f64>>()
    };
    Ok(Gradients {
        cost: plan.clone(),
        a: side(a, &solution.f, row_sums(plan, n), b),
        b: side(b, &solution.g, column_sums(plan, m), a),
        eps: problem.plan_kl(plan),
    })
}
