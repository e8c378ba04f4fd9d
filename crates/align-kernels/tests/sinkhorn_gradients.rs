//! The gradients of the Sinkhorn references against finite differences.

mod sinkhorn_cases;

use align_kernels::reference::sinkhorn::{
    GeomlossOptions, PointCost, Solution, SolveOptions, cost_matrix, divergence, geomloss,
    gradients, point_gradients, solve,
};
use sinkhorn_cases::{COSTS, Clouds};

const STEP: f64 = 1e-5;

/// Compares every element of `grad` with a central difference of `value`, up to a constant where
/// `centred`: a balanced problem defines the gradient of its weights only so far.
#[track_caller]
fn check(what: &str, grad: &[f64], at: &[f64], centred: bool, value: impl Fn(&[f64]) -> f64) {
    let along = |k: usize, step: f64| {
        let mut at = at.to_vec();
        at[k] += step;
        // Weights keep their sum: what one gains the first loses.
        at[0] -= if centred { step } else { 0.0 };
        value(&at)
    };
    for k in usize::from(centred)..at.len() {
        let difference = (along(k, STEP) - along(k, -STEP)) / (2.0 * STEP);
        let got = if centred { grad[k] - grad[0] } else { grad[k] };
        // The third derivative is of order 1 / eps^2 at most, times STEP^2.
        assert!(
            (got - difference).abs() < 1e-6,
            "{what} {k}: {got}, differences give {difference}"
        );
    }
}

fn clouds() -> [Clouds; 4] {
    [
        Clouds::new("random", "random", (5, 4, 3), 11),
        Clouds::new("clustered", "uniform", (6, 7, 2), 12),
        Clouds::new("random", "uniform", (1, 5, 2), 13),
        Clouds::new("random", "random", (1, 1, 3), 14),
    ]
}

/// Every cloud, balanced, and unbalanced with sums of 1 and 1.3.
fn problems() -> Vec<(Clouds, Option<f64>)> {
    let heavier = |mut c: Clouds| {
        c.b.iter_mut().for_each(|b| *b *= 1.3);
        c
    };
    let balanced = clouds().into_iter().map(|c| (c, None));
    balanced.chain(clouds().into_iter().map(|c| (heavier(c), Some(0.7)))).collect()
}

fn options(rho: Option<f64>) -> SolveOptions {
    SolveOptions { eps: 0.3, max_iters: 20_000, tol: 1e-13, rho }
}

#[test]
fn a_converged_problem_has_the_gradients_of_its_value() {
    for (c, rho) in problems() {
        for kind in COSTS {
            let options = options(rho);
            let cost = |x: &[f64], y: &[f64]| cost_matrix(kind, x, y, c.width).unwrap();
            let of =
                |cost: &[f64], a: &[f64], b: &[f64], options| solve(cost, a, b, options).unwrap();
            let value = |cost: &[f64], a: &[f64], b: &[f64]| of(cost, a, b, options).value;
            let xy = cost(&c.x, &c.y);
            let solution = of(&xy, &c.a, &c.b, options);
            let got = gradients(&solution, &xy, &c.a, &c.b, options).unwrap();
            let (x, y) = point_gradients(kind, &c.x, &c.y, c.width, &got.cost).unwrap();
            check("cost", &got.cost, &xy, false, |cost| value(cost, &c.a, &c.b));
            check("x", &x, &c.x, false, |x| value(&cost(x, &c.y), &c.a, &c.b));
            check("y", &y, &c.y, false, |y| value(&cost(&c.x, y), &c.a, &c.b));
            check("a", &got.a, &c.a, rho.is_none(), |a| value(&xy, a, &c.b));
            check("b", &got.b, &c.b, rho.is_none(), |b| value(&xy, &c.a, b));
            check("eps", &[got.eps], &[options.eps], false, |eps| {
                of(&xy, &c.a, &c.b, SolveOptions { eps: eps[0], ..options }).value
            });
        }
    }
}

