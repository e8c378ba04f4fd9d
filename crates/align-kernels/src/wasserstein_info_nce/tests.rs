mod layers;
mod sides;

use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use half::bf16;
use ndarray::{Array2, array};

use super::*;
use crate::ErrorKind;
use crate::info_nce::Options;
use crate::reference::sinkhorn::{GeomlossOptions, PointCost, SolveOptions};
use crate::reference::wasserstein_info_nce as twin;
use crate::sinkhorn::{Acceleration, Fixed, sinkhorn};

/// Clouds of a batch, with where they start.
struct Batch {
    points: Array2<f32>,
    offsets: Vec<usize>,
    weights: Vec<f32>,
}

impl Batch {
    /// Items of `lens` points, which gather around a place of the item's own; uneven weights of sum 1.
    fn new(lens: &[usize], width: usize, salt: usize) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lens.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        let total = offsets[lens.len()];
        let mut points: Array2<f32> =
            Array2::from_shape_vec((total, width), ramp(total * width, salt)).unwrap();
        let mut weights = Vec::new();
        for (k, &n) in lens.iter().enumerate() {
            let rows = offsets[k]..offsets[k + 1];
            rows.for_each(|row| points[[row, k % width]] += 1.0);
            let raw: Vec<f32> = (0..n).map(|i| 1.0 + (i % 3) as f32).collect();
            let sum: f32 = raw.iter().sum();
            weights.extend(raw.iter().map(|w| w / sum));
        }
        Self { points, offsets, weights }
    }

    fn ragged(&self) -> Ragged<'_> {
        Ragged::new(self.points.view().into(), &self.offsets).unwrap()
    }

    fn wide(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        let width = self.points.ncols();
        let points: Vec<f64> = self.points.iter().map(|&x| f64::from(x)).collect();
        let item = |pair: &[usize]| {
            let weights = self.weights[pair[0]..pair[1]].iter().map(|&w| f64::from(w)).collect();
            (points[pair[0] * width..pair[1] * width].to_vec(), weights)
        };
        self.offsets.windows(2).map(item).collect()
    }
}

fn run(x: &Batch, y: &Batch, transport: &sinkhorn::Options, contrast: &Options<'_>) -> Output {
    let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
    wasserstein_info_nce(&x.ragged(), &y.ragged(), weights, transport, contrast).unwrap()
}

fn borrowed(items: &[(Vec<f64>, Vec<f64>)]) -> Vec<twin::Cloud<'_>> {
    items.iter().map(|(points, weights)| (&points[..], &weights[..])).collect()
}

#[track_caller]
fn close(got: &[f32], want: &[f64], bound: f64, at: &str) {
    assert_eq!(got.len(), want.len(), "{at}");
    for (k, (&got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= bound, "{at}: element {k} is {got}, expected {want}");
    }
}

/// Every number of an output, to compare bits.
fn everything(out: &Output) -> Vec<f64> {
    let grads = &out.gradients;
    let narrow = [grads.x.as_slice().unwrap(), grads.y.as_slice().unwrap(), &grads.a, &grads.b];
    let mut all: Vec<f64> = narrow.concat().into_iter().map(f64::from).collect();
    all.extend(out.divergence.iter().chain(&out.grad_divergence));
    all.extend(out.row_lse.iter().chain(&out.column_lse));
    all.extend([out.value, out.grad_temperature, grads.eps]);
    all
}

fn bits(out: &Output) -> Vec<u64> {
    everything(out).into_iter().map(f64::to_bits).collect()
}

const TRANSPORTS: [(Mode, PointCost, Cost, bool); 4] = [
    (FIXED, PointCost::SqEuclidean, Cost::SqEuclidean, true),
    (FIXED, PointCost::Cosine, Cost::Cosine, false),
    (GEOMLOSS, PointCost::Cosine, Cost::Cosine, true),
    (GEOMLOSS, PointCost::Euclidean, Cost::Euclidean, false),
];
const FIXED: Mode =
    Mode::Fixed(Fixed { eps: 0.2, max_iters: 30, tol: 0.0, acceleration: Acceleration::Plain });
