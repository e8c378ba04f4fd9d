//! Clouds, weights and comparisons for the tests of transport.

use ndarray::Array2;

use crate::Ragged;
use crate::reference::sinkhorn as twin;
use crate::sinkhorn::*;

/// Small, odd and lopsided.
pub const SHAPES: [(usize, usize); 7] =
    [(1, 1), (1, 7), (5, 1), (3, 4), (17, 13), (2, 129), (33, 18)];

pub const COSTS: [(Cost, twin::PointCost); 3] = [
    (Cost::SqEuclidean, twin::PointCost::SqEuclidean),
    (Cost::Cosine, twin::PointCost::Cosine),
    (Cost::Euclidean, twin::PointCost::Euclidean),
];

pub fn points(rows: &[&[f32]]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, d)| rows[i][d])
}

/// Noise in `[0, 1)`.
pub fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u64 * 7919 + 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Unit vectors in a few clusters.
pub fn cloud(n: usize, width: usize, seed: usize) -> Array2<f32> {
    let mut noise = noise(seed);
    let mut out =
        Array2::from_shape_fn((n, width), |(i, d)| 0.5 * noise() + f32::from(u8::from(i % 3 == d)));
    for mut row in out.rows_mut() {
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    out
}

/// Uneven weights of sum 1.
pub fn masses(n: usize, seed: usize) -> Vec<f32> {
    let mut noise = noise(seed + 100);
    let raw: Vec<f32> = (0..n).map(|_| 0.2 + noise()).collect();
    let sum: f32 = raw.iter().sum();
    raw.iter().map(|w| w / sum).collect()
}

pub fn geomloss(blur: f64, debias: bool) -> Options {
    let mode = Mode::GeomLoss(GeomLoss { blur, ..GeomLoss::default() });
    Options { mode, debias, ..Options::default() }
}

pub fn fixed(eps: f64) -> Options {
    let mode = Mode::Fixed(Fixed {
        eps,
        max_iters: 2000,
        tol: 1e-6,
        acceleration: Acceleration::OverRelaxation,
    });
    Options { mode, ..Options::default() }
}

pub fn one(x: &Array2<f32>, y: &Array2<f32>, options: &Options) -> Output {
    let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    sinkhorn(&x, &y, Weights::default(), options).unwrap()
}

pub fn with_weights(
    x: &Array2<f32>,
    y: &Array2<f32>,
    a: &[f32],
    b: &[f32],
    options: &Options,
) -> (Output, Gradients) {
    let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let weights = Weights { a: Some(a), b: Some(b) };
    sinkhorn_with_gradient(&x, &y, weights, options, None).unwrap()
}

pub fn wide(x: &Array2<f32>) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

pub fn wide_slice(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[track_caller]
pub fn close(got: &[f32], want: &[f64], bound: f64, at: &str) {
    assert_eq!(got.len(), want.len(), "{at}");
    for (k, (&got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (f64::from(got) - want).abs() <= bound,
            "{at}: element {k} is {got}, expected {want}"
        );
    }
}
