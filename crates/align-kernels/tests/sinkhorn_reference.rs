//! What holds for every entropic transport problem, tried on the f64 references.

mod sinkhorn_cases;

use align_kernels::reference::sinkhorn::{
    GeomlossOptions, PointCost, SolveOptions, cost_matrix, divergence, geomloss,
    project_onto_columns, project_onto_rows, solve, solve_self,
};
use proptest::prelude::*;
use sinkhorn_cases::{COSTS, Clouds, assert_close, cost_of, options};

fn row_sums(plan: &[f64], n: usize) -> Vec<f64> {
    plan.chunks(plan.len() / n).map(|row| row.iter().sum()).collect()
}

fn column_sums(plan: &[f64], m: usize) -> Vec<f64> {
    (0..m).map(|j| plan.iter().skip(j).step_by(m).sum()).collect()
}

prop_compose! {
    fn any_clouds()(
        kind in prop::sample::select(vec!["random", "clustered", "duplicates"]),
        weighting in prop::sample::select(vec!["uniform", "random", "zeros"]),
        shape in (1..14usize, 1..14usize, 1..5usize),
        seed in any::<u64>(),
    ) -> Clouds {
        let mut c = Clouds::new(kind, weighting, shape, seed);
        // So small that at eps 0.2 the contraction of Birkhoff and Hopf bounds the iterations to
        // 1e-11 by some 400,000 for all three costs.
        c.x.iter_mut().chain(&mut c.y).for_each(|x| *x /= 2.0);
        c
    }
}