#[test]
fn a_divergence_has_the_gradients_of_its_value() {
    for (c, rho) in problems() {
        for kind in COSTS {
            let of = |x: &[f64], y: &[f64], a: &[f64], b: &[f64], eps: f64| {
                let options = SolveOptions { eps, ..options(rho) };
                divergence(kind, (x, a), (y, b), c.width, options).unwrap()
            };
            let got = of(&c.x, &c.y, &c.a, &c.b, 0.3);
            let value = |x: &[f64], y: &[f64], a: &[f64], b: &[f64]| of(x, y, a, b, 0.3).value;
            check("x", &got.grad_x, &c.x, false, |x| value(x, &c.y, &c.a, &c.b));
            check("y", &got.grad_y, &c.y, false, |y| value(&c.x, y, &c.a, &c.b));
            check("a", &got.grad_a, &c.a, rho.is_none(), |a| value(&c.x, &c.y, a, &c.b));
            check("b", &got.grad_b, &c.b, rho.is_none(), |b| value(&c.x, &c.y, &c.a, b));
            let eps = |eps: &[f64]| of(&c.x, &c.y, &c.a, &c.b, eps[0]).value;
            check("eps", &[got.grad_eps], &[0.3], false, eps);
        }
    }
}

/// The dual objective, written once more, at potentials that are held.
fn dual(held: &Solution, cost: &[f64], a: &[f64], b: &[f64], options: SolveOptions) -> f64 {
    let worth = |h: f64| options.rho.map_or(h, |rho| rho * (1.0 - (-h / rho).exp()));
    let mut value = 0.0;
    for (a, &f) in a.iter().zip(&held.f) {
        value += a * worth(f);
    }
    for (b, &g) in b.iter().zip(&held.g) {
        value += b * worth(g);
    }
    for (k, c) in cost.iter().enumerate() {
        let (i, j) = (k / b.len(), k % b.len());
        let s = (held.f[i] + held.g[j] - c) / options.eps;
        value -= options.eps * a[i] * b[j] * (s.exp() - 1.0);
    }
    value
}

#[test]
fn an_unconverged_plan_gives_the_gradients_of_what_was_computed() {
    for (c, rho) in clouds()[..2].iter().flat_map(|c| [(c, None), (c, Some(0.7))]) {
        for max_iters in [0, 1, 3] {
            let kind = PointCost::SqEuclidean;
            let options = SolveOptions { eps: 0.2, max_iters, tol: 0.0, rho };
            let cost = |x: &[f64]| cost_matrix(kind, x, &c.y, c.width).unwrap();
            let xy = cost(&c.x);
            let held = solve(&xy, &c.a, &c.b, options).unwrap();
            assert!(held.marginal_error > 1e-4, "converged after {max_iters}");
            assert!((held.value - dual(&held, &xy, &c.a, &c.b, options)).abs() < 1e-12);
            let got = gradients(&held, &xy, &c.a, &c.b, options).unwrap();
            let (x, _) = point_gradients(kind, &c.x, &c.y, c.width, &got.cost).unwrap();
            check("x", &x, &c.x, false, |x| dual(&held, &cost(x), &c.a, &c.b, options));
            check("a", &got.a, &c.a, false, |a| dual(&held, &xy, a, &c.b, options));
            check("b", &got.b, &c.b, false, |b| dual(&held, &xy, &c.a, b, options));
            check("eps", &[got.eps], &[options.eps], false, |eps| {
                dual(&held, &xy, &c.a, &c.b, SolveOptions { eps: eps[0], ..options })
            });
        }
    }
}

#[test]
fn a_converged_geomloss_has_the_gradients_of_its_value() {
    // A schedule of a hundred steps at all but one temperature, so that it converges.
    let c = Clouds::new("random", "random", (5, 4, 3), 21);
    for reach in [None, Some(0.9)] {
        for (debias, kind) in [(true, COSTS[0]), (false, COSTS[0]), (true, COSTS[2])] {
            let (blur, diameter, scaling) = (1.0, Some(1.0 + 1e-8), 1.0 - 1e-10);
            let options = GeomlossOptions { cost: kind, blur, scaling, diameter, reach, debias };
            let of = |x: &[f64], y: &[f64], a: &[f64], b: &[f64]| {
                geomloss((x, a), (y, b), c.width, options).unwrap()
            };
            let got = of(&c.x, &c.y, &c.a, &c.b);
            assert!(got.schedule.len() > 90 && got.marginal_error < 1e-9, "{}", got.marginal_error);
            let value = |x: &[f64], y: &[f64], a: &[f64], b: &[f64]| of(x, y, a, b).value;
            check("x", &got.grad_x, &c.x, false, |x| value(x, &c.y, &c.a, &c.b));
            check("y", &got.grad_y, &c.y, false, |y| value(&c.x, y, &c.a, &c.b));
            check("a", &got.grad_a, &c.a, true, |a| value(&c.x, &c.y, a, &c.b));
            check("b", &got.grad_b, &c.b, true, |b| value(&c.x, &c.y, &c.a, b));
        }
    }
}
