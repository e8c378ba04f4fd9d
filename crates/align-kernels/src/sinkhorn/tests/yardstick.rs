//! Beside a plain f32 loop: log-sum-exps over costs from differences, the way it is first written.

use ndarray::Array2;

use super::support::*;
use crate::reference::sinkhorn as twin;
use crate::sinkhorn::*;

/// Value and gradients of the points, everything in f32.
struct Plain {
    value: f32,
    grad_x: Vec<f32>,
    grad_y: Vec<f32>,
}

fn plain(x: &Array2<f32>, y: &Array2<f32>, eps: f32, iterations: usize) -> Plain {
    let (n, m, width) = (x.nrows(), y.nrows(), x.ncols());
    let cost = Array2::from_shape_fn((n, m), |(i, j)| {
        x.row(i).iter().zip(y.row(j)).map(|(x, y)| (x - y) * (x - y)).sum::<f32>() / 2.0
    });
    let (a, b) = (1.0 / n as f32, 1.0 / m as f32);
    let soft_min = |terms: Vec<f32>, weight: f32| {
        let most = terms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = terms.iter().map(|term| weight * (term - most).exp()).sum();
        -eps * (most + sum.ln())
    };
    let (mut f, mut g) = (vec![0.0f32; n], vec![0.0f32; m]);
    for _ in 0..iterations {
        for (j, slot) in g.iter_mut().enumerate() {
            *slot = soft_min((0..n).map(|i| (f[i] - cost[[i, j]]) / eps).collect(), a);
        }
        for (i, slot) in f.iter_mut().enumerate() {
            *slot = soft_min((0..m).map(|j| (g[j] - cost[[i, j]]) / eps).collect(), b);
        }
    }
    let value = f.iter().sum::<f32>() * a + g.iter().sum::<f32>() * b;
    let (mut grad_x, mut grad_y) = (vec![0.0; n * width], vec![0.0; m * width]);
    for i in 0..n {
        for j in 0..m {
            let p = a * b * ((f[i] + g[j] - cost[[i, j]]) / eps).exp();
            for d in 0..width {
                let pull = p * (x[[i, d]] - y[[j, d]]);
                grad_x[i * width + d] += pull;
                grad_y[j * width + d] -= pull;
            }
        }
    }
    Plain { value, grad_x, grad_y }
}

/// Root of the mean square of errors.
#[derive(Default)]
struct Spread {
    squares: f64,
    count: usize,
}

impl Spread {
    fn add(&mut self, got: impl IntoIterator<Item = f64>, want: &[f64]) {
        for (got, want) in got.into_iter().zip(want) {
            self.squares += (got - want).powi(2);
            self.count += 1;
        }
    }

    fn root(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

#[test]
fn values_are_within_twice_and_gradients_within_three_times_the_error_of_a_plain_loop() {
    for (n, m, width) in [(5, 9, 3), (33, 18, 16), (48, 160, 64), (130, 70, 300)] {
        for eps in [0.5, 0.1, 0.05] {
            let iterations = 60;
            let [mut ours, mut theirs] = [(); 2].map(|()| [Spread::default(), Spread::default()]);
            for seed in 0..6 {
                let (x, y) = (cloud(n, width, seed), cloud(m, width, seed + 40));
                let fixed = Fixed {
                    eps,
                    max_iters: iterations,
                    tol: 0.0,
                    acceleration: Acceleration::Plain,
                };
                let options = Options { mode: Mode::Fixed(fixed), ..Options::default() };
                let uniform = |n: usize| vec![1.0 / n as f32; n];
                let (got, grads) = with_weights(&x, &y, &uniform(n), &uniform(m), &options);
                let loops = plain(&x, &y, eps as f32, iterations);
                let (wide_x, wide_y) = (wide(&x), wide(&y));
                let (a, b) = (wide_slice(&uniform(n)), wide_slice(&uniform(m)));
                let kind = twin::PointCost::SqEuclidean;
                let cost = twin::cost_matrix(kind, &wide_x, &wide_y, width).unwrap();
                let exact = twin::SolveOptions { eps, max_iters: iterations, tol: 0.0, rho: None };
                let want = twin::solve(&cost, &a, &b, exact).unwrap();
                let (grad_x, grad_y) =
                    twin::point_gradients(kind, &wide_x, &wide_y, width, &want.plan).unwrap();
                ours[0].add([got.value[0]], &[want.value]);
                theirs[0].add([f64::from(loops.value)], &[want.value]);
                for (grad, plain, want) in
                    [(&grads.x, loops.grad_x, &grad_x), (&grads.y, loops.grad_y, &grad_y)]
                {
                    ours[1].add(wide(grad), want);
                    theirs[1].add(wide_slice(&plain), want);
                }
            }
            for (k, (factor, what)) in [(2.0, "value"), (3.0, "gradient")].into_iter().enumerate() {
                let (ours, theirs) = (ours[k].root(), theirs[k].root());
                // A plain loop that happens to be exact asks for no more than rounding.
                let floor = if k == 0 { 3e-8 } else { 1e-9 };
                assert!(
                    ours <= factor * theirs + floor,
                    "{n}x{m} d {width} eps {eps}: {what} off by {ours:.2e}, plain by {theirs:.2e}"
                );
            }
        }
    }
}
