//! Gauss-Seidel in the log domain at one fixed temperature.

use super::problem::{Problem, l1};
use crate::error::{KernelError, Result};

/// How to solve one problem at one temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolveOptions {
    /// Entropic temperature, in units of the cost. Finite and above 0.
    pub eps: f64,
    /// Most iterations. 0 leaves both potentials at 0.
    pub max_iters: usize,
    /// Stop once the L1 marginal error is at or below this. 0 runs all iterations.
    pub tol: f64,
    /// Strength of the marginal penalties, in units of the cost: `reach^p`. `None` is balanced.
    pub rho: Option<f64>,
}

/// A solved, or partly solved, problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Row potentials `(N,)`, in units of the cost.
    pub f: Vec<f64>,
    /// Column potentials `(M,)`.
    pub g: Vec<f64>,
    /// `P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps)`, `(N, M)` row-major.
    pub plan: Vec<f64>,
    /// Dual objective at `(f, g)`: a lower bound of the optimum whatever the potentials are.
    pub value: f64,
    /// Primal objective `<P, C> + eps KL(P | ab)`, plus the penalties when unbalanced.
    pub primal: f64,
    /// Iterations done, each one update of `g` and one of `f`.
    pub iterations: usize,
    /// `sum_i |P 1 - a|_i + sum_j |P' 1 - b|_j`; unbalanced, against `a exp(-f / rho)` and
    /// `b exp(-g / rho)`.
    pub marginal_error: f64,
}

impl Solution {
    /// `primal - value`, which is `<f, P 1 - a> + <g, P' 1 - b>` when balanced.
    ///
    /// Unbalanced it is never negative, but for rounding. Balanced, an unconverged plan is not
    /// feasible and the sign is free; the gap is small where the marginal error is.
    pub fn gap(&self) -> f64 {
        self.primal - self.value
    }

    fn of(problem: &Problem<'_>, f: Vec<f64>, g: Vec<f64>, iterations: usize) -> Self {
        let plan = problem.plan(&f, &g);
        Self {
            value: problem.dual(&f, &g, &plan),
            primal: problem.primal(&plan),
            marginal_error: problem.marginal_error(&f, &g, &plan),
            iterations,
            f,
            g,
            plan,
        }
    }

    /// What is returned where a side has no mass.
    fn empty(n: usize, m: usize) -> Self {
        let (f, g, plan) = (vec![0.0; n], vec![0.0; m], vec![0.0; n * m]);
        Self { f, g, plan, value: 0.0, primal: 0.0, iterations: 0, marginal_error: 0.0 }
    }
}

