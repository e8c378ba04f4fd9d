//! What is read off potentials and sums, and what of it the host gets.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::iterate::{Iterations, Reached};
use super::plan::Sums;
use super::problem::{Problem, Side};
use super::updates::Buffer;
use crate::error::Result;
use crate::registry::VALUE;

/// Results on the host.
pub(super) struct Numbers {
    /// Value, gap, marginal error and `d value / d eps` of each pair; the last without the entropy
    /// where no plan was made.
    pub report: Vec<[f64; 4]>,
    pub iterations: Vec<usize>,
    pub f: Vec<f32>,
    pub g: Vec<f32>,
    /// Potentials before the last update of GeomLoss.
    pub before: Option<[Vec<f32>; 2]>,
}

/// What solved problems are, for what is read off them.
#[derive(Clone, Copy)]
pub(super) struct Kind<'k> {
    /// Weights of the points of both sides.
    pub weights: [&'k [f32]; 2],
    /// Whether the temperature fell, as in GeomLoss: its value is that of the potentials alone.
    pub is_annealed: bool,
}

/// Potentials of both sides, and what their plans sum to.
#[derive(Clone, Copy)]
pub(super) struct State<'s> {
    pub potentials: [&'s Buffer; 2],
    pub sums: [&'s Buffer; 2],
    /// Of the rows, where plans were made.
    pub entropy: Option<&'s Buffer>,
}

pub(super) fn fetch(
    problem: &Problem<'_>,
    kind: Kind<'_>,
    reached: &Reached,
    sums: &Sums,
) -> Result<Numbers> {
    let session = &problem.session;
    let state = State {
        potentials: [&reached.f, &reached.g],
        sums: [&sums.rows, &sums.columns],
        entropy: sums.entropy.as_ref(),
    };
    let (f, g, report) = reported(problem, kind, state)?;
    let iterations = match &reached.iterations {
        Iterations::Counted(counts) => {
            session.fetch(counts)?.into_iter().map(|count| count as usize).collect()
        }
        Iterations::Known(counts) => counts.clone(),
    };
    let before = match &reached.before {
        Some([f, g]) => Some([session.fetch(f)?, session.fetch(g)?]),
        None => None,
    };
    Ok(Numbers { report, iterations, f, g, before })
}

/// Potentials of both sides on the host, and the four numbers of each pair.
pub(super) type Reported = (Vec<f32>, Vec<f32>, Vec<[f64; 4]>);

/// Brings potentials and numbers to the host.
pub(super) fn reported(
    problem: &Problem<'_>,
    kind: Kind<'_>,
    state: State<'_>,
) -> Result<Reported> {
    let session = &problem.session;
    let balanced = problem.rho.is_infinite();
    let on_device = balanced.then(|| on_device(problem, kind, state)).transpose()?;
    let [f, g] = state.potentials;
    let (f, g) = (session.fetch(f)?, session.fetch(g)?);
    let report = match on_device {
        Some(report) => session.fetch(&report)?,
        None => {
            let [r, c] = state.sums;
            let (r, c) = (session.fetch(r)?, session.fetch(c)?);
            let entropy = state.entropy.map(|entropy| session.fetch(entropy)).transpose()?;
            on_host(problem, kind, [&f, &g], [&r, &c], entropy.as_deref())
        }
    };
    Ok((f, g, report))
}

/// Balanced problems: a kernel adds up, and four numbers a pair are all that is copied.
fn on_device(
    problem: &Problem<'_>,
    kind: Kind<'_>,
    state: State<'_>,
) -> Result<DeviceBuffer<[f64; 4]>> {
    let session = &problem.session;
    let mut report = session.room(problem.layout.pairs.len())?;
    let kernel = session.kernel(&VALUE)?;
    let ([f, g], [r, c]) = (state.potentials, state.sums);
    let args = args![
        &mut report,
        f,
        g,
        r,
        c,
        state.entropy.map_or(Arg::address(0), Arg::from),
        problem.weights(Side::Rows),
        problem.weights(Side::Columns),
        problem.pairs(),
        // What the plan's mass is off by has no part in the value of GeomLoss.
        if kind.is_annealed { 0.0 } else { problem.eps },
    ];
    let launch = Launch::linear(problem.pair_count(), 256);
    // SAFETY: potentials and sums have the sizes of the layout, the report an entry a pair.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(report)
}

/// Problems with a reach, from potentials and sums of both sides and, where plans were made, the
/// entropy of their rows.
fn on_host(
    problem: &Problem<'_>,
    kind: Kind<'_>,
    [f, g]: [&[f32]; 2],
    [r, c]: [&[f32]; 2],
    entropy: Option<&[f32]>,
) -> Vec<[f64; 4]> {
    let one = |k: usize| {
        let [x, n, y, m, ..] = problem.layout.pairs[k].map(|word| word as usize);
        let (rows, columns) = problem.layout.potentials(k);
        let [a, b] = kind.weights;
        let (a, b) = (&a[x..x + n], &b[y..y + m]);
        let both = wide_sum(a) * wide_sum(b);
        if both == 0.0 {
            return [0.0; 4];
        }
        let of_x = Weighed::new(a, &f[rows.clone()], &r[rows.clone()]);
        let of_y = Weighed::new(b, &g[columns.clone()], &c[columns]);
        let entropy = entropy.map_or(0.0, |entropy| wide_sum(&entropy[rows]));
        unbalanced(problem.eps, problem.rho, kind.is_annealed, [of_x, of_y], both, entropy)
    };
    (0..problem.layout.pairs.len()).map(one).collect()
}

/// One side of a pair.
struct Weighed<'s> {
    weights: &'s [f32],
    potentials: &'s [f32],
    sums: &'s [f32],
}

