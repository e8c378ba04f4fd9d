//! The debiased divergence at one fixed temperature.

use super::gradient::gradients;
use super::solve::{Solution, SolveOptions, solve, solve_self};
use crate::error::{KernelError, Result};
use crate::reference::pairwise_cost::{
    PointCost, cost_matrix, count, point_gradient, point_gradients,
};

/// A debiased divergence, its three problems and its gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// `S(x, y)`.
    pub value: f64,
    /// The problem between the clouds.
    pub xy: Solution,
    /// The problem of `x` with itself.
    pub xx: Solution,
    /// The problem of `y` with itself.
    pub yy: Solution,
    /// `d value / d x`, `(N, D)`.
    pub grad_x: Vec<f64>,
    /// `d value / d y`, `(M, D)`.
    pub grad_y: Vec<f64>,
    /// `d value / d a`, `(N,)`.
    pub grad_a: Vec<f64>,
    /// `d value / d b`, `(M,)`.
    pub grad_b: Vec<f64>,
    /// `d value / d eps`.
    pub grad_eps: f64,
}

/// Computes the Sinkhorn divergence between two clouds, and its gradients.
///
/// ```text
/// S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2   [+ eps / 2 (sum a - sum b)^2 when unbalanced]
/// ```
///
/// # Shapes
///
/// | argument | shape    | dtype | meaning                           |
/// |----------|----------|-------|-----------------------------------|
/// | `x`      | `(N, D)` | f64   | points of the rows                |
/// | `y`      | `(M, D)` | f64   | points of the columns             |
/// | `width`  | -        | usize | `D`, at least 1                   |
/// | `a`      | `(N,)`   | f64   | weights of `x`, >= 0              |
/// | `b`      | `(M,)`   | f64   | weights of `y`, >= 0              |
///
/// # Errors
///
/// As [`cost_matrix`] and [`solve`](super::solve), and [`Shape`](crate::ErrorKind::Shape) when
/// weights and points differ in number.
///
/// # Numerics
///
/// Each of the three problems stops by itself; the gradients are those of the three dual values at
/// the potentials reached, as in [`gradients`](super::gradients). Converged it is >= 0 for all
/// three costs but for rounding, and 0 when the clouds are equal. Empty when either side has no
/// mass.
///
/// # Source
///
/// Feydy et al. 2019, arXiv:1810.08278; the term for unequal sums: Sejourne et al.
/// 2019, arXiv:1910.12958.
pub fn divergence(
    kind: PointCost,
    (x, a): (&[f64], &[f64]),
    (y, b): (&[f64], &[f64]),
    width: usize,
    options: SolveOptions,
) -> Result<Divergence> {
    same_count("x", count("sinkhorn", x, width, "x")?, "a", a.len())?;
    same_count("y", count("sinkhorn", y, width, "y")?, "b", b.len())?;
    let costs = [
        cost_matrix(kind, x, y, width)?,
        cost_matrix(kind, x, x, width)?,
        cost_matrix(kind, y, y, width)?,
    ];
    let xy = solve(&costs[0], a, b, options)?;
    let (has_x, has_y) = (a.iter().any(|&w| w != 0.0), b.iter().any(|&w| w != 0.0));
    // A side without mass empties the other's own problem too: there is nothing to debias.
    let own = |cost: &[f64], weights: &[f64]| {
        let weights = if has_x && has_y { weights } else { &vec![0.0; weights.len()] };
        let solution = solve_self(cost, weights, options)?;
        let gradients = gradients(&solution, cost, weights, weights, options)?;
        Ok((solution, gradients))
    };
    let (xx, of_xx) = own(&costs[1], a)?;
    let (yy, of_yy) = own(&costs[2], b)?;
    let of_xy = gradients(&xy, &costs[0], a, b, options)?;

    let (mut grad_x, mut grad_y) = point_gradients(kind, x, y, width, &of_xy.cost)?;
    // A plan of a cloud with itself is symmetric: half of both arguments is one argument.
    subtract(&mut grad_x, &point_gradient(kind, x, x, width, &of_xx.cost)?);
    subtract(&mut grad_y, &point_gradient(kind, y, y, width, &of_yy.cost)?);
    let (mut grad_a, mut grad_b) = (of_xy.a, of_xy.b);
    subtract(&mut grad_a, &of_xx.a);
    subtract(&mut grad_b, &of_yy.a);
    let mut value = xy.value - xx.value / 2.0 - yy.value / 2.0;
    let mut grad_eps = of_xy.eps - of_xx.eps / 2.0 - of_yy.eps / 2.0;
    if options.rho.is_some() && has_x && has_y {
        let surplus = a.iter().sum::<f64>() - b.iter().sum::<f64>();
        value += options.eps / 2.0 * surplus * surplus;
        grad_eps += surplus * surplus / 2.0;
        for (grad, _) in grad_a.iter_mut().zip(a).filter(|(_, w)| **w != 0.0) {
            *grad += options.eps * surplus;
        }
        for (grad, _) in grad_b.iter_mut().zip(b).filter(|(_, w)| **w != 0.0) {
            *grad -= options.eps * surplus;
        }
    }
    Ok(Divergence { value, xy, xx, yy, grad_x, grad_y, grad_a, grad_b, grad_eps })
}

pub(super) fn subtract(from: &mut [f64], what: &[f64]) {
    for (slot, x) in from.iter_mut().zip(what) {
        *slot -= x;
    }
}

pub(super) fn same_count(points: &str, n: usize, weights: &str, got: usize) -> Result<()> {
    if n == got {
        return Ok(());
    }
    let detail = format!("{weights} has {got} weights, expected the {n} points of {points}");
    Err(KernelError::shape("sinkhorn", detail))
}
