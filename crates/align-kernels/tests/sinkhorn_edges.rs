//! Limits, empty sides, NaN, infinity and wrong arguments of the f64 Sinkhorn references.

mod sinkhorn_cases;

use align_kernels::reference::sinkhorn::{
    GeomlossOptions, PointCost, SolveOptions, cost_matrix, divergence, geomloss, project_onto_rows,
    solve,
};
use sinkhorn_cases::{COSTS, Clouds, Generator, assert_close, cost_of, options};

#[test]
fn one_point_against_many_has_the_only_plan_there_is() {
    let c = Clouds::new("random", "random", (1, 7, 3), 4);
    let cost = cost_of(PointCost::SqEuclidean, &c);
    let got = solve(&cost, &c.a, &c.b, options(0.01)).unwrap();
    assert_eq!(got.iterations, 1);
    assert_close(&got.plan, &c.b, 1e-14);
    let mean: f64 = c.b.iter().zip(&cost).map(|(b, c)| b * c).sum();
    assert_close(&[got.value, got.primal], &[mean, mean], 1e-14);
}

#[test]
fn at_small_eps_the_value_is_that_of_the_best_assignment() {
    fn best(cost: &[f64], n: usize, i: usize, used: usize) -> f64 {
        let free = (0..n).filter(|j| used >> j & 1 == 0);
        free.map(|j| cost[i * n + j] + best(cost, n, i + 1, used | 1 << j))
            .reduce(f64::min)
            .unwrap_or(0.0)
    }
    for (seed, kind) in COSTS.into_iter().enumerate() {
        let c = Clouds::new("random", "uniform", (5, 5, 2), seed as u64);
        let cost = cost_of(kind, &c);
        let exact = best(&cost, 5, 0, 0) / 5.0;
        let options = SolveOptions { eps: 0.002, max_iters: 200_000, tol: 1e-9, rho: None };
        let got = solve(&cost, &c.a, &c.b, options).unwrap();
        // eps KL(P | ab) is between 0 and eps ln 5.
        let slack = 0.002 * 5f64.ln();
        assert!(
            (exact..exact + slack + 1e-6).contains(&got.value),
            "{kind:?} {} {exact}",
            got.value
        );
    }
}

#[test]
fn at_large_eps_the_plan_forgets_the_cost_and_at_large_rho_the_penalty_binds() {
    let c = Clouds::new("random", "random", (4, 6, 2), 8);
    let cost = cost_of(PointCost::SqEuclidean, &c);
    let product: Vec<f64> = c.a.iter().flat_map(|a| c.b.iter().map(move |b| a * b)).collect();
    let loose = solve(&cost, &c.a, &c.b, options(1e6)).unwrap();
    assert_close(&loose.plan, &product, 1e-6);
    let bound = solve(&cost, &c.a, &c.b, SolveOptions { rho: Some(1e7), ..options(0.2) }).unwrap();
    let balanced = solve(&cost, &c.a, &c.b, options(0.2)).unwrap();
    assert_close(&bound.plan, &balanced.plan, 1e-5);
    // Moving nothing costs eps for the plan and rho for each side.
    let free = solve(&cost, &c.a, &c.b, SolveOptions { rho: Some(1e-3), ..options(0.1) }).unwrap();
    assert!(free.value < 0.1 + 2e-3 && free.plan.iter().sum::<f64>() < 0.1, "{}", free.value);
}

#[test]
fn empty_and_massless_sides_give_zeros() {
    let y = Generator::new(1).points(3, 2);
    for (x, a, b) in [
        (&[][..], &[][..], &[0.2, 0.3, 0.5][..]),
        (&[1.0, 2.0], &[0.0], &[0.2, 0.3, 0.5]),
        (&[1.0, 2.0], &[1.0], &[0.0; 3]),
    ] {
        for rho in [None, Some(1.0)] {
            let got = divergence(
                PointCost::SqEuclidean,
                (x, a),
                (&y, b),
                2,
                SolveOptions { rho, ..options(0.1) },
            )
            .unwrap();
            let geo = GeomlossOptions { reach: rho, ..Default::default() };
            let geo = geomloss((x, a), (&y, b), 2, geo).unwrap();
            assert_eq!((got.value, got.grad_eps, got.xy.iterations, geo.value), (0.0, 0.0, 0, 0.0));
            for (array, len) in [
                (&got.grad_x, x.len()),
                (&got.grad_y, 6),
                (&got.grad_a, a.len()),
                (&got.grad_b, 3),
                (&got.xy.plan, 3 * a.len()),
                (&geo.grad_x, x.len()),
                (&geo.grad_y, 6),
                (&geo.grad_a, a.len()),
                (&geo.grad_b, 3),
                (&geo.plan, 3 * a.len()),
                (&geo.f_self, a.len()),
                (&geo.g_self, 3),
            ] {
                assert_eq!(*array, vec![0.0; len]);
            }
        }
    }
}