const GEOMLOSS: Mode = Mode::GeomLoss(GeomLoss { blur: 0.3, scaling: 0.5, diameter: None });

fn of_twin(mode: Mode, cost: PointCost, debias: bool) -> twin::Transport {
    match mode {
        Mode::Fixed(Fixed { eps, max_iters, tol, .. }) => {
            let solve = SolveOptions { eps, max_iters, tol, rho: None };
            twin::Transport::Fixed { cost, solve, debias }
        }
        Mode::GeomLoss(GeomLoss { blur, scaling, diameter }) => {
            let reach = None;
            let options = GeomlossOptions { cost, blur, scaling, diameter, reach, debias };
            twin::Transport::GeomLoss(options)
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_the_reference() {
    let (row_mask, column_mask) =
        ([true, true, false, true, true], [true, false, true, true, true, true]);
    // Lopsided, and one of each side empty: another's partner.
    let (x, y) = (Batch::new(&[3, 1, 17, 0, 5], 7, 1), Batch::new(&[2, 19, 1, 4, 0, 6], 7, 2));
    let (wide_x, wide_y) = (x.wide(), y.wide());
    for (mode, point_cost, cost, debias) in TRANSPORTS {
        for (symmetric, masked, positive_offset) in
            [(false, false, 0), (true, false, 1), (true, true, 0), (false, true, 1)]
        {
            let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
            let contrast = Options {
                temperature: 0.5,
                symmetric,
                positive_offset,
                row_mask: masked.then_some(&row_mask),
                column_mask: masked.then_some(&column_mask),
                ..Options::default()
            };
            let got = run(&x, &y, &transport, &contrast);
            let (x, y) = (borrowed(&wide_x), borrowed(&wide_y));
            let of_twin = of_twin(mode, point_cost, debias);
            let want = twin::wasserstein_info_nce(&x, &y, 7, of_twin, &contrast).unwrap();
            let at = format!("{mode:?} {cost:?} {symmetric} {masked} {positive_offset}");

            // Costs up to 5 in f32: 6e-7 each, 1e-6 over the temperature.
            assert!((got.value - want.value).abs() < 1e-6, "{at}: {} {}", got.value, want.value);
            for (got, want) in got.divergence.iter().zip(&want.divergence) {
                assert_eq!(got.is_nan(), want.is_nan(), "{at}");
                assert!(want.is_nan() || (got - want).abs() < 1e-6, "{at}: {got} {want}");
            }
            let grads = &got.gradients;
            close(grads.x.as_slice().unwrap(), &want.grad_x.concat(), 2e-6, &at);
            close(grads.y.as_slice().unwrap(), &want.grad_y.concat(), 2e-6, &at);
            close(&grads.a, &want.grad_a.concat(), 1e-5, &at);
            close(&grads.b, &want.grad_b.concat(), 1e-5, &at);
            let by_temperature = (got.grad_temperature, want.grad_temperature);
            assert!((by_temperature.0 - by_temperature.1).abs() < 4e-6, "{at}: {by_temperature:?}");
            if matches!(mode, Mode::Fixed(_)) {
                let error = (grads.eps - want.grad_eps).abs();
                assert!(error < 1e-5, "{at}: {} {}", grads.eps, want.grad_eps);
            }
        }
    }
}

#[test]
fn the_loss_is_transport_then_info_nce_of_its_negative() {
    let (x, y) = (Batch::new(&[4, 2, 9], 5, 3), Batch::new(&[1, 6, 3], 5, 4));
    let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
    for (mode, _, cost, debias) in TRANSPORTS {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        let contrast = Options { symmetric: true, ..Options::default() };
        let got = run(&x, &y, &transport, &contrast);
        let solved = sinkhorn(&x.ragged(), &y.ragged(), weights, &transport).unwrap();
        let minus = Array2::from_shape_fn((3, 3), |(i, j)| -solved.value[i * 3 + j]);
        let softmax = info_nce_similarities(minus.view(), &contrast).unwrap();
        assert_eq!((got.value, &got.grad_divergence), (softmax.value, &-softmax.grad));
        assert_eq!((&got.row_lse, &got.column_lse), (&softmax.row_lse, &softmax.column_lse));
        let upstream: Vec<f32> = got.grad_divergence.iter().map(|&s| s as f32).collect();
        let (_, grads) = sinkhorn::sinkhorn_with_gradient(
            &x.ragged(),
            &y.ragged(),
            weights,
            &transport,
            Some(&upstream),
        )
        .unwrap();
        assert_eq!((&got.gradients.x, &got.gradients.y), (&grads.x, &grads.y));
        assert_eq!((&got.gradients.a, &got.gradients.b), (&grads.a, &grads.b));
    }
}

#[test]
fn the_golden_vectors_are_met() {
    let text = array![[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
    let speech = array![
        [1.0f32, 0.2, 0.0],
        [0.1, 1.0, 0.0],
        [0.5, 0.5, 0.0],
        [0.0, 0.1, 1.0],
        [1.0, 1.0, 0.8],
    ];
    let text = Ragged::new(text.view().into(), &[0, 2, 4]).unwrap();
    let speech = Ragged::new(speech.view().into(), &[0, 3, 5]).unwrap();
    for (blur, divergence, there, back) in [
        (
            0.05,
            array![[0.09917513, 0.64251941], [0.60869925, 0.00501307]],
            0.0033723574,
            0.0039046026,
        ),
        (
            0.5,
            array![[0.05652702, 0.51434658], [0.49972029, 0.0046192]],
            0.0086361689,
            0.0089580585,
        ),
    ] {
        let run = |x: &Ragged<'_>, y: &Ragged<'_>, symmetric: bool| {
            let contrast = Options { symmetric, ..Options::default() };
            wasserstein_info_nce(x, y, Weights::default(), &contr_wasser(blur), &contrast).unwrap()
        };
        let out = run(&text, &speech, false);
        assert!(out.divergence.iter().zip(&divergence).all(|(g, w)| (g - w).abs() < 1e-6));
        assert!((out.value - there).abs() < 1e-7, "{}", out.value);
        let turned = run(&speech, &text, false).value;
        assert!((turned - back).abs() < 1e-7, "{turned}");
        let both = run(&text, &speech, true).value;
        assert!((both - (there + back) / 2.0).abs() < 1e-7, "{both}");
    }
}

#[test]
fn a_lone_item_has_loss_0_and_no_gradient() {
    let (x, y) = (Batch::new(&[3], 4, 1), Batch::new(&[5], 4, 2));
    for symmetric in [false, true] {
        let out = run(&x, &y, &contr_wasser(0.05), &Options { symmetric, ..Options::default() });
        assert_eq!((out.value, out.grad_temperature), (0.0, 0.0));
        assert!(out.divergence[[0, 0]] > 0.0);
        assert!(out.gradients.x.iter().chain(&out.gradients.y).all(|&g| g == 0.0));
    }
}

#[test]
fn batches_without_items_or_without_points_have_loss_0() {
    let (none, hollow) = (Batch::new(&[], 4, 1), Batch::new(&[0, 0], 4, 1));
    let full = Batch::new(&[2, 3], 4, 2);
    for (x, y) in [(&none, &none), (&none, &full), (&hollow, &full), (&full, &hollow)] {
        let out = run(x, y, &contr_wasser(0.05), &Options::default());
        assert_eq!((out.value, out.grad_temperature), (0.0, 0.0));
        assert!(out.gradients.x.iter().chain(&out.gradients.y).all(|&g| g == 0.0));
    }
}

#[test]
fn masked_and_massless_items_are_left_out_whatever_they_hold() {
    let lens = [2, 4, 3, 1];
    let (mut x, mut y) = (Batch::new(&lens, 5, 1), Batch::new(&[3, 2, 5, 4], 5, 2));
    let kept = [true, true, false, true];
    for (mode, _, cost, debias) in TRANSPORTS {
        for symmetric in [false, true] {
            let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
            let (row_mask, column_mask) = (Some(&kept[..]), Some(&kept[..]));
            let open = Options { symmetric, ..Options::default() };
            let masked = Options { row_mask, column_mask, ..open };
            let clean = run(&x, &y, &transport, &masked);
            assert!(clean.value.is_finite() && clean.divergence[[2, 0]].is_nan());

            let (points, weights) = (x.points.clone(), x.weights.clone());
            let (points_y, weights_y) = (y.points.clone(), y.weights.clone());
            x.points.slice_mut(ndarray::s![6..9, ..]).fill(f32::NAN);
            y.points.slice_mut(ndarray::s![5..10, ..]).fill(f32::NAN);
            assert_eq!(bits(&run(&x, &y, &transport, &masked)), bits(&clean), "masked");
            x.weights[6..9].fill(0.0);
            y.weights[5..10].fill(0.0);
            assert_eq!(bits(&run(&x, &y, &transport, &open)), bits(&clean), "without mass");
            (x.points, x.weights, y.points, y.weights) = (points, weights, points_y, weights_y);
        }
    }
}

#[test]
fn one_way_a_row_without_a_partner_is_not_read_and_both_ways_it_is_a_negative() {
    let (mut x, y) = (Batch::new(&[2, 4, 3], 5, 1), Batch::new(&[3, 2, 5], 5, 2));
    let column_mask = [true, false, true];
    let options =
        |symmetric| Options { symmetric, column_mask: Some(&column_mask), ..Options::default() };
    let transport = contr_wasser(0.3);
    let clean = run(&x, &y, &transport, &options(false));
    let both = run(&x, &y, &transport, &options(true));
    assert!(both.gradients.x.row(3).iter().any(|&g| g != 0.0));
    x.points.slice_mut(ndarray::s![2..6, ..]).fill(f32::NAN);
    assert_eq!(bits(&run(&x, &y, &transport, &options(false))), bits(&clean));
    assert!(run(&x, &y, &transport, &options(true)).value.is_nan());
}

#[test]
fn nan_in_points_of_weight_0_changes_nothing() {
    let (mut x, mut y) = (Batch::new(&[3, 4], 5, 1), Batch::new(&[4, 2], 5, 2));
    x.weights[1] = 0.0;
    y.weights[5] = 0.0;
    let options = Options { symmetric: true, ..Options::default() };
    let clean = run(&x, &y, &contr_wasser(0.3), &options);
    x.points.row_mut(1).fill(f32::NAN);
    y.points.row_mut(5).fill(f32::NAN);
    let out = run(&x, &y, &contr_wasser(0.3), &options);
    assert_eq!(bits(&out), bits(&clean));
    assert!(out.value.is_finite() && out.gradients.x.row(1).iter().all(|&g| g == 0.0));
}

#[test]
fn nan_in_an_item_that_counts_gives_nan_in_the_value() {
    let (mut x, y) = (Batch::new(&[3, 4], 5, 1), Batch::new(&[4, 2], 5, 2));
    x.points[[4, 1]] = f32::NAN;
    let out = run(&x, &y, &contr_wasser(0.3), &Options::default());
    assert!(out.value.is_nan() && out.divergence[[0, 1]].is_finite());
    // The other anchor's own softmax did not see it.
    assert!(out.gradients.x.rows().into_iter().take(3).flatten().all(|g| g.is_finite()));
}

#[test]
fn uniform_weights_are_those_that_are_left_out() {
    let (x, y) = (Batch::new(&[3, 0, 4], 5, 1), Batch::new(&[4, 2, 1], 5, 2));
    let kept = [true, true, false];
    let contrast = Options { column_mask: Some(&kept), symmetric: true, ..Options::default() };
    let (a, b) =
        ([[1.0 / 3.0; 3].as_slice(), &[0.25; 4]].concat(), [0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1.0]);
    let run = |weights: Weights<'_>| {
        let transport = contr_wasser(0.3);
        let out = wasserstein_info_nce(&x.ragged(), &y.ragged(), weights, &transport, &contrast);
        out.unwrap()
    };
    assert_eq!(bits(&run(Weights::default())), bits(&run(Weights { a: Some(&a), b: Some(&b) })));
}

#[test]
fn half_precision_points_are_widened_exactly() {
    let (mut x, y) = (Batch::new(&[3, 4], 5, 1), Batch::new(&[4, 2], 5, 2));
    let half = x.points.mapv(bf16::from_f32);
    x.points = half.mapv(bf16::to_f32);
    let narrow = Ragged::new(half.view().into(), &x.offsets).unwrap();
    let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
    let (transport, contrast) = (contr_wasser(0.3), Options::default());
    let out = wasserstein_info_nce(&narrow, &y.ragged(), weights, &transport, &contrast).unwrap();
    assert_eq!(bits(&out), bits(&run(&x, &y, &transport, &contrast)));
}

#[test]
fn plans_and_potentials_come_out_for_every_pair() {
    let (x, y) = (Batch::new(&[3, 2], 4, 1), Batch::new(&[4, 5], 4, 2));
    let transport = sinkhorn::Options { plan: true, ..contr_wasser(0.3) };
    let out = run(&x, &y, &transport, &Options::default());
    assert_eq!((out.transport.pairs(), out.transport.plan_of(1).len()), (4, 15));
    let mass: f32 = out.transport.plan_of(3).iter().sum();
    assert!((mass - 1.0).abs() < 0.05, "{mass}");
    assert_eq!(out.transport.value, out.divergence.iter().copied().collect::<Vec<f64>>());
}

#[test]
fn thread_count_changes_no_bit() {
    let (x, y) = (Batch::new(&[13, 40, 1, 27], 33, 1), Batch::new(&[31, 2, 50, 9], 33, 2));
    for (mode, _, cost, debias) in TRANSPORTS {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        let contrast = Options { symmetric: true, ..Options::default() };
        same_bits_on_one_and_two_threads(|| everything(&run(&x, &y, &transport, &contrast)));
    }
}

#[test]
fn wrong_arguments_are_named() {
    let (x, y) = (Batch::new(&[3, 2], 4, 1), Batch::new(&[2, 1, 1], 4, 2));
    let narrow = Batch::new(&[1, 1], 3, 1);
    let fail = |y: &Batch, weights: Weights<'_>, paired: bool, contrast: &Options<'_>| {
        let pairing = if paired { Pairing::Paired } else { Pairing::AllPairs };
        let transport = sinkhorn::Options { pairing, ..contr_wasser(0.3) };
        let out = wasserstein_info_nce(&x.ragged(), &y.ragged(), weights, &transport, contrast);
        let error = out.unwrap_err();
        (error.kind(), error.to_string())
    };
    let (none, plain) = (Weights::default(), Options::default());
    use ErrorKind::{Option, Shape};
    for (got, kind, text) in [
        (
            fail(&y, none, true, &plain),
            Option,
            "wasserstein_info_nce: transport pairs items one by one, expected all pairs \
             (hint: the softmax compares each item with all others: Pairing::AllPairs)",
        ),
        (
            fail(&y, none, false, &Options { temperature: 0.0, ..plain }),
            Option,
            "info_nce: temperature is 0, expected > 0 and finite \
             (hint: 0.05 to 0.1 is usual for cosine)",
        ),
        (
            fail(&y, none, false, &Options { row_mask: Some(&[true]), ..plain }),
            Shape,
            "info_nce: row_mask has 1 values, expected 2",
        ),
        (
            fail(&y, none, false, &Options { positive_offset: 2, ..plain }),
            Shape,
            "info_nce: partners of 2 rows start at column 2, expected them below 3 columns",
        ),
        (
            fail(&narrow, none, false, &plain),
            Shape,
            "sinkhorn: y has width 3, expected that of x, 4",
        ),
        (
            fail(&y, Weights { a: Some(&[1.0; 4]), b: None }, false, &plain),
            Shape,
            "sinkhorn: x has 4 weights, expected its 5 points",
        ),
    ] {
        assert_eq!(got, (kind, text.to_owned()));
    }
}
