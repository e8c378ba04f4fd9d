//! One entropic problem: its updates, plan, dual and primal values. All sums skip points without
//! mass.

use crate::error::{KernelError, Result, positive};
use crate::reference::log_sum_exp;

/// A checked problem, with the logarithms of its weights.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub cost: &'a [f64],
    pub a: &'a [f64],
    pub b: &'a [f64],
    pub eps: f64,
    /// Strength of the marginal penalties; infinite when balanced.
    pub rho: f64,
    log_a: Vec<f64>,
    log_b: Vec<f64>,
}

impl<'a> Problem<'a> {
    pub fn new(
        cost: &'a [f64],
        a: &'a [f64],
        b: &'a [f64],
        eps: f64,
        rho: Option<f64>,
    ) -> Result<Self> {
        if cost.len() != a.len() * b.len() {
            let (got, n, m) = (cost.len(), a.len(), b.len());
            let detail = format!("cost has {got} values, expected N * M = {n} * {m}");
            return Err(KernelError::shape("sinkhorn", detail));
        }
        check_weights("a", a)?;
        check_weights("b", b)?;
        positive("sinkhorn", "eps", eps, "start from 0.05 times the mean cost")?;
        if let Some(rho) = rho {
            positive("sinkhorn", "rho", rho, "leave it out for a balanced problem")?;
        }
        let logs = |weights: &[f64]| weights.iter().map(|w| w.ln()).collect();
        let (log_a, log_b) = (logs(a), logs(b));
        Ok(Self { cost, a, b, eps, rho: rho.unwrap_or(f64::INFINITY), log_a, log_b })
    }

    /// Whether a side has no mass at all.
    pub fn is_empty(&self) -> bool {
        [self.a, self.b].iter().any(|side| side.iter().all(|&w| w == 0.0))
    }

    /// `rho / (rho + eps)`, the factor of unbalanced updates; 1 when balanced.
    pub fn damping(&self) -> f64 {
        1.0 / (1.0 + self.eps / self.rho)
    }

    /// `-eps ln sum_j b_j exp((g_j - C_ij) / eps)` for every row; 0 in rows without mass.
    pub fn row_softmin(&self, g: &[f64]) -> Vec<f64> {
        let m = self.b.len();
        let row = |i: usize| {
            let term = move |j: usize| (g[j] - self.cost[i * m + j]) / self.eps;
            softmin(self.log_a[i], &self.log_b, self.eps, term)
        };
        (0..self.a.len()).map(row).collect()
    }

    /// `-eps ln sum_i a_i exp((f_i - C_ij) / eps)` for every column; 0 in columns without mass.
    pub fn column_softmin(&self, f: &[f64]) -> Vec<f64> {
        let m = self.b.len();
        let column = |j: usize| {
            let term = move |i: usize| (f[i] - self.cost[i * m + j]) / self.eps;
            softmin(self.log_b[j], &self.log_a, self.eps, term)
        };
        (0..m).map(column).collect()
    }

    /// `a_i b_j exp((f_i + g_j - C_ij) / eps)`; exactly 0 without mass.
    pub fn plan(&self, f: &[f64], g: &[f64]) -> Vec<f64> {
        let m = self.b.len();
        let mut plan = vec![0.0; self.cost.len()];
        for i in (0..self.a.len()).filter(|&i| self.a[i] != 0.0) {
            for j in (0..m).filter(|&j| self.b[j] != 0.0) {
                let s = (f[i] + g[j] - self.cost[i * m + j]) / self.eps;
                plan[i * m + j] = (self.log_a[i] + self.log_b[j] + s).exp();
            }
        }
        plan
    }

    /// The row sums a potential asks for: `a_i`, or `a_i exp(-f_i / rho)`.
    pub fn row_targets(&self, f: &[f64]) -> Vec<f64> {
        self.a.iter().zip(f).map(|(a, f)| a * (-f / self.rho).exp()).collect()
    }

    /// The column sums a potential asks for: `b_j`, or `b_j exp(-g_j / rho)`.
    pub fn column_targets(&self, g: &[f64]) -> Vec<f64> {
        self.b.iter().zip(g).map(|(b, g)| b * (-g / self.rho).exp()).collect()
    }

