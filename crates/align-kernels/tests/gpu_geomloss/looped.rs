//! The yardstick: GeomLoss's loop over plain f32 costs, the way it is first written.

use align_kernels::pairwise_cost::Cost;
use ndarray::ArrayView2;

use crate::plain::costs;

/// One pair of clouds, and at which temperatures.
pub struct Pair<'a> {
    pub x: (ArrayView2<'a, f32>, &'a [f32]),
    pub y: (ArrayView2<'a, f32>, &'a [f32]),
    pub kind: Cost,
    pub schedule: &'a [f64],
    pub rho: Option<f64>,
}

/// One problem after its schedule.
pub struct Annealed {
    pub f: Vec<f32>,
    pub g: Vec<f32>,
    pub value: f32,
    /// By the points of `x` and of `y`, through the last update of their own side.
    pub by_x: Vec<f32>,
    pub by_y: Vec<f32>,
}

impl Pair<'_> {
    pub fn solve(&self) -> Annealed {
        let ((x, a), (y, b)) = (self.x, self.y);
        let (n, m) = (a.len(), b.len());
        let cost = costs(x, y, self.kind);
        let empty = |w: &[f32]| w.iter().all(|&w| w == 0.0);
        let (mut f, mut g) = (vec![0f32; n], vec![0f32; m]);
        if empty(a) || empty(b) {
            let (by_x, by_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
            return Annealed { f, g, value: 0.0, by_x, by_y };
        }
        let updated = |f: &[f32], g: &[f32], eps: f64| -> (Vec<f32>, Vec<f32>) {
            let eps32 = eps as f32;
            let damping = self.rho.map_or(1.0, |rho| (rho / (rho + eps)) as f32);
            let rows = (0..n).map(|i| match a[i] {
                0.0 => 0.0,
                _ => damping * softmin(b, eps32, |j| g[j] - cost[i * m + j]),
            });
            let columns = (0..m).map(|j| match b[j] {
                0.0 => 0.0,
                _ => damping * softmin(a, eps32, |i| f[i] - cost[i * m + j]),
            });
            (rows.collect(), columns.collect())
        };
        (f, g) = updated(&f, &g, self.schedule[0]);
        for &eps in self.schedule {
            let (new_f, new_g) = updated(&f, &g, eps);
            f.iter_mut().zip(new_f).for_each(|(f, new)| *f = (*f + new) / 2.0);
            g.iter_mut().zip(new_g).for_each(|(g, new)| *g = (*g + new) / 2.0);
        }
        let eps = self.schedule[self.schedule.len() - 1];
        let (before_f, before_g) = (f, g);
        (f, g) = updated(&before_f, &before_g, eps);
        let plan = |f: &[f32], g: &[f32], k: usize| {
            let weight = a[k / m] * b[k % m];
            match weight {
                0.0 => 0.0,
                _ => weight * ((f[k / m] + g[k % m] - cost[k]) / eps as f32).exp(),
            }
        };
        let (mut by_x, mut by_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
        for (k, &c) in cost.iter().enumerate() {
            let (i, j) = (k / m, k % m);
            pull(self.kind, &mut by_x, (x, i), (y, j), plan(&f, &before_g, k), c);
            pull(self.kind, &mut by_y, (y, j), (x, i), plan(&before_f, &g, k), c);
        }
        let earned = |w: &[f32], h: &[f32]| -> f32 {
            let one = |h: f32| match self.rho {
                None => h,
                Some(rho) => -((rho + eps / 2.0) as f32) * (-h / rho as f32).exp_m1(),
            };
            w.iter().zip(h).map(|(w, &h)| if *w == 0.0 { 0.0 } else { w * one(h) }).sum()
        };
        let value = earned(a, &f) + earned(b, &g);
        Annealed { f, g, value, by_x, by_y }
    }
}

/// Adds `p dC / d own_i`.
pub fn pull(
    kind: Cost,
    grad: &mut [f32],
    (own, i): (ArrayView2<'_, f32>, usize),
    (other, j): (ArrayView2<'_, f32>, usize),
    p: f32,
    cost: f32,
) {
    if p == 0.0 {
        return;
    }
    let (u, v, width) = (own.row(i), other.row(j), own.ncols());
    let out = &mut grad[i * width..(i + 1) * width];
    match kind {
        Cost::SqEuclidean => {
            for d in 0..width {
                out[d] += p * (u[d] - v[d]);
            }
        }
        Cost::Euclidean if cost <= 1e-4 => {}
        Cost::Euclidean => {
            for d in 0..width {
                out[d] += p / cost * (u[d] - v[d]);
            }
        }
        Cost::Cosine => {
            let (long, wide) = (u.dot(&u).sqrt(), v.dot(&v).sqrt());
            let cosine = u.dot(&v) / (long * wide);
            for d in 0..width {
                out[d] -= p / long * (v[d] / wide - cosine * u[d] / long);
            }
        }
    }
}

fn softmin(weights: &[f32], eps: f32, gap: impl Fn(usize) -> f32) -> f32 {
    let with_mass = || (0..weights.len()).filter(|&k| weights[k] != 0.0);
    let most = with_mass().map(|k| gap(k) / eps).fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = with_mass().map(|k| weights[k] * (gap(k) / eps - most).exp()).sum();
    -eps * (most + sum.ln())
}
