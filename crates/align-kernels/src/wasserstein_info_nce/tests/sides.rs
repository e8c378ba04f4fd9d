//! Gradients of one side against those of both.

use super::*;
use crate::GradientSides;

#[track_caller]
fn check_half(got: &Output, both: &Output, sides: GradientSides) {
    assert_eq!((got.value, got.grad_temperature), (both.value, both.grad_temperature));
    let (got, both) = (&got.gradients, &both.gradients);
    assert_eq!(got.eps, both.eps);
    if sides == GradientSides::X {
        assert_eq!((&got.x, &got.a), (&both.x, &both.a));
        assert_eq!((got.y.dim(), got.b.len()), ((0, both.y.ncols()), 0));
    } else {
        assert_eq!((&got.y, &got.b), (&both.y, &both.b));
        assert_eq!((got.x.dim(), got.a.len()), ((0, both.x.ncols()), 0));
    }
}

#[test]
fn gradients_of_one_side_are_its_half_of_both() {
    let (x, y) = (Batch::new(&[4, 0, 19], 7, 3), Batch::new(&[1, 36, 3], 7, 4));
    let mask = [true, true, false];
    for (mode, _, cost, debias) in TRANSPORTS {
        for column_mask in [None, Some(&mask[..])] {
            let contrast = Options { symmetric: true, column_mask, ..Options::default() };
            let of = |gradients| {
                let transport =
                    sinkhorn::Options { mode, cost, debias, gradients, ..contr_wasser(0.3) };
                run(&x, &y, &transport, &contrast)
            };
            let both = of(GradientSides::Both);
            for sides in [GradientSides::X, GradientSides::Y] {
                check_half(&of(sides), &both, sides);
            }
        }
    }
}

#[test]
fn layers_with_gradients_of_one_side_have_its_half_of_both() {
    let (x, y) = (Batch::new(&[4, 2, 9], 5, 3), Batch::new(&[1, 6, 3], 5, 4));
    for (mode, _, cost, debias) in TRANSPORTS {
        let of = |gradients| {
            let layers = [(&x, &y), (&y, &x)].map(|(x, y)| {
                let (x, y, weights) = (x.ragged(), y.ragged(), Weights::default());
                Layer { x, y, weights, temperature: 0.2, weight: 1.0 }
            });
            let transport =
                sinkhorn::Options { mode, cost, debias, gradients, ..contr_wasser(0.3) };
            wasserstein_info_nce_layers(&layers, &transport, &Options::default()).unwrap().layers
        };
        let both = of(GradientSides::Both);
        for sides in [GradientSides::X, GradientSides::Y] {
            for (got, both) in of(sides).iter().zip(&both) {
                check_half(got, both, sides);
            }
        }
    }
}

/// More products than are kept, in more than one chunk.
#[test]
fn batches_too_large_to_keep_their_costs_have_the_same_gradients() {
    let (x, y) = (Batch::new(&[2100, 2100], 1, 3), Batch::new(&[2101, 2100], 1, 4));
    let fixed = Fixed { eps: 0.2, max_iters: 1, tol: 0.0, acceleration: Acceleration::Plain };
    let (mode, debias, cost) = (Mode::Fixed(fixed), false, Cost::SqEuclidean);
    let transport = sinkhorn::Options { mode, debias, cost, ..contr_wasser(0.3) };
    let got = run(&x, &y, &transport, &Options::default());
    let upstream: Vec<f32> = got.grad_divergence.iter().map(|&s| s as f32).collect();
    let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
    let (x, y) = (x.ragged(), y.ragged());
    let (solved, want) =
        sinkhorn::sinkhorn_with_gradient(&x, &y, weights, &transport, Some(&upstream)).unwrap();
    assert_eq!(got.transport.value, solved.value);
    assert_eq!((&got.gradients.x, &got.gradients.y), (&want.x, &want.y));
}
