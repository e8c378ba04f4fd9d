//! Against the f64 reference, golden vectors and identities.

use ndarray::Array2;

use super::support::*;
use crate::Ragged;
use crate::reference::sinkhorn as twin;
use crate::sinkhorn::*;

#[test]
fn golden_divergences_of_geomloss_are_reproduced() {
    let x = points(&[&[0.0, 0.0], &[1.0, 0.0], &[0.0, 1.0]]);
    let y = points(&[&[1.0, 1.0], &[2.0, 0.0]]);
    for (blur, debiased, biased) in
        [(0.5, 0.7481201295, 0.9480979220), (0.05, 0.8309064290, 0.8331461283)]
    {
        for (debias, want) in [(true, debiased), (false, biased)] {
            let got = one(&x, &y, &geomloss(blur, debias)).value[0];
            assert!((got - want).abs() < 1e-6, "blur {blur}: {got}, expected {want}");
        }
    }
    let moved = &x + &points(&[&[3.0, 4.0]]);
    for (blur, want) in [(0.5, 12.5000000844), (0.05, 12.5)] {
        let got = one(&x, &moved, &geomloss(blur, true)).value[0];
        // 12.5 in f32 has a last place of 1e-6.
        assert!((got - want).abs() < 4e-6, "{got}");
    }
}

#[test]
fn golden_all_pairs_divergences_of_the_contrastive_loss_are_reproduced() {
    let text = points(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], &[1.0, 1.0, 1.0]]);
    let speech = points(&[
        &[1.0, 0.2, 0.0],
        &[0.1, 1.0, 0.0],
        &[0.5, 0.5, 0.0],
        &[0.0, 0.1, 1.0],
        &[1.0, 1.0, 0.8],
    ]);
    let x = Ragged::new(text.view().into(), &[0, 2, 4]).unwrap();
    let y = Ragged::new(speech.view().into(), &[0, 3, 5]).unwrap();
    for (blur, want) in [
        (0.05, [0.09917513, 0.64251941, 0.60869925, 0.00501307]),
        (0.5, [0.05652702, 0.51434658, 0.49972029, 0.0046192]),
    ] {
        let options =
            Options { pairing: Pairing::AllPairs, cost: Cost::Cosine, ..geomloss(blur, true) };
        let got = sinkhorn(&x, &y, Weights::default(), &options).unwrap();
        for (got, want) in got.value.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "blur {blur}: {got}, expected {want}");
        }
    }
}

#[test]
fn plain_iterations_are_those_of_the_reference_at_any_count_and_temperature() {
    for (n, m) in SHAPES {
        let (x, y) = (cloud(n, 7, 1), cloud(m, 7, 2));
        for eps in [1.0, 0.1, 0.02, 0.002] {
            for max_iters in [0, 1, 2, 3, 20] {
                let fixed = Fixed { eps, max_iters, tol: 0.0, acceleration: Acceleration::Plain };
                let options =
                    Options { mode: Mode::Fixed(fixed), plan: true, ..Options::default() };
                let got = one(&x, &y, &options);
                let want = reference(&x, &y, twin::PointCost::SqEuclidean, &fixed, None);
                let at = format!("{n}x{m} eps {eps} after {max_iters}");
                assert!(
                    (got.value[0] - want.value).abs() < 1e-6,
                    "{at}: {} {}",
                    got.value[0],
                    want.value
                );
                assert!(
                    (got.marginal_error[0] - want.marginal_error).abs() < 2e-5 + 1e-6 / eps,
                    "{at}: {} {}",
                    got.marginal_error[0],
                    want.marginal_error
                );
                assert!(
                    (got.gap[0] - want.gap()).abs() < 1e-5,
                    "{at}: gap {} {}",
                    got.gap[0],
                    want.gap()
                );
                close(&got.f, &want.f, 2e-6, &at);
                close(&got.g, &want.g, 2e-6, &at);
                close(&got.plan, &want.plan, 1e-6 / eps.min(0.1), &at);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_the_reference_for_all_costs_and_both_modes() {
    for (n, m) in SHAPES {
        let (x, y) = (cloud(n, 5, 3), cloud(m, 5, 4));
        let (a, b) = (masses(n, 1), masses(m, 2));
        for (cost, of_twin) in COSTS {
            for reach in [None, Some(0.7)] {
                let at = format!("{n}x{m} {cost:?} reach {reach:?}");
                let fixed =
                    Fixed { eps: 0.1, max_iters: 5, tol: 0.0, acceleration: Acceleration::Plain };
                let mode = Mode::Fixed(fixed);
                let options = Options { cost, reach, debias: true, mode, ..Options::default() };
                let (got, grads) = with_weights(&x, &y, &a, &b, &options);
                let rho = reach.map(|r| r.powi(cost.power()));
                let want = twin::divergence(
                    of_twin,
                    (&wide(&x), &wide_slice(&a)),
                    (&wide(&y), &wide_slice(&b)),
                    5,
                    twin::SolveOptions { eps: 0.1, max_iters: 5, tol: 0.0, rho },
                )
                .unwrap();
                assert!(
                    (got.value[0] - want.value).abs() < 1e-6,
                    "{at}: {} {}",
                    got.value[0],
                    want.value
                );
                close(grads.x.as_slice().unwrap(), &want.grad_x, 2e-6, &at);
                close(grads.y.as_slice().unwrap(), &want.grad_y, 2e-6, &at);
                close(&grads.a, &want.grad_a, 4e-6, &at);
                close(&grads.b, &want.grad_b, 4e-6, &at);
                assert!(
                    (grads.eps - want.grad_eps).abs() < 1e-5,
                    "{at}: {} {}",
                    grads.eps,
                    want.grad_eps
                );

                let options = Options { cost, reach, ..geomloss(0.3, true) };
                let (got, grads) = with_weights(&x, &y, &a, &b, &options);
                let want = twin::geomloss(
                    (&wide(&x), &wide_slice(&a)),
                    (&wide(&y), &wide_slice(&b)),
                    5,
                    twin::GeomlossOptions { cost: of_twin, blur: 0.3, reach, ..Default::default() },
                )
                .unwrap();
                let at = format!("geomloss {at}");
                assert!(
                    (got.value[0] - want.value).abs() < 1e-6,
                    "{at}: {} {}",
                    got.value[0],
                    want.value
                );
                assert_eq!(got.iterations[0], want.schedule.len());
                close(&got.f, &want.f, 2e-6, &at);
                close(grads.x.as_slice().unwrap(), &want.grad_x, 2e-6, &at);
                close(grads.y.as_slice().unwrap(), &want.grad_y, 2e-6, &at);
                close(&grads.a, &want.grad_a, 4e-6, &at);
                close(&grads.b, &want.grad_b, 4e-6, &at);
            }
        }
    }
}

fn reference(
    x: &Array2<f32>,
    y: &Array2<f32>,
    cost: twin::PointCost,
    fixed: &Fixed,
    rho: Option<f64>,
) -> twin::Solution {
    let matrix = twin::cost_matrix(cost, &wide(x), &wide(y), x.ncols()).unwrap();
    let uniform = |n: usize| vec![1.0 / n as f64; n];
    let Fixed { eps, max_iters, tol, .. } = *fixed;
    let options = twin::SolveOptions { eps, max_iters, tol, rho };
    twin::solve(&matrix, &uniform(x.nrows()), &uniform(y.nrows()), options).unwrap()
}
