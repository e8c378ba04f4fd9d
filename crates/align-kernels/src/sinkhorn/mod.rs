//! Entropic optimal transport between weighted clouds, batched and ragged, with gradients.
//!
//! For a cost `C: (N, M)`, weights `a: (N,)`, `b: (M,)` and a temperature `eps`,
//!
//! ```text
//! OT = min over P >= 0 of  <P, C> + eps KL(P | a b')    with P 1 = a and P' 1 = b
//!    = max over f, g of    <a, f> + <b, g> - eps sum_ij a_i b_j (exp(s_ij) - 1)
//! s_ij = (f_i + g_j - C_ij) / eps,   P_ij = a_i b_j exp(s_ij)
//! ```
//!
//! With a `reach` the constraints become penalties; with `debias` half of each cloud's problem with
//! itself is taken off. [`reference::sinkhorn`](crate::reference::sinkhorn) says the same in f64.
//!
//! | wanted | call |
//! |---|---|
//! | values, potentials, plans, projections | [`sinkhorn`] |
//! | and gradients, upstream weights known | [`sinkhorn_with_gradient`] |
//! | and gradients later, once the weights are known | [`Output::backward`] |
//! | the same from cost matrices | [`sinkhorn_cost`] |
//!
//! # Which mode
//!
//! [`Mode::Fixed`] solves the problem above to a tolerance. [`Mode::GeomLoss`] computes what
//! `SamplesLoss("sinkhorn")` of GeomLoss 0.3.1 does: a falling temperature and one averaged update at
//! each, without a test of convergence; a handful of updates, and gradients through the last of them.
//!
//! # On a GPU
//!
//! With clouds of `DevicePoints` (feature `cuda`, on unless turned off) the same functions run there, in
//! every mode. [`Mode::Fixed`] keeps `K` of pairs up to some 128 by 256 (512 on Hopper) in registers, and
//! that of pairs of up to 4096 columns over the chip and, as far as it does not fit, in memory, which takes
//! as much again as their costs. Both are over-relaxed as on the host; pairs of more columns run plain updates in the log
//! domain, so let the longer cloud be `x`. [`Acceleration`] is a hint that does not
//! move the solution: Anderson's combination is taken for over-relaxation. Weights come from the host, and
//! all results but the gradients of the points come back to it. [`Mode::GeomLoss`] without a diameter makes
//! the host wait once for those of all pairs.
//!
//! # Conventions
//!
//! - A point of weight 0 is never read (it may hold NaN); its potential and gradients are exactly 0.
//! - A pair of which a side has no mass (no points, or only weights of 0) has value, potentials, plan
//!   and gradients 0, after 0 iterations.
//! - NaN in an item makes the results of the pairs it is in NaN, and no others.
//! - Balanced problems are meant to have `sum a = sum b`; otherwise no plan fits, and the marginal error
//!   stays at the difference.

mod absorbed;
mod anderson;
mod batch;
#[cfg(feature = "cuda")]
mod call;
mod checks;
mod cost;
mod cost_matrices;
mod geomloss;
mod given;
mod gradient;
mod grid;
mod inner_products;
mod kernels;
mod lanes;
mod log_domain;
mod options;
mod output;
mod own;
mod pair;
mod point_grads;
mod problem;
mod relaxation;
mod scaling;
mod side;
mod solved;
#[cfg(target_arch = "x86_64")]
mod strips;
mod symmetric;
#[cfg(test)]
mod tests;
mod transport;
mod weights;

pub use given::{CostGradients, GivenCosts, sinkhorn_cost};
pub use options::{Acceleration, Cost, Fixed, GeomLoss, Mode, Options, Pairing};
pub use output::{Gradients, Output};
pub use transport::Transport;
pub use weights::Weights;

#[cfg(feature = "cuda")]
pub(crate) use call::{Call, Found};
pub(crate) use checks::check_sides;
pub(crate) use cost_matrices::cost_matrices;
#[cfg(feature = "cuda")]
pub(crate) use given::{Given, sealed as costs};
pub(crate) use grid::Grid;
#[cfg(feature = "cuda")]
pub(crate) use grid::Run;
#[cfg(feature = "cuda")]
pub(crate) use output::OwnTrace;
#[cfg(feature = "cuda")]
pub(crate) use side::weights_of;

use crate::error::Result;
use crate::ragged::Ragged;

