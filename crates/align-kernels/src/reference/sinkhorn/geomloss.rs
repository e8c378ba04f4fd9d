//! What GeomLoss's `SamplesLoss("sinkhorn")` computes: one update per step of an annealing
//! schedule.

use super::anneal::{Annealed, diameter, eps_schedule};
use super::divergence::{same_count, subtract};
use super::problem::check_weights;
use crate::error::{KernelError, Result, positive};
use crate::reference::pairwise_cost::{
    PointCost, cost_matrix, count, point_gradient, transpose, unit_points,
};

/// Options of [`geomloss`], with GeomLoss's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeomlossOptions {
    /// The cost, which sets the power `p`: [`PointCost::power`]. GeomLoss's own are `p = 2`, the
    /// default [`PointCost::SqEuclidean`], and `p = 1`, [`PointCost::Euclidean`].
    pub cost: PointCost,
    /// Last scale: `eps = blur^p`. 0.05.
    pub blur: f64,
    /// Ratio of two successive scales, between 0 and 1. 0.5.
    pub scaling: f64,
    /// First scale; `None`, the default, measures it: the diagonal of the box around both clouds.
    pub diameter: Option<f64>,
    /// `rho = reach^p`; `None`, the default, is balanced.
    pub reach: Option<f64>,
    /// Whether to subtract each cloud's own problem. True.
    pub debias: bool,
}

impl Default for GeomlossOptions {
    fn default() -> Self {
        let cost = PointCost::SqEuclidean;
        Self { cost, blur: 0.05, scaling: 0.5, diameter: None, reach: None, debias: true }
    }
}

/// What [`geomloss`] computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Geomloss {
    /// `S(x, y)`, or `OT(x, y)` without debiasing.
    pub value: f64,
    /// Row potentials of the problem between the clouds, after the last update.
    pub f: Vec<f64>,
    /// Column potentials likewise.
    pub g: Vec<f64>,
    /// Potentials of `x` with itself; empty without debiasing.
    pub f_self: Vec<f64>,
    /// Potentials of `y` with itself; empty without debiasing.
    pub g_self: Vec<f64>,
    /// `a_i b_j exp((f_i + g_j - C_ij) / eps)` at the last `eps`, `(N, M)`.
    pub plan: Vec<f64>,
    /// L1 distance of both marginals of `plan` from what the potentials ask for.
    pub marginal_error: f64,
    /// Temperatures, one per iteration.
    pub schedule: Vec<f64>,
    /// `d value / d x`, `(N, D)`, as GeomLoss differentiates: through the last update only.
    pub grad_x: Vec<f64>,
    /// `d value / d y`, `(M, D)`.
    pub grad_y: Vec<f64>,
    /// `d value / d a`, `(N,)`.
    pub grad_a: Vec<f64>,
    /// `d value / d b`, `(M,)`.
    pub grad_b: Vec<f64>,
}

