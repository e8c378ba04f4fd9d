//! The yardstick: the same formulas as plain f32 loops, the way they are first written.

use align_kernels::pairwise_cost::Cost;
use ndarray::ArrayView2;

/// Costs from norms and inner products.
pub fn costs(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>, kind: Cost) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    let row = |i: usize| x.row(i).to_vec();
    let mut out = Vec::new();
    for i in 0..x.nrows() {
        for j in 0..y.nrows() {
            let (x, y) = (row(i), y.row(j).to_vec());
            let (xx, yy, xy) = (dot(&x, &x), dot(&y, &y), dot(&x, &y));
            out.push(match kind {
                Cost::SqEuclidean => (xx + yy) / 2.0 - xy,
                Cost::Euclidean => (xx + yy - 2.0 * xy).max(1e-8).sqrt(),
                Cost::Cosine => 1.0 - xy / (xx.sqrt() * yy.sqrt()),
            });
        }
    }
    out
}

/// One problem in f32: log-sum-exps over given costs.
pub struct Problem<'a> {
    pub cost: &'a [f32],
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub eps: f32,
    /// `rho / (rho + eps)`, or 1.
    pub damping: f32,
}

impl Problem<'_> {
    /// Potentials after some iterations, columns first.
    pub fn solve(&self, iterations: usize) -> (Vec<f32>, Vec<f32>) {
        let m = self.b.len();
        let (mut f, mut g) = (vec![0f32; self.a.len()], vec![0f32; m]);
        for _ in 0..iterations {
            for j in (0..m).filter(|&j| self.b[j] != 0.0) {
                g[j] = self.softmin(self.a, |i| f[i] - self.cost[i * m + j]);
            }
            f = self.rows_after(&g);
        }
        (f, g)
    }

    /// Row potentials after an update from `g`.
    pub fn rows_after(&self, g: &[f32]) -> Vec<f32> {
        let m = self.b.len();
        let row = |i: usize| match self.a[i] {
            0.0 => 0.0,
            _ => self.softmin(self.b, |j| g[j] - self.cost[i * m + j]),
        };
        (0..self.a.len()).map(row).collect()
    }

    fn softmin(&self, weights: &[f32], gap: impl Fn(usize) -> f32) -> f32 {
        let with_mass = || (0..weights.len()).filter(|&k| weights[k] != 0.0);
        let term = |k: usize| gap(k) / self.eps;
        let most = with_mass().map(term).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = with_mass().map(|k| weights[k] * (term(k) - most).exp()).sum();
        -self.damping * self.eps * (most + sum.ln())
    }

    pub fn plan(&self, f: &[f32], g: &[f32]) -> Vec<f32> {
        let m = self.b.len();
        let entry = |k: usize| {
            let (i, j) = (k / m, k % m);
            let weight = self.a[i] * self.b[j];
            if weight == 0.0 {
                0.0
            } else {
                weight * ((f[i] + g[j] - self.cost[k]) / self.eps).exp()
            }
        };
        (0..self.cost.len()).map(entry).collect()
    }

    /// Value of a balanced problem.
    pub fn value(&self, f: &[f32], g: &[f32], plan: &[f32]) -> f32 {
        let dual = |w: &[f32], h: &[f32]| w.iter().zip(h).map(|(w, h)| w * h).sum::<f32>();
        let mass = |w: &[f32]| w.iter().sum::<f32>();
        let excess = mass(plan) - mass(self.a) * mass(self.b);
        dual(self.a, f) + dual(self.b, g) - self.eps * excess
    }
}

/// Gradients of the points, squared Euclidean cost.
pub fn point_gradients(
    x: ArrayView2<'_, f32>,
    y: ArrayView2<'_, f32>,
    plan: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (m, width) = (y.nrows(), x.ncols());
    let (mut grad_x, mut grad_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    for (k, &p) in plan.iter().enumerate().filter(|(_, p)| **p != 0.0) {
        let (i, j) = (k / m, k % m);
        for d in 0..width {
            let pull = p * (x[[i, d]] - y[[j, d]]);
            grad_x[i * width + d] += pull;
            grad_y[j * width + d] -= pull;
        }
    }
    (grad_x, grad_y)
}

/// Roots of the mean squares of our errors and of the plain loop's.
#[derive(Default)]
pub struct Errors {
    ours: f64,
    plain: f64,
    largest: f64,
    count: usize,
}

impl Errors {
    pub fn add(&mut self, got: f64, plain: f64, want: f64) {
        self.ours += (got - want).powi(2);
        self.plain += (plain - want).powi(2);
        self.largest = self.largest.max(want.abs());
        self.count += 1;
    }

    pub fn add_all(&mut self, got: &[f32], plain: &[f32], want: &[f64]) {
        assert_eq!((got.len(), plain.len()), (want.len(), want.len()));
        for ((got, plain), want) in got.iter().zip(plain).zip(want) {
            self.add(f64::from(*got), f64::from(*plain), *want);
        }
    }

    /// Asserts `ours <= factor * plain`, but for `spare` and one ulp of the largest value: a plain loop
    /// that happens to be exact asks for no more than rounding.
    #[track_caller]
    pub fn check(&self, factor: f64, spare: f64, at: &str) {
        if self.count == 0 {
            return;
        }
        let root = |squares: f64| (squares / self.count as f64).sqrt();
        let (ours, plain) = (root(self.ours), root(self.plain));
        let floor = self.largest * f64::from(f32::EPSILON) + spare;
        assert!(
            ours <= factor * plain + floor,
            "{at}: off by {ours:.2e}, a plain loop by {plain:.2e}"
        );
    }
}