    /// Dual objective at `(f, g)`, whose plan is `plan`.
    pub fn dual(&self, f: &[f64], g: &[f64], plan: &[f64]) -> f64 {
        let side = |weights: &[f64], potential: &[f64]| {
            weights.iter().zip(potential).map(|(w, &h)| w * self.worth(h)).sum::<f64>()
        };
        side(self.a, f) + side(self.b, g) - self.eps * self.excess(plan)
    }

    /// What a potential earns per unit of weight: `h`, or `rho (1 - exp(-h / rho))`.
    pub fn worth(&self, h: f64) -> f64 {
        if self.rho.is_infinite() { h } else { -self.rho * (-h / self.rho).exp_m1() }
    }

    /// Primal objective at `plan`; balanced, its marginals are taken as if they held.
    pub fn primal(&self, plan: &[f64]) -> f64 {
        let moved: f64 =
            plan.iter().zip(self.cost).filter(|(p, _)| **p != 0.0).map(|(p, c)| p * c).sum();
        let value = moved + self.eps * self.plan_kl(plan);
        if self.rho.is_infinite() {
            return value;
        }
        let (rows, columns) = (row_sums(plan, self.a.len()), column_sums(plan, self.b.len()));
        value + self.rho * (kl(&rows, self.a) + kl(&columns, self.b))
    }

    /// `KL(P | a b')`.
    pub fn plan_kl(&self, plan: &[f64]) -> f64 {
        let m = self.b.len();
        let log_ratio = |k: usize, p: f64| p.ln() - self.log_a[k / m] - self.log_b[k % m];
        let terms = plan.iter().enumerate().filter(|(_, p)| **p != 0.0);
        terms.map(|(k, &p)| p * log_ratio(k, p)).sum::<f64>() - self.excess(plan)
    }

    /// `sum P - sum a * sum b`.
    fn excess(&self, plan: &[f64]) -> f64 {
        plan.iter().sum::<f64>() - self.a.iter().sum::<f64>() * self.b.iter().sum::<f64>()
    }

    /// L1 distance of both marginals of `plan` from what the potentials ask for.
    pub fn marginal_error(&self, f: &[f64], g: &[f64], plan: &[f64]) -> f64 {
        l1(&row_sums(plan, self.a.len()), &self.row_targets(f))
            + l1(&column_sums(plan, self.b.len()), &self.column_targets(g))
    }
}

/// `-eps ln sum_k exp(log_weights_k + term(k))` over the points with mass; 0 for a point without.
pub(super) fn softmin(
    own_log_weight: f64,
    log_weights: &[f64],
    eps: f64,
    term: impl Fn(usize) -> f64,
) -> f64 {
    if own_log_weight == f64::NEG_INFINITY {
        return 0.0;
    }
    let with_mass = log_weights.iter().enumerate().filter(|(_, w)| **w != f64::NEG_INFINITY);
    let terms: Vec<f64> = with_mass.map(|(k, w)| w + term(k)).collect();
    -eps * log_sum_exp(&terms)
}

/// Sums of the rows of a plan with `n` of them.
pub(super) fn row_sums(plan: &[f64], n: usize) -> Vec<f64> {
    let m = plan.len().checked_div(n).unwrap_or(0);
    (0..n).map(|i| plan[i * m..(i + 1) * m].iter().sum()).collect()
}

/// Sums of the columns of a plan with `m` of them.
pub(super) fn column_sums(plan: &[f64], m: usize) -> Vec<f64> {
    (0..m).map(|j| plan.iter().skip(j).step_by(m).sum()).collect()
}

/// Sum of absolute differences.
pub(super) fn l1(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(l, r)| (l - r).abs()).sum()
}

/// `sum p ln(p / q) - p + q`, where 0 ln 0 is 0.
fn kl(p: &[f64], q: &[f64]) -> f64 {
    let term = |(&p, &q): (&f64, &f64)| if p == 0.0 { q } else { p * (p / q).ln() - p + q };
    p.iter().zip(q).map(term).sum()
}

pub(super) fn check_weights(name: &str, weights: &[f64]) -> Result<()> {
    match weights.iter().position(|&w| w < 0.0 || w == f64::INFINITY) {
        None => Ok(()),
        Some(k) => {
            let detail = format!("{name}[{k}] is {}, expected a finite weight >= 0", weights[k]);
            Err(KernelError::value("sinkhorn", detail))
        }
    }
}
