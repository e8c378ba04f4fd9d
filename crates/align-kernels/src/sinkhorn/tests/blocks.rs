//! Pairs by blocks, and gradients of one side.

use ndarray::{Axis, concatenate, s};

use super::support::*;
use crate::sinkhorn::*;
use crate::{ErrorKind, GradientSides, Ragged};

/// Two blocks of two items of `x` and three of `y`: the offsets of each.
const X: [[usize; 3]; 2] = [[0, 3, 8], [0, 20, 21]];
const Y: [[usize; 4]; 2] = [[0, 1, 5, 5], [0, 2, 3, 36]];

fn modes() -> Vec<Options> {
    let base = [fixed(0.1), geomloss(0.2, false)];
    let annealed = Mode::GeomLoss(GeomLoss { diameter: Some(2.0), ..GeomLoss::default() });
    let mut all = Vec::new();
    for options in [base[0], base[1], Options { mode: annealed, ..base[1] }] {
        for (cost, _) in COSTS {
            for debias in [false, true] {
                all.push(Options { cost, debias, plan: true, ..options });
            }
        }
    }
    all
}

#[test]
fn blocks_have_the_bits_of_their_pairs_by_themselves() {
    let points = |offsets: &[usize], seed| cloud(offsets[offsets.len() - 1], 6, seed);
    let (x, y) = ([points(&X[0], 1), points(&X[1], 2)], [points(&Y[0], 3), points(&Y[1], 4)]);
    let all_x = concatenate![Axis(0), x[0], x[1]];
    let all_y = concatenate![Axis(0), y[0], y[1]];
    let (of_x, of_y) = ([0, 3, 8, 28, 29], [0, 1, 5, 5, 7, 8, 41]);
    let upstream: Vec<f32> = (0..12).map(|k| 0.4 + k as f32 / 7.0).collect();
    for options in modes() {
        let blocks = Options { pairing: Pairing::Blocks(2), ..options };
        let (ragged_x, ragged_y) = (
            Ragged::new(all_x.view().into(), &of_x).unwrap(),
            Ragged::new(all_y.view().into(), &of_y).unwrap(),
        );
        let run = |options: &Options| {
            let weights = Weights::default();
            sinkhorn_with_gradient(&ragged_x, &ragged_y, weights, options, Some(&upstream)).unwrap()
        };
        let (got, grads) = run(&blocks);
        let (mut rows, mut columns, mut eps) = (0, 0, 0.0);
        for b in 0..2 {
            let (x, y) = (
                Ragged::new(x[b].view().into(), &X[b]).unwrap(),
                Ragged::new(y[b].view().into(), &Y[b]).unwrap(),
            );
            let all = Options { pairing: Pairing::AllPairs, ..options };
            let upstream = Some(&upstream[6 * b..6 * b + 6]);
            let (want, alone) =
                sinkhorn_with_gradient(&x, &y, Weights::default(), &all, upstream).unwrap();
            let at = format!("{options:?}, block {b}");
            assert_eq!(got.value[6 * b..6 * b + 6], want.value, "{at}");
            for k in 0..6 {
                assert_eq!(got.f_of(6 * b + k), want.f_of(k), "{at}");
                assert_eq!(got.g_of(6 * b + k), want.g_of(k), "{at}");
                assert_eq!(got.plan_of(6 * b + k), want.plan_of(k), "{at}");
            }
            let (n, m) = (alone.x.nrows(), alone.y.nrows());
            assert_eq!(grads.x.slice(s![rows..rows + n, ..]), alone.x, "{at}");
            assert_eq!(grads.y.slice(s![columns..columns + m, ..]), alone.y, "{at}");
            assert_eq!(grads.a[rows..rows + n], alone.a, "{at}");
            assert_eq!(grads.b[columns..columns + m], alone.b, "{at}");
            (rows, columns, eps) = (rows + n, columns + m, eps + alone.eps);
        }
        assert!((grads.eps - eps).abs() < 1e-12 * (1.0 + eps.abs()));
        let again =
            got.backward(&ragged_x, &ragged_y, Weights::default(), &blocks, &upstream).unwrap();
        assert_eq!((&again.x, &again.y), (&grads.x, &grads.y));
    }
}

#[test]
fn gradients_of_one_side_are_its_half_of_both() {
    let (x, y) = (cloud(21, 6, 1), cloud(34, 6, 2));
    let (x, y) = (
        Ragged::new(x.view().into(), &[0, 4, 4, 21]).unwrap(),
        Ragged::new(y.view().into(), &[0, 9, 12, 34]).unwrap(),
    );
    for options in modes() {
        for pairing in [Pairing::Paired, Pairing::AllPairs, Pairing::Blocks(3)] {
            let of = |gradients| {
                let options = Options { pairing, gradients, ..options };
                sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap()
            };
            let (solved, both) = of(GradientSides::Both);
            let ((of_x, by_x), (of_y, by_y)) = (of(GradientSides::X), of(GradientSides::Y));
            assert_eq!((&of_x.value, &of_y.plan), (&solved.value, &solved.plan));
            assert_eq!((&by_x.x, &by_x.a, by_x.eps), (&both.x, &both.a, both.eps));
            assert_eq!((&by_y.y, &by_y.b, by_y.eps), (&both.y, &both.b, both.eps));
            assert_eq!((by_x.y.dim(), by_y.x.dim()), ((0, 6), (0, 6)));
            assert!(by_x.b.is_empty() && by_y.a.is_empty());
        }
    }
}

#[test]
fn blocks_that_do_not_come_out_even_are_refused() {
    let points = cloud(6, 2, 1);
    let (three, two) = ([0, 1, 2, 6], [0, 1, 6]);
    let x = Ragged::new(points.view().into(), &three).unwrap();
    let y = Ragged::new(points.view().into(), &two).unwrap();
    for (blocks, text) in [
        (2, "sinkhorn: x has 3 items and y 2, expected multiples of 2 blocks"),
        (0, "sinkhorn: x has 3 items and y 2, expected multiples of 0 blocks"),
    ] {
        let options = Options { pairing: Pairing::Blocks(blocks), ..fixed(0.1) };
        let error = sinkhorn(&x, &y, Weights::default(), &options).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::Shape));
    }
}
