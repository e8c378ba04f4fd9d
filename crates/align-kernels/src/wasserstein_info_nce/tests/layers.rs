//! Several layers at once against each by itself, the reference and finite differences.

use super::*;

/// Two batches, a temperature and a weight.
struct Pair {
    x: Batch,
    y: Batch,
    temperature: f64,
    weight: f64,
}

impl Pair {
    fn new(lens: [&[usize]; 2], salt: usize, temperature: f64, weight: f64) -> Self {
        let (x, y) = (Batch::new(lens[0], 5, salt), Batch::new(lens[1], 5, salt + 1));
        Self { x, y, temperature, weight }
    }

    fn weights(&self) -> Weights<'_> {
        Weights { a: Some(&self.x.weights), b: Some(&self.y.weights) }
    }

    fn layer(&self) -> Layer<'_> {
        let (x, y, weights) = (self.x.ragged(), self.y.ragged(), self.weights());
        Layer { x, y, weights, temperature: self.temperature, weight: self.weight }
    }
}

/// Three layers of three anchors and four partners, of lengths of their own; one item is empty.
fn pairs(weights: [f64; 3]) -> [Pair; 3] {
    [
        Pair::new([&[3, 1, 17], &[2, 19, 1, 4]], 1, 0.5, weights[0]),
        Pair::new([&[1, 1, 1], &[5, 0, 2, 33]], 3, 0.1, weights[1]),
        Pair::new([&[6, 20, 2], &[1, 1, 7, 2]], 5, 2.0, weights[2]),
    ]
}

fn run_all(pairs: &[Pair], transport: &sinkhorn::Options, contrast: &Options<'_>) -> Layers {
    let layers: Vec<_> = pairs.iter().map(Pair::layer).collect();
    wasserstein_info_nce_layers(&layers, transport, contrast).unwrap()
}

const ROWS: [bool; 3] = [true, false, true];
const COLUMNS: [bool; 4] = [true, true, true, false];

#[test]
fn layers_of_weight_1_have_the_bits_of_calls_by_themselves() {
    let pairs = pairs([1.0; 3]);
    for (mode, _, cost, debias) in TRANSPORTS {
        for (symmetric, masked) in [(false, false), (true, true)] {
            let (plan, project_y) = (true, true);
            let transport =
                sinkhorn::Options { mode, cost, debias, plan, project_y, ..contr_wasser(0.3) };
            let contrast = Options {
                symmetric,
                positive_offset: 1,
                row_mask: masked.then_some(&ROWS),
                column_mask: masked.then_some(&COLUMNS),
                ..Options::default()
            };
            let got = run_all(&pairs, &transport, &contrast);
            assert_eq!(got.value, got.layers.iter().map(|layer| layer.value).sum::<f64>());
            for (pair, got) in pairs.iter().zip(&got.layers) {
                let alone = Options { temperature: pair.temperature, ..contrast };
                let want = run(&pair.x, &pair.y, &transport, &alone);
                assert_eq!(bits(got), bits(&want), "{mode:?} {cost:?} {symmetric}");
                let (got, want) = (&got.transport, &want.transport);
                assert_eq!((&got.value, &got.f, &got.g), (&want.value, &want.f, &want.g));
                assert_eq!((&got.f_offsets, &got.g_offsets), (&want.f_offsets, &want.g_offsets));
                assert_eq!((&got.plan, &got.projected_y), (&want.plan, &want.projected_y));
                assert_eq!((&got.iterations, &got.gap), (&want.iterations, &want.gap));
                assert_eq!(&got.marginal_error, &want.marginal_error);
            }
        }
    }
}

#[test]
fn the_transport_of_a_layer_can_be_sent_back_by_itself() {
    let pairs = pairs([1.0; 3]);
    for (mode, _, cost, debias) in TRANSPORTS {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        let contrast = Options { symmetric: true, ..Options::default() };
        for (pair, layer) in pairs.iter().zip(run_all(&pairs, &transport, &contrast).layers) {
            let upstream: Vec<f32> = layer.grad_divergence.iter().map(|&s| s as f32).collect();
            let (x, y, weights) = (pair.x.ragged(), pair.y.ragged(), pair.weights());
            let grads = layer.transport.backward(&x, &y, weights, &transport, &upstream).unwrap();
            assert_eq!((&grads.x, &grads.y), (&layer.gradients.x, &layer.gradients.y));
            assert_eq!((&grads.a, &grads.b), (&layer.gradients.a, &layer.gradients.b));
        }
    }
}

