use ndarray::{Array2, array, s};

use super::*;
use crate::reference::pairwise_cost::{PointCost, cost_matrix};
use crate::{ErrorKind, Ragged};

const COSTS: [(Cost, PointCost); 3] = [
    (Cost::SqEuclidean, PointCost::SqEuclidean),
    (Cost::Cosine, PointCost::Cosine),
    (Cost::Euclidean, PointCost::Euclidean),
];

fn cloud(n: usize, width: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, width), |(i, d)| ((i * 7 + d * 3 + i * d) % 11) as f32 / 11.0 - 0.4)
}

fn wide(points: ndarray::ArrayView2<'_, f32>) -> Vec<f64> {
    points.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn costs_of_every_pair_are_those_of_the_twin() {
    // No point of the one is a point of the other: near 0 a root is dearer than its error.
    let (x, y) = (cloud(20, 5), cloud(40, 5) + 0.04);
    let (of_x, of_y) = ([0, 3, 3, 20], [0, 17, 18, 40]);
    let batches = (
        Ragged::new(x.view().into(), &of_x).unwrap(),
        Ragged::new(y.view().into(), &of_y).unwrap(),
    );
    for (kind, twin) in COSTS {
        for pairing in [Pairing::Paired, Pairing::AllPairs] {
            let got = pairwise_cost(&batches.0, &batches.1, kind, pairing).unwrap();
            assert_eq!(got.pairs(), if pairing == Pairing::Paired { 3 } else { 9 });
            for k in 0..got.pairs() {
                let (i, j) = if pairing == Pairing::Paired { (k, k) } else { (k / 3, k % 3) };
                let x = wide(x.slice(s![batches.0.range(i), ..]));
                let y = wide(y.slice(s![batches.1.range(j), ..]));
                let want = cost_matrix(twin, &x, &y, 5).unwrap();
                let got = &got.values[got.range(k)];
                assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < 1e-6, "{kind:?}: {got} {want}");
                }
            }
        }
    }
}

#[test]
fn points_of_one_cloud_cost_nothing_to_themselves() {
    let mut points = cloud(6, 3);
    points.row_mut(2).fill(0.0);
    let copy = points.clone();
    let points_of = |points: &Array2<f32>, kind| {
        let whole = Ragged::single(points.view().into());
        let part = Ragged::new(points.view().into(), &[0, 2, 6]).unwrap();
        pairwise_cost(&whole, &part, kind, Pairing::AllPairs).unwrap()
    };
    for (kind, least) in [(Cost::SqEuclidean, 0.0), (Cost::Euclidean, 1e-4), (Cost::Cosine, 0.0)] {
        let costs = points_of(&points, kind);
        for i in 0..6 {
            // Columns 0 and 1 are in the first pair, the others in the second.
            let at = if i < 2 { i * 2 + i } else { 12 + i * 4 + i - 2 };
            let without_direction = kind == Cost::Cosine && i == 2;
            assert_eq!(
                costs.values[at],
                if without_direction { 1.0 } else { least },
                "{kind:?} {i}"
            );
        }
    }
    // Equal numbers elsewhere are another cloud, whose costs are rounded.
    let (x, y) = (Ragged::single(points.view().into()), Ragged::single(copy.view().into()));
    let costs = pairwise_cost(&x, &y, Cost::SqEuclidean, Pairing::Paired).unwrap();
    assert!((0..6).all(|i| costs.values[i * 7].abs() < 1e-6));
}

#[test]
fn clouds_that_cannot_be_compared_are_refused() {
    let (x, y, none) = (cloud(4, 3), cloud(4, 2), Array2::<f32>::zeros((4, 0)));

    let [x, y, none] = [&x, &y, &none].map(|points| Ragged::single(points.view().into()));
    let two = array![[0.0f32, 0.0, 0.0], [1.0, 1.0, 1.0]];
    let two = Ragged::new(two.view().into(), &[0, 1, 2]).unwrap();
    let text = |x: &Ragged<'_>, y: &Ragged<'_>| {
        let error = pairwise_cost(x, y, Cost::SqEuclidean, Pairing::Paired).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        error.to_string()
    };
    assert_eq!(text(&x, &y), "pairwise_cost: y has width 2, expected that of x, 3");
    assert_eq!(text(&none, &y), "pairwise_cost: x has width 0, expected at least 1");
    assert_eq!(text(&x, &two), "pairwise_cost: y has 2 items, expected those of x, 1");
}
