//! Entropic optimal transport between two weighted clouds, in f64 and in the log domain.
//!
//! The problem, for a cost `C: (N, M)`, weights `a: (N,)`, `b: (M,)` and temperature `eps`, is
//!
//! ```text
//! OT = min over P >= 0 of  <P, C> + eps KL(P | a b')    with P 1 = a and P' 1 = b
//!    = max over f, g of    <a, f> + <b, g> - eps sum_ij a_i b_j (exp(s_ij) - 1)
//! s_ij = (f_i + g_j - C_ij) / eps,   P_ij = a_i b_j exp(s_ij),   KL(p | q) = sum p ln(p / q) - p + q
//! ```
//!
//! and, unbalanced, the two constraints become the penalties `rho KL(P 1 | a) + rho KL(P' 1 | b)`.
//!
//! | wanted | call |
//! |---|---|
//! | a cost from points, and back to gradients of points | [`cost_matrix`], [`point_gradient`], [`point_gradients`] |
//! | one problem at one `eps` until it converges | [`solve`], [`solve_self`] |
//! | its gradients: cost, weights, `eps` | [`gradients`] |
//! | the debiased divergence at one `eps`, with gradients | [`divergence`] |
//! | what `SamplesLoss("sinkhorn")` of GeomLoss computes, with gradients | [`geomloss`], [`eps_schedule`] |
//! | each point of one side as a mean of the other | [`project_onto_rows`], [`project_onto_columns`] |
//!
//! Conventions, the same in every function here:
//!
//! - A point of weight 0 carries no mass: its cost is never read (it may be NaN), its potential and
//!   its gradients, that of its weight included, are exactly 0, and so is its row or column of the
//!   plan.
//! - A side without mass (no points, or only zero weights) leaves nothing to compare: the value,
//!   the potentials, the plan and all gradients are 0, after 0 iterations, whatever `rho` is.
//! - NaN in anything that is read makes the value NaN; nothing panics and nothing loops for it.
//! - A cost of `+inf` forbids a pair; each row and column with mass needs one finite entry.
//! - Balanced problems are meant to have `sum a = sum b`. Otherwise no plan fits and the marginal
//!   error stays at the difference.

mod anneal;
mod divergence;
mod geomloss;
mod gradient;
mod problem;
mod projection;
mod solve;

pub use anneal::eps_schedule;
pub use divergence::{Divergence, divergence};
pub use geomloss::{Geomloss, GeomlossOptions, geomloss};
pub use gradient::{Gradients, gradients};
pub use projection::{project_onto_columns, project_onto_rows};
pub use solve::{Solution, SolveOptions, solve, solve_self};

pub use super::pairwise_cost::{PointCost, cost_matrix, point_gradient, point_gradients};