impl<'s> Weighed<'s> {
    fn new(weights: &'s [f32], potentials: &'s [f32], sums: &'s [f32]) -> Self {
        Self { weights, potentials, sums }
    }

    /// Weight, potential and sum of the points with mass.
    fn points(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let all = self.weights.iter().zip(self.potentials).zip(self.sums);
        let some = all.filter(|((w, _), _)| **w != 0.0);
        some.map(|((&w, &h), &sum)| (f64::from(w), f64::from(h), f64::from(sum)))
    }
}

/// Value, gap, marginal error and slope of one problem. `both` is the product of the masses.
fn unbalanced(
    eps: f64,
    rho: f64,
    is_annealed: bool,
    sides: [Weighed<'_>; 2],
    both: f64,
    entropy: f64,
) -> [f64; 4] {
    let (mut dual, mut moved, mut penalty, mut error, mut mass) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut earned = 0.0;
    for (w, h, sum) in sides.iter().flat_map(Weighed::points) {
        dual += w * worth(h, rho);
        earned += w * earned_by(h, rho, rho + eps / 2.0);
        moved += sum * h;
        mass += sum;
        error += (sum - w * (-h / rho).exp()).abs();
        let log = if sum == 0.0 { 0.0 } else { sum * (sum / w).ln() };
        penalty += rho * (log - sum + w);
    }
    // Both sides' sums are the plan's mass.
    let excess = mass / 2.0 - both;
    // <P, C> + eps KL = sum P (f + g) - eps excess.
    let value = if is_annealed { earned } else { dual - eps * excess };
    [value, moved + penalty - dual, error, entropy - excess]
}

/// What a potential earns per unit of weight.
pub(super) fn worth(h: f64, rho: f64) -> f64 {
    if rho.is_infinite() { h } else { earned_by(h, rho, rho) }
}

/// The same with another factor before the penalty: GeomLoss has one of its own for values and for
/// gradients.
pub(super) fn earned_by(h: f64, rho: f64, factor: f64) -> f64 {
    -factor * (-h / rho).exp_m1()
}

fn wide_sum(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::sinkhorn as twin;

    #[test]
    fn an_unbalanced_report_is_that_of_the_twin() {
        let cost = [0.1f32, 0.7, 0.4, 0.9, 0.2, 0.5];
        let (a, b) = ([0.25f32, 0.0, 0.5], [0.5f32, 0.75]);
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let options = twin::SolveOptions { eps: 0.3, max_iters: 7, tol: 0.0, rho: Some(0.8) };
        let want = twin::solve(&wide(&cost), &wide(&a), &wide(&b), options).unwrap();
        let slope =
            twin::gradients(&want, &wide(&cost), &wide(&a), &wide(&b), options).unwrap().eps;
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let sums: [Vec<f64>; 2] = [
            want.plan.chunks(2).map(|row| row.iter().sum()).collect(),
            (0..2).map(|j| want.plan.iter().skip(j).step_by(2).sum()).collect(),
        ];
        let [r, c] = sums.map(|sums| narrow(&sums));
        let (f, g) = (narrow(&want.f), narrow(&want.g));
        let entropy: f64 = (0..6)
            .filter(|&k| want.plan[k] != 0.0)
            .map(|k| want.plan[k] * (want.f[k / 2] + want.g[k % 2] - f64::from(cost[k])) / 0.3)
            .sum();
        let sides = [Weighed::new(&a, &f, &r), Weighed::new(&b, &g, &c)];
        let got = unbalanced(0.3, 0.8, false, sides, 0.75 * 1.25, entropy);
        for (got, want) in got.into_iter().zip([want.value, want.gap(), want.marginal_error, slope])
        {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
