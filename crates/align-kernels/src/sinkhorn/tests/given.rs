//! Given costs, projections, and what is refused.

use super::support::*;
use crate::reference::sinkhorn as twin;
use crate::sinkhorn::*;
use crate::{ErrorKind, Ragged};

#[test]
fn given_costs_solve_as_their_points_do_and_their_gradient_is_the_plan() {
    let (x, y) = (cloud(5, 4, 1), cloud(18, 4, 2));
    let matrix = twin::cost_matrix(twin::PointCost::SqEuclidean, &wide(&x), &wide(&y), 4).unwrap();
    let costs: Vec<f32> = matrix.iter().map(|&c| c as f32).collect();
    for options in [fixed(0.05), geomloss(0.2, false)] {
        let mut options = Options { plan: true, ..options };
        if let Mode::GeomLoss(geomloss) = &mut options.mode {
            geomloss.diameter = Some(1.5);
        }
        let want = one(&x, &y, &options);
        let (got, grads) = sinkhorn_cost(
            &costs[..],
            (&[0, 5], &[0, 18]),
            Weights::default(),
            &options,
            Some(&[1.0]),
        )
        .unwrap();
        assert!((got.value[0] - want.value[0]).abs() < 1e-6);
        close(&got.plan, &wide_slice(&want.plan), 1e-5, "plan");
        let grads = grads.unwrap();
        if matches!(options.mode, Mode::Fixed(_)) {
            assert_eq!(grads.cost, got.plan);
        }
        // Short of convergence the two plans of GeomLoss agree in their mass alone.
        assert!((grads.cost.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn forbidden_and_massless_entries_carry_nothing() {
    let inf = f32::INFINITY;
    let costs = [0.0, inf, f32::NAN, inf, 0.0, f32::NAN];
    let weights = Weights { a: None, b: Some(&[0.5, 0.5, 0.0]) };
    let options = Options { plan: true, ..fixed(0.1) };
    let (got, _) = sinkhorn_cost(&costs[..], (&[0, 2], &[0, 3]), weights, &options, None).unwrap();
    close(&got.plan, &[0.5, 0.0, 0.0, 0.0, 0.5, 0.0], 1e-6, "plan");
}

#[test]
fn projections_are_those_of_the_reference() {
    let (x, y) = (cloud(7, 4, 1), cloud(18, 4, 2));
    let options = Options { plan: true, project_x: true, project_y: true, ..fixed(0.05) };
    let got = one(&x, &y, &options);
    let plan = wide_slice(&got.plan);
    let of_x = twin::project_onto_rows(&plan, &wide(&y), 7, 4).unwrap();
    let of_y = twin::project_onto_columns(&plan, &wide(&x), 18, 4).unwrap();
    close(&got.projected_x, &of_x, 2e-6, "of x");
    close(&got.projected_y, &of_y, 2e-6, "of y");
}

#[test]
fn wrong_arguments_are_named() {
    let (x, y) = (cloud(4, 3, 1), cloud(4, 2, 2));
    let (a, b) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let fail = |x: &Ragged<'_>, y: &Ragged<'_>, weights: Weights<'_>, options: &Options| {
        let error = sinkhorn(x, y, weights, options).unwrap_err();
        (error.kind(), error.to_string())
    };
    let none = Weights::default();
    let options = Options::default();
    let text = "sinkhorn: y has width 2, expected that of x, 3".to_owned();
    assert_eq!(fail(&a, &b, none, &options), (ErrorKind::Shape, text));
    let text = "sinkhorn: weight 1 of x is -1, expected finite and >= 0".to_owned();
    let weights = Weights { a: Some(&[1.0, -1.0, 0.0, 1.0]), b: None };
    assert_eq!(fail(&a, &a, weights, &options), (ErrorKind::Value, text));
    let text = "sinkhorn: y has 3 weights, expected its 4 points".to_owned();
    let weights = Weights { a: None, b: Some(&[1.0; 3]) };
    assert_eq!(fail(&a, &a, weights, &options), (ErrorKind::Shape, text));
    for (options, text) in [
        (
            fixed(f64::NAN),
            "eps is NaN, expected finite and > 0 (hint: start from 0.05 times the mean cost)",
        ),
        (
            Options { reach: Some(0.0), ..options },
            "reach is 0, expected finite and > 0 (hint: leave it out for a balanced problem)",
        ),
        (
            geomloss(-1.0, true),
            "blur is -1, expected finite and > 0 (hint: start from 0.05 times the diameter)",
        ),
    ] {
        let (kind, got) = fail(&a, &a, none, &options);
        assert_eq!((kind, got), (ErrorKind::Option, format!("sinkhorn: {text}")));
    }
    let more = sinkhorn_with_gradient(&a, &a, none, &options, Some(&[1.0, 2.0])).unwrap_err();
    assert_eq!(more.to_string(), "sinkhorn: upstream has 2 weights, expected one a pair, 1");
}