/// Computes the Sinkhorn divergence between two clouds as GeomLoss does, and its gradients.
///
/// With `T(eps, C, w, h)_i = -d eps ln sum_j w_j exp((h_j - C_ij) / eps)`, where `d` is 1, or
/// `rho / (rho + eps)` with a reach, and `C'` the transposed cost,
///
/// ```text
/// g = T(eps_0, C', a, 0);  f = T(eps_0, C, b, 0)
/// for eps in eps_schedule: (f, g) = ((f + T(eps, C, b, g)) / 2, (g + T(eps, C', a, f)) / 2)
/// (f, g) = (T(eps, C, b, g), T(eps, C', a, f))         from the old f and g, at the last eps
/// ```
///
/// and the same for each cloud with itself, giving `f_self` and `g_self`. Then
///
/// ```text
/// S  = <a, w(f) - w(f_self)> + <b, w(g) - w(g_self)>     OT = <a, w(f)> + <b, w(g)>
/// w(h) = h, or (rho + eps / 2)(1 - exp(-h / rho)) with a reach
/// dS / dx_i = a_i exp(-f_i / rho) sum_j W_ij dC(x_i, y_j)/dx_i - the same with f_self and (x, x)
/// W_i = softmax over j of ln b_j + (g_j - C_ij) / eps, with g from before the last update
/// ```
///
/// # Shapes
///
/// As [`divergence`](super::divergence).
///
/// # Errors
///
/// As [`divergence`](super::divergence); [`Option`](crate::ErrorKind::Option) unless `blur`,
/// `diameter` and `reach` are finite and above 0 and `scaling` is between 0 and 1.
///
/// # Numerics
///
/// There is no test of convergence: `marginal_error` says what the schedule reached. Where GeomLoss
/// fails or reads padding, this does not: the measured diameter is that of the points with mass
/// only; where it is 0 (all points equal) the schedule is the last `eps` twice; a side without mass
/// gives 0. With [`PointCost::Cosine`] the diameter is that of the unit vectors, so the result is
/// that of `p = 2` on normalised points.
///
/// With a reach the gradients are those of the converged value, so `rho + eps` stands where `w` has
/// `rho + eps / 2`:
///
/// ```text
/// dS / da_i = (rho + eps) (exp(-f_self_i / rho) - exp(-f_i / rho))
/// dOT / da_i = (rho + eps) (1 - exp(-f_i / rho)) - eps / 2
/// ```
///
/// GeomLoss 0.3.1 means to do this for points, but its `UnbalancedWeight.backward` is a plain
/// method that autograd never calls. What comes out of it, for points and weights alike, is smaller
/// by the factor `(rho + eps / 2) / (rho + eps)`, and `dOT / da` has no `- eps / 2`.
///
/// # Source
///
/// GeomLoss 0.3.1, `_legacy/sinkhorn_divergence.py` and `sinkhorn_samples.py` (backend
/// "tensorized"); the two weights `rho + eps / 2` and `rho + eps`: Sejourne et al. 2019,
/// arXiv:1910.12958, proposition 12.
pub fn geomloss(
    (x, a): (&[f64], &[f64]),
    (y, b): (&[f64], &[f64]),
    width: usize,
    options: GeomlossOptions,
) -> Result<Geomloss> {
    same_count("x", count("sinkhorn", x, width, "x")?, "a", a.len())?;
    same_count("y", count("sinkhorn", y, width, "y")?, "b", b.len())?;
    check_weights("a", a)?;
    check_weights("b", b)?;
    let power = options.cost.power();
    let diameter = match options.diameter {
        Some(diameter) => positive("sinkhorn", "diameter", diameter, "leave it out to measure it")
            .map(|()| diameter)?,
        None if options.cost == PointCost::Cosine => {
            diameter(&[(&unit_points(x, width), a), (&unit_points(y, width), b)], width)
        }
        None => diameter(&[(x, a), (y, b)], width),
    };
    let schedule = eps_schedule(power, diameter, options.blur, options.scaling)?;
    if let Some(reach) = options.reach {
        positive("sinkhorn", "reach", reach, "leave it out for a balanced problem")?;
    }
    let rho = options.reach.map(|reach| reach.powi(power));
    let cost = |x: &[f64], y: &[f64]| cost_matrix(options.cost, x, y, width);
    let xy = Annealed::run(&cost(x, y)?, a, b, &schedule, rho)?;
    let eps = schedule[schedule.len() - 1];
    let is_empty = xy.is_empty;
    let own = |points: &[f64], weights: &[f64]| {
        let own = Annealed::run(&cost(points, points)?, weights, weights, &schedule, rho)?;
        let grad = point_gradient(options.cost, points, points, width, &own.row_pull)?;
        Ok::<_, KernelError>((own.f, grad))
    };

    let mut grad_x = point_gradient(options.cost, x, y, width, &xy.row_pull)?;
    let column_pull = transpose(&xy.column_pull, a.len(), b.len());
    let mut grad_y = point_gradient(options.cost, y, x, width, &column_pull)?;
    let (mut f_self, mut g_self) = (Vec::new(), Vec::new());
    if options.debias && is_empty {
        (f_self, g_self) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    } else if options.debias {
        let grad;
        (f_self, grad) = own(x, a)?;
        subtract(&mut grad_x, &grad);
        let grad;
        (g_self, grad) = own(y, b)?;
        subtract(&mut grad_y, &grad);
    }
    let (of_a, of_b) = (earned(a, &xy.f, &f_self, rho), earned(b, &xy.g, &g_self, rho));
    let eps_by_rho = rho.map_or(0.0, |rho| eps / rho);
    let dot = |u: &[f64], v: &[f64]| u.iter().zip(v).map(|(u, v)| u * v).sum::<f64>();
    let value = (1.0 + eps_by_rho / 2.0) * (dot(a, &of_a) + dot(b, &of_b));
    let shift = if rho.is_some() && !options.debias && !is_empty { eps / 2.0 } else { 0.0 };
    let slope = |weights: &[f64], earned: &[f64]| {
        let one =
            |(&w, e): (&f64, &f64)| if w == 0.0 { 0.0 } else { (1.0 + eps_by_rho) * e - shift };
        weights.iter().zip(earned).map(one).collect::<Vec<f64>>()
    };
    let (grad_a, grad_b) = (slope(a, &of_a), slope(b, &of_b));
    let (f, g, plan, marginal_error) = (xy.f, xy.g, xy.plan, xy.marginal_error);
    Ok(Geomloss {
        value,
        f,
        g,
        f_self,
        g_self,
        plan,
        marginal_error,
        schedule,
        grad_x,
        grad_y,
        grad_a,
        grad_b,
    })
}

/// `h - own`, or `rho (exp(-own / rho) - exp(-h / rho))`, at points with mass; `own` may be left
/// out.
fn earned(weights: &[f64], h: &[f64], own: &[f64], rho: Option<f64>) -> Vec<f64> {
    let worth = |h: f64| rho.map_or(h, |rho| -rho * (-h / rho).exp_m1());
    let one = |k: usize| match weights[k] {
        0.0 => 0.0,
        _ => worth(h[k]) - own.get(k).map_or(0.0, |&own| worth(own)),
    };
    (0..h.len()).map(one).collect()
}
