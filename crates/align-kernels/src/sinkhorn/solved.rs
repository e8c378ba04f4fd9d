//! A solved problem, and what is read off its potentials and plan.

use super::kernels::PlanSums;
use super::lanes::{Lanes, flat};
use super::options::Mode;
use super::problem::{Potentials, Problem};

/// Potentials that a solver reached.
pub(super) struct Solved {
    pub at: Potentials,
    /// Potentials before the last update, where gradients go through that update alone (GeomLoss).
    pub before: Option<Potentials>,
    pub eps: f64,
    pub iterations: usize,
}

/// Value and derivatives of one problem.
pub(super) struct Report {
    pub value: f64,
    /// Primal minus dual.
    pub gap: f64,
    pub marginal_error: f64,
    /// By the weights, `(N,)` and `(M,)`: 0 where there is no mass.
    pub grad_a: Vec<f64>,
    pub grad_b: Vec<f64>,
    /// `KL(P | ab)`.
    pub grad_eps: f64,
}

/// One side's weights, potentials and plan sums, the points without mass left out.
fn side<'s>(
    weights: &'s [Lanes],
    h: &'s [Lanes],
    sums: &'s [f32],
) -> impl Iterator<Item = (usize, f64, f64, f64)> + 's {
    let values = flat(weights).iter().zip(flat(h)).zip(sums).enumerate();
    let some = values.filter(|(_, ((w, _), _))| **w != 0.0);
    some.map(|(k, ((w, h), sum))| (k, f64::from(*w), f64::from(*h), f64::from(*sum)))
}

fn total(weights: &[Lanes]) -> f64 {
    flat(weights).iter().map(|&w| f64::from(w)).sum()
}

impl Solved {
    /// `sums` are those of the plan at `self.at`.
    pub fn report(&self, problem: &Problem<'_>, mode: &Mode, sums: &PlanSums) -> Report {
        let (eps, rho) = (self.eps, problem.rho);
        let balanced = rho.is_infinite();
        // What a potential earns per unit of weight.
        let worth = |h: f64, rho_out: f64| {
            if balanced { h } else { -rho_out * (-h / rho).exp_m1() }
        };
        let (mass_a, mass_b) = (total(&problem.a), total(&problem.b));
        let (mut dual, mut moved, mut marginal_error, mut mass) = (0.0, 0.0, 0.0, 0.0);
        let (mut value, mut penalty) = (0.0, 0.0);
        let mut walk = |weights, h, sums, other: f64, size| {
            let mut grad = vec![0.0; size];
            for (k, w, h, sum) in side(weights, h, sums) {
                dual += w * worth(h, rho);
                moved += sum * h;
                mass += sum;
                let target = if balanced { w } else { w * (-h / rho).exp() };
                marginal_error += (sum - target).abs();
                if !balanced {
                    let log = if sum == 0.0 { 0.0 } else { sum * (sum / w).ln() };
                    penalty += rho * (log - sum + w);
                }
                grad[k] = match mode {
                    Mode::Fixed(_) => worth(h, rho) - eps * (sum / w - other),
                    Mode::GeomLoss(_) if balanced => h,
                    // Of the converged value, of which `rho + eps / 2` is the forward form.
                    Mode::GeomLoss(_) => worth(h, rho + eps) - eps / 2.0,
                };
                value += w * worth(h, rho + eps / 2.0);
            }
            grad
        };
        let grad_a = walk(&problem.a, &self.at.f, &sums.rows, mass_b, problem.n);
        let grad_b = walk(&problem.b, &self.at.g, &sums.columns, mass_a, problem.m);
        let excess = mass / 2.0 - mass_a * mass_b;
        let objective = dual - eps * excess;
        Report {
            value: if matches!(mode, Mode::Fixed(_)) { objective } else { value },
            // <P, C> + eps KL = sum P (f + g) - eps excess.
            gap: moved + penalty - dual,
            marginal_error,
            grad_a,
            grad_b,
            grad_eps: sums.entropy - excess,
        }
    }
}