#[test]
fn nan_in_points_or_weights_makes_the_value_nan_and_infinite_costs_forbid_pairs() {
    let c = Clouds::new("random", "uniform", (3, 4, 2), 5);
    for poison in 0..4 {
        let mut c =
            Clouds { x: c.x.clone(), y: c.y.clone(), a: c.a.clone(), b: c.b.clone(), width: 2 };
        [&mut c.x, &mut c.y, &mut c.a, &mut c.b][poison][2] = f64::NAN;
        for kind in COSTS {
            let got = divergence(kind, (&c.x, &c.a), (&c.y, &c.b), 2, options(0.1)).unwrap();
            let options = GeomlossOptions { cost: kind, ..Default::default() };
            let geo = geomloss((&c.x, &c.a), (&c.y, &c.b), 2, options).unwrap();
            assert!(got.value.is_nan() && geo.value.is_nan(), "{poison} {kind:?}");
            assert!(got.xy.iterations < 3, "loops for NaN");
        }
    }
    let cost = [0.0, f64::INFINITY, 5.0, 0.0];
    let got = solve(&cost, &[0.5, 0.5], &[0.5, 0.5], options(0.1)).unwrap();
    assert_close(&got.plan, &[0.5, 0.0, 0.0, 0.5], 1e-12);
    assert!(got.gap().abs() < 1e-12);
}

#[test]
fn equal_points_need_no_annealing() {
    let c = Clouds {
        x: vec![3.0; 4],
        y: vec![3.0; 6],
        a: vec![0.5; 2],
        b: vec![1.0 / 3.0; 3],
        width: 2,
    };
    let got = geomloss((&c.x, &c.a), (&c.y, &c.b), 2, GeomlossOptions::default()).unwrap();
    assert_eq!(got.schedule, [0.05f64.powi(2); 2]);
    assert_close(&[got.value], &[0.0], 1e-15);
    assert_eq!((got.grad_x, got.grad_y), (vec![0.0; 4], vec![0.0; 6]));
}

#[test]
fn wrong_arguments_are_named() {
    let good = SolveOptions { eps: 0.1, max_iters: 9, tol: 0.0, rho: None };
    let case =
        |cost: &[f64], a: &[f64], options| solve(cost, a, &[1.0], options).unwrap_err().to_string();
    let geo =
        |options| geomloss((&[1.0], &[1.0]), (&[2.0], &[1.0]), 1, options).unwrap_err().to_string();
    let plain = GeomlossOptions::default();
    for (got, want) in [
        (case(&[1.0, 2.0], &[1.0], good), "sinkhorn: cost has 2 values, expected N * M = 1 * 1"),
        (case(&[1.0], &[-1.0], good), "sinkhorn: a[0] is -1, expected a finite weight >= 0"),
        (
            case(&[1.0], &[1.0], SolveOptions { eps: 0.0, ..good }),
            "sinkhorn: eps is 0, expected finite and > 0 (hint: start from 0.05 times the mean cost)",
        ),
        (
            case(&[1.0], &[1.0], SolveOptions { eps: f64::NAN, ..good }),
            "sinkhorn: eps is NaN, expected finite and > 0 (hint: start from 0.05 times the mean cost)",
        ),
        (
            case(&[1.0], &[1.0], SolveOptions { rho: Some(-1.0), ..good }),
            "sinkhorn: rho is -1, expected finite and > 0 (hint: leave it out for a balanced problem)",
        ),
        (
            case(&[1.0], &[1.0], SolveOptions { tol: -1.0, ..good }),
            "sinkhorn: tol is -1, expected >= 0 (hint: 0 runs all iterations)",
        ),
        (
            geo(GeomlossOptions { blur: 0.0, ..plain }),
            "sinkhorn: blur is 0, expected finite and > 0 (hint: 0.05 times the diameter is a common choice)",
        ),
        (
            geo(GeomlossOptions { scaling: 1.0, ..plain }),
            "sinkhorn: scaling is 1, expected between 0 and 1 (hint: 0.5 is fast, 0.9 is precise)",
        ),
        (
            geo(GeomlossOptions { reach: Some(0.0), ..plain }),
            "sinkhorn: reach is 0, expected finite and > 0 (hint: leave it out for a balanced problem)",
        ),
        (
            cost_matrix(PointCost::Cosine, &[1.0; 3], &[], 2).unwrap_err().to_string(),
            "pairwise_cost: x has 3 values, expected a multiple of D = 2",
        ),
        (
            project_onto_rows(&[1.0; 3], &[1.0; 2], 2, 1).unwrap_err().to_string(),
            "sinkhorn: plan has 3 values, expected N * M = 2 * 2",
        ),
    ] {
        assert_eq!(got, want);
    }
}