/// Solves one problem by alternating exact updates of the two potentials, columns first.
///
/// From `f = 0`, one iteration is
///
/// ```text
/// g_j = -d eps ln sum_i a_i exp((f_i - C_ij) / eps)
/// f_i = -d eps ln sum_j b_j exp((g_j - C_ij) / eps)      d = 1, or rho / (rho + eps) when unbalanced
/// ```
///
/// so that after each iteration the rows of the plan fit exactly and the columns measure the error.
///
/// # Shapes
///
/// | argument | shape    | dtype | meaning                                     |
/// |----------|----------|-------|---------------------------------------------|
/// | `cost`   | `(N, M)` | f64   | row-major, any real values; `+inf` forbids  |
/// | `a`      | `(N,)`   | f64   | row weights, >= 0, usually of sum 1         |
/// | `b`      | `(M,)`   | f64   | column weights, >= 0, of the same sum       |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when `cost.len() != N * M`;
/// [`Value`](crate::ErrorKind::Value) for a negative or infinite weight;
/// [`Option`](crate::ErrorKind::Option) unless `eps > 0`, `rho > 0` and `tol >= 0`.
///
/// # Numerics
///
/// Potentials of a balanced problem are unique only up to a constant that moves from `f` to `g`:
/// compare plans, or `f_i + g_j`. The value is second order in the error of the potentials. Weights
/// of 0, empty sides, NaN and infinity as in the [module](super) documentation.
///
/// # Source
///
/// Cuturi 2013, arXiv:1306.0895; the log domain and the unbalanced updates: Chizat et al. 2018,
/// arXiv:1607.05816; Sejourne et al. 2019, arXiv:1910.12958.
pub fn solve(cost: &[f64], a: &[f64], b: &[f64], options: SolveOptions) -> Result<Solution> {
    let problem = checked(cost, a, b, options)?;
    if problem.is_empty() {
        return Ok(Solution::empty(a.len(), b.len()));
    }
    let damp = |xs: &[f64]| xs.iter().map(|x| x * problem.damping()).collect::<Vec<f64>>();
    let (mut f, mut g) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let mut iterations = 0;
    let mut softmin = problem.column_softmin(&f);
    while iterations < options.max_iters {
        g = damp(&softmin);
        f = damp(&problem.row_softmin(&g));
        iterations += 1;
        // The next update of g says what the columns sum to now, at no extra cost.
        softmin = problem.column_softmin(&f);
        let columns = sums_from(b, &g, &softmin, options.eps);
        let error = l1(&columns, &problem.column_targets(&g));
        if error <= options.tol || error.is_nan() {
            break;
        }
    }
    Ok(Solution::of(&problem, f, g, iterations))
}

/// Solves the problem of a cloud with itself, whose two potentials are one.
///
/// ```text
/// f_i = (f_i - d eps ln sum_j a_j exp((f_j - C_ij) / eps)) / 2
/// ```
///
/// # Shapes
///
/// As [`solve`] with `b = a`; `cost` is `(N, N)` and symmetric. `f` and `g` of the result are
/// equal.
///
/// # Errors
///
/// As [`solve`].
///
/// # Numerics
///
/// The mean with the old potential keeps the plan symmetric and converges much faster than
/// [`solve`] on the same problem (some ten iterations). Both marginals carry the error alike.
///
/// # Source
///
/// Feydy et al. 2019, arXiv:1810.08278 (the symmetric problem).
pub fn solve_self(cost: &[f64], a: &[f64], options: SolveOptions) -> Result<Solution> {
    let problem = checked(cost, a, a, options)?;
    if problem.is_empty() {
        return Ok(Solution::empty(a.len(), a.len()));
    }
    let mut f = vec![0.0; a.len()];
    let mut iterations = 0;
    let mut softmin = problem.row_softmin(&f);
    while iterations < options.max_iters {
        for (f, s) in f.iter_mut().zip(&softmin) {
            *f = (*f + problem.damping() * s) / 2.0;
        }
        iterations += 1;
        softmin = problem.row_softmin(&f);
        let rows = sums_from(a, &f, &softmin, options.eps);
        let error = 2.0 * l1(&rows, &problem.row_targets(&f));
        if error <= options.tol || error.is_nan() {
            break;
        }
    }
    Ok(Solution::of(&problem, f.clone(), f, iterations))
}

fn checked<'a>(
    cost: &'a [f64],
    a: &'a [f64],
    b: &'a [f64],
    options: SolveOptions,
) -> Result<Problem<'a>> {
    if options.tol < 0.0 || options.tol.is_nan() {
        let detail = format!("tol is {}, expected >= 0", options.tol);
        return Err(KernelError::option("sinkhorn", detail, "0 runs all iterations"));
    }
    Problem::new(cost, a, b, options.eps, options.rho)
}

/// Marginal of the plan of `potential`, from the softmin that would replace it.
fn sums_from(weights: &[f64], potential: &[f64], softmin: &[f64], eps: f64) -> Vec<f64> {
    let sum =
        |((w, h), s): ((&f64, &f64), &f64)| if *w == 0.0 { 0.0 } else { w * ((h - s) / eps).exp() };
    weights.iter().zip(potential).zip(softmin).map(sum).collect()
}