fn any_cost() -> impl Strategy<Value = PointCost> {
    prop::sample::select(COSTS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn plan_has_the_marginals_it_was_asked_for(
        c in any_clouds(), kind in any_cost(), eps in 0.2..1.0,
    ) {
        let got = solve(&cost_of(kind, &c), &c.a, &c.b, options(eps)).unwrap();
        assert_close(&row_sums(&got.plan, c.a.len()), &c.a, 1e-10);
        assert_close(&column_sums(&got.plan, c.b.len()), &c.b, 1e-10);
        prop_assert!(got.marginal_error <= 1.1e-11, "{}", got.marginal_error);
        prop_assert!(got.gap().abs() < 1e-9, "{}", got.gap());
    }

    #[test]
    fn a_constant_on_the_cost_leaves_the_plan(c in any_clouds(), shift in -3.0..3.0) {
        let mut cost = cost_of(PointCost::SqEuclidean, &c);
        let before = solve(&cost, &c.a, &c.b, options(0.2)).unwrap();
        cost.iter_mut().for_each(|c| *c += shift);
        let after = solve(&cost, &c.a, &c.b, options(0.2)).unwrap();
        assert_close(&after.plan, &before.plan, 1e-9);
        assert_close(&[after.value], &[before.value + shift], 1e-9);
    }

    #[test]
    fn permuting_points_permutes_the_plan(c in any_clouds(), turn in 0..13usize) {
        let (n, m) = (c.a.len(), c.b.len());
        let before = solve(&cost_of(PointCost::SqEuclidean, &c), &c.a, &c.b, options(0.2)).unwrap();
        let mut turned = c.clone();
        turned.x.rotate_left(turn % n * c.width);
        turned.a.rotate_left(turn % n);
        let cost = cost_of(PointCost::SqEuclidean, &turned);
        let after = solve(&cost, &turned.a, &c.b, options(0.2)).unwrap();
        let mut want = before.plan;
        want.rotate_left(turn % n * m);
        assert_close(&after.plan, &want, 1e-9);
        assert_close(&[after.value], &[before.value], 1e-10);
    }

    #[test]
    fn transposing_swaps_the_potentials(c in any_clouds(), kind in any_cost(), rho in 0.2..3.0) {
        // Unbalanced, because there the potentials themselves are unique.
        let options = SolveOptions { rho: Some(rho), ..options(0.2) };
        let (n, m) = (c.a.len(), c.b.len());
        let before = solve(&cost_of(kind, &c), &c.a, &c.b, options).unwrap();
        let turned = cost_matrix(kind, &c.y, &c.x, c.width).unwrap();
        let after = solve(&turned, &c.b, &c.a, options).unwrap();
        assert_close(&after.f, &before.g, 1e-8);
        assert_close(&after.g, &before.f, 1e-8);
        let want: Vec<f64> = (0..m * n).map(|k| before.plan[k % n * m + k / n]).collect();
        assert_close(&after.plan, &want, 1e-9);
    }

    #[test]
    fn scaling_cost_and_eps_scales_the_potentials(c in any_clouds(), scale in 0.1..10.0) {
        let mut cost = cost_of(PointCost::SqEuclidean, &c);
        // A number of iterations, so that both stop at the same one.
        let at = |eps| SolveOptions { eps, max_iters: 30, tol: 0.0, rho: None };
        let before = solve(&cost, &c.a, &c.b, at(0.2)).unwrap();
        cost.iter_mut().for_each(|c| *c *= scale);
        let after = solve(&cost, &c.a, &c.b, at(0.2 * scale)).unwrap();
        let scaled = |h: &[f64]| h.iter().map(|h| h * scale).collect::<Vec<f64>>();
        assert_close(&after.f, &scaled(&before.f), 1e-9);
        assert_close(&after.g, &scaled(&before.g), 1e-9);
        assert_close(&[after.value], &[before.value * scale], 1e-9);
    }

    #[test]
    fn the_divergence_is_symmetric_not_negative_and_0_between_equals(
        c in any_clouds(), kind in any_cost(), rho in prop::option::of(0.2..3.0),
    ) {
        let options = SolveOptions { rho, ..options(0.5) };
        let forth = divergence(kind, (&c.x, &c.a), (&c.y, &c.b), c.width, options).unwrap();
        let back = divergence(kind, (&c.y, &c.b), (&c.x, &c.a), c.width, options).unwrap();
        assert_close(&[forth.value], &[back.value], 1e-9);
        assert_close(&forth.grad_x, &back.grad_y, 1e-8);
        prop_assert!(forth.value >= -1e-10, "{}", forth.value);
        let none = divergence(kind, (&c.x, &c.a), (&c.x, &c.a), c.width, options).unwrap();
        assert_close(&[none.value], &[0.0], 1e-10);
        assert_close(&none.grad_x, &vec![0.0; c.x.len()], 1e-8);
    }

    #[test]
    fn moving_both_clouds_changes_nothing_and_moving_one_costs_half_the_square(
        c in any_clouds(), shift in -2.0..2.0,
    ) {
        let moved = |points: &[f64]| points.iter().map(|x| x + shift).collect::<Vec<f64>>();
        let (x, y) = (moved(&c.x), moved(&c.y));
        let of = |x: &[f64], y: &[f64], b: &[f64]| {
            let kind = PointCost::SqEuclidean;
            divergence(kind, (x, &c.a), (y, b), c.width, options(0.2)).unwrap().value
        };
        assert_close(&[of(&x, &y, &c.b)], &[of(&c.x, &c.y, &c.b)], 1e-9);
        // The optimal plan between a cloud and its translate keeps each point's own debiased plan.
        let square = shift * shift * c.width as f64;
        assert_close(&[of(&c.x, &x, &c.a)], &[square / 2.0], 1e-8);
    }

    #[test]
    fn zero_weight_points_may_hold_nan_and_are_as_good_as_absent(
        mut c in any_clouds(), kind in any_cost(), rho in prop::option::of(0.2..3.0),
    ) {
        let options = SolveOptions { rho, ..options(0.2) };
        let want = divergence(kind, (&c.x, &c.a), (&c.y, &c.b), c.width, options).unwrap();
        let geo = GeomlossOptions { cost: kind, reach: rho, ..Default::default() };
        let want_geo = geomloss((&c.x, &c.a), (&c.y, &c.b), c.width, geo).unwrap();
        c.x.extend(vec![f64::NAN; c.width]);
        c.a.push(0.0);
        c.y.splice(0..0, vec![f64::NAN; c.width]);
        c.b.insert(0, 0.0);
        let got = divergence(kind, (&c.x, &c.a), (&c.y, &c.b), c.width, options).unwrap();
        let got_geo = geomloss((&c.x, &c.a), (&c.y, &c.b), c.width, geo).unwrap();
        for (got, want) in [
            (&got.grad_x, &want.grad_x), (&got.grad_a, &want.grad_a), (&got.xy.f, &want.xy.f),
            (&got_geo.grad_x, &want_geo.grad_x), (&got_geo.grad_a, &want_geo.grad_a),
            (&got_geo.f, &want_geo.f),
        ] {
            prop_assert_eq!(&got[..want.len()], &want[..]);
            prop_assert!(got[want.len()..].iter().all(|&x| x == 0.0));
        }
        for (got, want) in [
            (&got.grad_y, &want.grad_y), (&got.grad_b, &want.grad_b), (&got.xy.g, &want.xy.g),
            (&got_geo.grad_y, &want_geo.grad_y), (&got_geo.grad_b, &want_geo.grad_b),
            (&got_geo.g, &want_geo.g),
        ] {
            prop_assert_eq!(&got[got.len() - want.len()..], &want[..]);
            prop_assert!(got[..got.len() - want.len()].iter().all(|&x| x == 0.0));
        }
        prop_assert_eq!((got.value, got.grad_eps), (want.value, want.grad_eps));
        prop_assert_eq!(got_geo.value, want_geo.value);
    }

    #[test]
    fn a_point_split_in_two_is_the_same_point(
        mut c in any_clouds(), rho in prop::option::of(0.2..3.0),
    ) {
        let options = SolveOptions { rho, ..options(0.2) };
        let want = solve(&cost_of(PointCost::SqEuclidean, &c), &c.a, &c.b, options).unwrap();
        c.x.extend_from_within(0..c.width);
        c.a[0] /= 2.0;
        c.a.push(c.a[0]);
        let got = solve(&cost_of(PointCost::SqEuclidean, &c), &c.a, &c.b, options).unwrap();
        assert_close(&[got.value, got.primal], &[want.value, want.primal], 1e-10);
        assert_close(&got.f[..want.f.len()], &want.f, 1e-9);
        assert_close(&got.g, &want.g, 1e-9);
    }

    #[test]
    fn the_dual_never_falls_and_bounds_the_primal(
        c in any_clouds(), rho in prop::option::of(0.2..3.0),
    ) {
        let cost = cost_of(PointCost::SqEuclidean, &c);
        let mut last = f64::NEG_INFINITY;
        for max_iters in [1, 2, 3, 5, 8, 20] {
            let options = SolveOptions { eps: 0.2, max_iters, tol: 0.0, rho };
            let got = solve(&cost, &c.a, &c.b, options).unwrap();
            prop_assert!(got.value >= last - 1e-12, "{} after {last}", got.value);
            prop_assert!(rho.is_none() || got.gap() >= -1e-12, "gap {}", got.gap());
            last = got.value;
        }
        let best = solve(&cost, &c.a, &c.b, SolveOptions { rho, ..options(0.2) }).unwrap();
        prop_assert!(last <= best.primal + 1e-9);
    }

    #[test]
    fn projections_are_means_that_carry_the_plan_over(c in any_clouds()) {
        let (n, m, width) = (c.a.len(), c.b.len(), c.width);
        let cost = cost_of(PointCost::SqEuclidean, &c);
        let plan = solve(&cost, &c.a, &c.b, options(0.2)).unwrap().plan;
        let ones = project_onto_rows(&plan, &vec![1.0; m], n, 1).unwrap();
        let has_mass: Vec<f64> = c.a.iter().map(|&a| f64::from(a > 0.0)).collect();
        assert_close(&ones, &has_mass, 1e-12);
        let rows = project_onto_rows(&plan, &c.y, n, width).unwrap();
        let columns = project_onto_columns(&plan, &c.x, m, width).unwrap();
        let carried = |weights: &[f64], points: &[f64], k: usize| -> f64 {
            weights.iter().zip(points[k..].iter().step_by(width)).map(|(w, x)| w * x).sum()
        };
        for k in 0..width {
            assert_close(&[carried(&c.a, &rows, k)], &[carried(&c.b, &c.y, k)], 1e-10);
            assert_close(&[carried(&c.b, &columns, k)], &[carried(&c.a, &c.x, k)], 1e-10);
        }
    }

    #[test]
    fn a_cloud_with_itself_has_one_potential(
        c in any_clouds(), kind in any_cost(), rho in prop::option::of(0.2..3.0),
    ) {
        // Warm: between clusters a plan's error is the marginal error times exp(distance / eps).
        let options = SolveOptions { rho, ..options(1.0) };
        let cost = cost_matrix(kind, &c.x, &c.x, c.width).unwrap();
        let own = solve_self(&cost, &c.a, options).unwrap();
        let both = solve(&cost, &c.a, &c.a, options).unwrap();
        prop_assert_eq!(&own.f, &own.g);
        assert_close(&own.plan, &both.plan, 1e-9);
        assert_close(&[own.value], &[both.value], 1e-10);
    }

    #[test]
    fn a_slow_schedule_reaches_the_converged_divergence(
        c in any_clouds(), kind in any_cost(), reach in prop::option::of(0.5..2.0),
    ) {
        // A thousand steps at all but one temperature.
        let (diameter, scaling) = (Some(1.0 + 1e-7), 1.0 - 1e-10);
        let slow =
            GeomlossOptions { cost: kind, blur: 1.0, scaling, diameter, reach, debias: true };
        let got = geomloss((&c.x, &c.a), (&c.y, &c.b), c.width, slow).unwrap();
        let options = SolveOptions { rho: reach.map(|r| r.powi(kind.power())), ..options(1.0) };
        let want = divergence(kind, (&c.x, &c.a), (&c.y, &c.b), c.width, options).unwrap();
        assert_close(&[got.value], &[want.value], 1e-6);
        assert_close(&got.grad_x, &want.grad_x, 1e-6);
        assert_close(&got.grad_y, &want.grad_y, 1e-6);
        assert_close(&got.plan, &want.xy.plan, 1e-6);
    }
}