#[test]
fn weighted_layers_are_those_of_the_reference() {
    let pairs = pairs([0.3, 1.0, -2.0]);
    for (mode, point_cost, cost, debias) in TRANSPORTS {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        let got = run_all(&pairs, &transport, &Options::default());
        let (mut value, at) = (0.0, format!("{mode:?} {cost:?}"));
        for (pair, got) in pairs.iter().zip(&got.layers) {
            let (x, y) = (pair.x.wide(), pair.y.wide());
            let (x, y, of_twin) = (borrowed(&x), borrowed(&y), of_twin(mode, point_cost, debias));
            let contrast = Options { temperature: pair.temperature, ..Options::default() };
            let want = twin::wasserstein_info_nce(&x, &y, 5, of_twin, &contrast).unwrap();
            value += pair.weight * want.value;
            let times = |grad: &[Vec<f64>]| -> Vec<f64> {
                grad.iter().flatten().map(|g| pair.weight * g).collect()
            };
            // As layers by themselves at 0.5: five times steeper at a temperature of 0.1, and a weight of 2.
            let grads = &got.gradients;
            close(grads.x.as_slice().unwrap(), &times(&want.grad_x), 2e-5, &at);
            close(grads.y.as_slice().unwrap(), &times(&want.grad_y), 2e-5, &at);
            close(&grads.a, &times(&want.grad_a), 5e-5, &at);
            close(&grads.b, &times(&want.grad_b), 5e-5, &at);
            let by_temperature = (got.grad_temperature, pair.weight * want.grad_temperature);
            let error = (by_temperature.0 - by_temperature.1).abs();
            assert!(error < 1e-4, "{at}: {by_temperature:?}");
        }
        assert!((got.value - value).abs() < 5e-6, "{at}: {} {value}", got.value);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    // Converged, so that potentials do not move the value.
    let mode = Mode::Fixed(Fixed { eps: 0.2, max_iters: 2000, tol: 1e-7, ..Fixed::default() });
    // As many directions as the largest layer has points.
    let along = [Batch::new(&[40], 5, 9).points, Batch::new(&[40], 5, 8).points];
    for (cost, debias) in [(Cost::Cosine, true), (Cost::SqEuclidean, false)] {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        let contrast = Options { symmetric: true, ..Options::default() };
        let mut pairs = pairs([0.7, 1.0, 1.5]);
        let start = run_all(&pairs, &transport, &contrast);
        for l in 0..3 {
            let grads = &start.layers[l].gradients;
            let slope = |grad: &Array2<f32>, along: &Array2<f32>| -> f64 {
                grad.iter().zip(along).map(|(&g, &a)| f64::from(g) * f64::from(a)).sum()
            };
            let got = slope(&grads.x, &along[0]) + slope(&grads.y, &along[1]);
            let mut moved = |by: f32| {
                let kept = (pairs[l].x.points.clone(), pairs[l].y.points.clone());
                let Pair { x, y, .. } = &mut pairs[l];
                for (points, along) in [&mut x.points, &mut y.points].into_iter().zip(&along) {
                    points.iter_mut().zip(along).for_each(|(at, &along)| *at += by * along);
                }
                let value = run_all(&pairs, &transport, &contrast).value;
                (pairs[l].x.points, pairs[l].y.points) = kept;
                value
            };
            let step = 2e-3;
            let want = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            // Costs in f32 over the step and the temperature, and the square of the step.
            assert!((got - want).abs() < 5e-3 * (1.0 + want.abs()), "{l}: {got} {want}");

            let mut moved = |by: f64| {
                pairs[l].temperature += by;
                let value = run_all(&pairs, &transport, &contrast).value;
                pairs[l].temperature -= by;
                value
            };
            let (got, step) = (start.layers[l].grad_temperature, 1e-5);
            let want = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{l}: {got} {want}");
        }
    }
}

#[test]
fn masked_items_of_layers_are_left_out_whatever_they_hold() {
    let mut pairs = pairs([1.0, 0.5, 2.0]);
    let contrast = Options {
        symmetric: true,
        positive_offset: 1,
        row_mask: Some(&ROWS),
        column_mask: Some(&COLUMNS),
        ..Options::default()
    };
    let numbers = |layers: &Layers| layers.layers.iter().flat_map(bits).collect::<Vec<_>>();
    let clean = run_all(&pairs, &contr_wasser(0.3), &contrast);
    for pair in &mut pairs {
        let (rows, columns) = (pair.x.ragged().range(1), pair.y.ragged().range(3));
        pair.x.points.slice_mut(ndarray::s![rows, ..]).fill(f32::NAN);
        pair.y.points.slice_mut(ndarray::s![columns, ..]).fill(f32::NAN);
    }
    let got = run_all(&pairs, &contr_wasser(0.3), &contrast);
    assert_eq!(numbers(&got), numbers(&clean));
    assert!(got.value.is_finite());
}

#[test]
fn nan_in_a_layer_stays_in_it() {
    let mut pairs = pairs([1.0; 3]);
    let clean = run_all(&pairs, &contr_wasser(0.3), &Options::default());
    pairs[1].x.points[[0, 0]] = f32::NAN;
    let got = run_all(&pairs, &contr_wasser(0.3), &Options::default());
    assert!(got.value.is_nan() && got.layers[1].value.is_nan());
    for l in [0, 2] {
        assert_eq!(bits(&got.layers[l]), bits(&clean.layers[l]));
    }
}

#[test]
fn no_layer_has_loss_0_and_a_lone_item_no_gradient() {
    let (transport, contrast) = (contr_wasser(0.3), Options::default());
    let none = wasserstein_info_nce_layers::<crate::Host>(&[], &transport, &contrast).unwrap();
    assert_eq!((none.value, none.layers.len()), (0.0, 0));
    let lone = [Pair::new([&[3], &[4]], 1, 0.1, 1.0), Pair::new([&[1], &[1]], 2, 0.1, 1.0)];
    for pairs in [&lone[..], &lone[..1]] {
        let got = run_all(pairs, &transport, &contrast);
        assert_eq!((got.value, got.layers.len()), (0.0, pairs.len()));
        let mut grads = got.layers.iter().flat_map(|layer| &layer.gradients.y);
        assert!(grads.all(|&g| g == 0.0));
    }
    let empty = [Pair::new([&[], &[]], 1, 0.1, 1.0), Pair::new([&[], &[]], 2, 0.1, 1.0)];
    assert_eq!(run_all(&empty, &transport, &contrast).value, 0.0);
}

#[test]
fn thread_count_changes_no_bit() {
    let pairs = pairs([1.0, 0.3, 1.0]);
    for (mode, _, cost, debias) in TRANSPORTS {
        let transport = sinkhorn::Options { mode, cost, debias, ..contr_wasser(0.3) };
        same_bits_on_one_and_two_threads(|| {
            let got = run_all(&pairs, &transport, &Options::default());
            got.layers.iter().flat_map(everything).collect::<Vec<f64>>()
        });
    }
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let good = pairs([1.0; 3]);
    let other = |lens: &[usize], width| Batch::new(lens, width, 1);
    let (few, narrow, flat) = (other(&[3, 1], 5), other(&[3, 1, 17], 4), other(&[0, 0, 0], 0));
    let fail = |x: Option<&Batch>, y: Option<&Batch>, weight: f64, paired: bool| {
        let mut layers: Vec<_> = good.iter().map(Pair::layer).collect();
        let last = &good[2];
        let (x, y) = (x.unwrap_or(&last.x).ragged(), y.unwrap_or(&last.y).ragged());
        layers[2] = Layer { x, y, weights: Weights::default(), temperature: 0.1, weight };
        let pairing = if paired { Pairing::Paired } else { Pairing::AllPairs };
        let transport = sinkhorn::Options { pairing, ..contr_wasser(0.3) };
        let error = wasserstein_info_nce_layers(&layers, &transport, &Options::default());
        let error = error.unwrap_err();
        (error.kind(), error.to_string())
    };
    for (got, kind, text) in [
        (
            fail(Some(&few), None, 1.0, false),
            ErrorKind::Shape,
            "wasserstein_info_nce_layers: x of layer 2 has 2 items, expected those of layer 0, 3",
        ),
        (
            fail(None, Some(&narrow), 1.0, false),
            ErrorKind::Shape,
            "wasserstein_info_nce_layers: y of layer 2 has width 4, expected that of all, 5",
        ),
        (
            fail(Some(&flat), None, 1.0, false),
            ErrorKind::Shape,
            "wasserstein_info_nce_layers: x of layer 2 has width 0, expected at least 1",
        ),
        (
            fail(None, None, f64::INFINITY, false),
            ErrorKind::Option,
            "wasserstein_info_nce_layers: weight of layer 2 is inf, expected finite \
             (hint: 0 leaves a layer out)",
        ),
        (
            fail(None, None, 1.0, true),
            ErrorKind::Option,
            "wasserstein_info_nce_layers: transport pairs items one by one, expected all pairs \
             (hint: the softmax compares each item with all others: Pairing::AllPairs)",
        ),
    ] {
        assert_eq!(got, (kind, text.to_owned()));
    }
    let mut layers: Vec<_> = good.iter().map(Pair::layer).collect();
    layers[1].weights = Weights { a: Some(&[1.0; 7]), b: None };
    let error =
        wasserstein_info_nce_layers(&layers, &contr_wasser(0.3), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "sinkhorn: x of layer 1 has 7 weights, expected its 3 points");
}