/// Solves entropic optimal transport for every pair of a batch.
///
/// # Shapes
///
/// | argument | shape | dtype | meaning |
/// |---|---|---|---|
/// | `x` | `(N, D)`, `B_x` items | f32, bf16, f16 | points of the rows |
/// | `y` | `(M, D)`, `B_y` items | f32, bf16, f16 | points of the columns |
/// | `weights.a`, `.b` | `(N,)`, `(M,)` | f32 | weights, >= 0; uniform unless given |
/// | result | `B` or `B_x B_y` pairs | f64, f32 | see [`Output`] |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when widths, item counts (paired) or weight counts differ, or the
/// width is 0; [`Value`](crate::ErrorKind::Value) for a negative or infinite weight;
/// [`Option`](crate::ErrorKind::Option) for an option outside its range;
/// [`Device`](crate::ErrorKind::Device) when a GPU fails.
///
/// # Numerics
///
/// Costs and potentials are f32, values sums in f64. Costs of all pairs come from one block product, and
/// from norms of the same f32 points; their error is that of `|x|^2 + |y|^2 - 2 <x, y>` in f32, so centre
/// points that lie far from the origin. The iteration holds `exp((f + g - C) / eps)` and takes no
/// logarithms while its sums stay in range, otherwise it updates in the log domain. Results have the same
/// bits on any number of threads. Memory is `O(N + M)` a pair, and two cost tiles a thread; all-pairs adds
/// 64 MiB of inner products. A GPU holds plans of all pairs for gradients, and their costs only where it must.
///
/// # Source
///
/// Cuturi 2013, arXiv:1306.0895; Schmitzer 2019, arXiv:1610.06519 (absorption); Feydy et al. 2019,
/// arXiv:1810.08278 (debiasing); Sejourne et al. 2019, arXiv:1910.12958 (unbalanced); Thibault et al. 2021, arXiv:1711.01851 (over-relaxation);
/// Walker and Ni 2011 (Anderson).
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::sinkhorn::{Options, Weights, sinkhorn};
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0f32, 0.0], [1.0, 0.0]], array![[0.0f32, 3.0], [1.0, 3.0]]);
/// let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
/// let options = Options { debias: true, ..Options::default() };
/// let output = sinkhorn(&x, &y, Weights::default(), &options)?;
/// assert!((output.value[0] - 4.5).abs() < 1e-3); // moved by 3: 3^2 / 2
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn sinkhorn<P: Transport>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    weights: Weights<'_>,
    options: &Options,
) -> Result<Output> {
    P::transport(x, y, weights, options)
}

/// As [`sinkhorn`], and the gradients of `sum_k upstream_k value_k` in the same pass.
///
/// By the envelope theorem potentials are held, and the plan is the derivative by the cost:
///
/// ```text
/// d / d x_i = sum_j upstream P_ij dC(x_i, y_j) / d x_i     d / d eps = KL(P | ab)
/// d / d a_i = f_i - eps ((P 1)_i / a_i - sum b)
/// ```
///
/// The plan's own sums are used, so that short of convergence these are the exact derivatives of the
/// value reported, at the potentials reported. With [`Mode::GeomLoss`] they are those of GeomLoss:
/// through the last update, the two sides apart.
///
/// `upstream` has one weight a pair; `None` is 1 for each.
///
/// # Errors
///
/// As [`sinkhorn`], and [`Shape`](crate::ErrorKind::Shape) when `upstream` has another length.
pub fn sinkhorn_with_gradient<P: Transport>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
) -> Result<(Output, P::Gradients)> {
    P::transport_with_gradient(x, y, weights, options, upstream, None)
}

impl Output {
    /// Gradients of `sum_k upstream_k value_k`, for weights that were not known before.
    ///
    /// The other arguments are those that the output was computed from. Costs are computed anew, and the
    /// plan from the potentials kept: the result is that of [`sinkhorn_with_gradient`].
    ///
    /// # Errors
    ///
    /// As [`sinkhorn_with_gradient`]; [`Shape`](crate::ErrorKind::Shape) too when the output belongs to a
    /// batch of another shape or mode.
    pub fn backward<P: Transport>(
        &self,
        x: &Ragged<'_, P>,
        y: &Ragged<'_, P>,
        weights: Weights<'_>,
        options: &Options,
        upstream: &[f32],
    ) -> Result<P::Gradients> {
        Ok(P::transport_with_gradient(x, y, weights, options, Some(upstream), Some(self))?.1)
    }
}
