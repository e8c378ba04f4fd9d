//! GeomLoss's annealing: the schedule of temperatures, and one problem taken through it.

use super::problem::Problem;
use crate::error::{KernelError, Result, positive};

/// Lists the temperatures of GeomLoss's annealing: `diameter^p` twice, then falling to `blur^p`.
///
/// ```text
/// diameter^p,  exp(e) for e = p ln diameter, in steps of p ln scaling, while e > p ln blur,  blur^p
/// ```
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) unless `blur` is finite and above 0 and `scaling` between 0
/// and 1.
///
/// # Numerics
///
/// A diameter whose power is 0, infinite or NaN leaves nothing to anneal: the result is `blur^p`
/// twice.
///
/// # Source
///
/// GeomLoss 0.3.1, `epsilon_schedule`; the count is that of NumPy's `arange`.
pub fn eps_schedule(power: i32, diameter: f64, blur: f64, scaling: f64) -> Result<Vec<f64>> {
    positive("sinkhorn", "blur", blur, "0.05 times the diameter is a common choice")?;
    if !(scaling > 0.0 && scaling < 1.0) {
        let detail = format!("scaling is {scaling}, expected between 0 and 1");
        return Err(KernelError::option("sinkhorn", detail, "0.5 is fast, 0.9 is precise"));
    }
    let (first, last) = (diameter.powi(power), blur.powi(power));
    if !(first.is_finite() && first > 0.0) {
        return Ok(vec![last, last]);
    }
    let p = f64::from(power);
    let (start, stop, step) = (p * diameter.ln(), p * blur.ln(), p * scaling.ln());
    let count = ((stop - start) / step).ceil().max(0.0) as usize;
    let middle = (0..count).map(|k| (start + k as f64 * step).exp());
    Ok([first].into_iter().chain(middle).chain([last]).collect())
}

/// Diagonal of the box around all points with mass; NaN coordinates are passed over.
pub(super) fn diameter(clouds: &[(&[f64], &[f64])], width: usize) -> f64 {
    let mut low = vec![f64::INFINITY; width];
    let mut high = vec![f64::NEG_INFINITY; width];
    for (points, weights) in clouds {
        for (point, _) in points.chunks_exact(width).zip(*weights).filter(|(_, w)| **w != 0.0) {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(point) {
                (*low, *high) = (low.min(x), high.max(x));
            }
        }
    }
    low.iter().zip(&high).map(|(low, high)| (high - low) * (high - low)).sum::<f64>().sqrt()
}

/// One problem after the whole schedule.
pub(super) struct Annealed {
    pub f: Vec<f64>,
    pub g: Vec<f64>,
    pub plan: Vec<f64>,
    pub marginal_error: f64,
    /// `d value / d C` through the last update of `f`, `(N, M)`.
    pub row_pull: Vec<f64>,
    /// `d value / d C` through the last update of `g`, `(N, M)`.
    pub column_pull: Vec<f64>,
    pub is_empty: bool,
}

impl Annealed {
    pub fn run(
        cost: &[f64],
        a: &[f64],
        b: &[f64],
        schedule: &[f64],
        rho: Option<f64>,
    ) -> Result<Self> {
        let at = |eps| Problem::new(cost, a, b, eps, rho);
        let first = at(schedule[0])?;
        let (mut f, mut g) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        if first.is_empty() {
            let none = vec![0.0; cost.len()];
            let (row_pull, column_pull) = (none.clone(), none.clone());
            return Ok(Self {
                f,
                g,
                plan: none,
                marginal_error: 0.0,
                row_pull,
                column_pull,
                is_empty: true,
            });
        }
        let damp = |problem: &Problem<'_>, xs: &[f64]| {
            xs.iter().map(|x| x * problem.damping()).collect::<Vec<f64>>()
        };
        (f, g) = (damp(&first, &first.row_softmin(&g)), damp(&first, &first.column_softmin(&f)));
        for &eps in schedule {
            let problem = at(eps)?;
            let new_f = damp(&problem, &problem.row_softmin(&g));
            let new_g = damp(&problem, &problem.column_softmin(&f));
            (f, g) = (means(&f, &new_f), means(&g, &new_g));
        }
        let last = at(schedule[schedule.len() - 1])?;
        let (f_softmin, g_softmin) = (last.row_softmin(&g), last.column_softmin(&f));
        // With the softmin for its potential, every row of the plan sums to a_i: a_i times the
        // softmax.
        let mut row_pull = last.plan(&f_softmin, &g);
        let mut column_pull = last.plan(&f, &g_softmin);
        (f, g) = (damp(&last, &f_softmin), damp(&last, &g_softmin));
        let m = b.len();
        for k in 0..cost.len() {
            row_pull[k] *= (-f[k / m] / last.rho).exp();
            column_pull[k] *= (-g[k % m] / last.rho).exp();
        }
        let plan = last.plan(&f, &g);
        let marginal_error = last.marginal_error(&f, &g, &plan);
        Ok(Self { f, g, plan, marginal_error, row_pull, column_pull, is_empty: false })
    }
}

fn means(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(l, r)| (l + r) / 2.0).collect()
}
