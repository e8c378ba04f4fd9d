//! InfoNCE between clouds on a device against the host and the published numbers.

use align_kernels::device::DevicePoints;
use align_kernels::info_nce;
use align_kernels::sinkhorn::{GeomLoss, Mode, Weights};
use align_kernels::wasserstein_info_nce::{
    Layer, contr_wasser, wasserstein_info_nce, wasserstein_info_nce_layers,
};
use align_kernels::{GradientSides, Ragged};
use gpu_runtime::DeviceBuffer;

use crate::batch::{Cloud, Form, Sent};
use crate::device::stream;

#[test]
fn losses_and_gradients_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    let x = Cloud::new(&[3, 0, 9, 33, 2], 7, 5).with_holes();
    let y = Cloud::new(&[4, 6, 1, 40, 5], 7, 6).with_holes().without_mass(1);
    let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
    let mask = [true, true, false, true, true];
    for (diameter, symmetric, form) in
        [(None, true, Form::Tight), (Some(2.0), false, Form::Gaps), (None, false, Form::Half)]
    {
        let (x, y) = (x.clone().rounded(form), y.clone().rounded(form));
        let mode = Mode::GeomLoss(GeomLoss { blur: 0.3, diameter, ..GeomLoss::default() });
        let transport = align_kernels::sinkhorn::Options { mode, ..contr_wasser(0.3) };
        let contrast = info_nce::Options {
            temperature: 0.2,
            symmetric,
            row_mask: Some(&mask),
            ..info_nce::Options::default()
        };
        let want =
            wasserstein_info_nce(&x.host(), &y.host(), weights, &transport, &contrast).unwrap();
        let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
        let (sent_x, sent_y) = (sent_x.ragged(), sent_y.ragged());
        let got = wasserstein_info_nce(&sent_x, &sent_y, weights, &transport, &contrast).unwrap();
        assert!((got.value - want.value).abs() < 2e-5, "{} {}", got.value, want.value);
        for (got, want) in got.divergence.iter().zip(&want.divergence) {
            assert!((got - want).abs() < 2e-6 || got.is_nan() && want.is_nan(), "{got} {want}");
        }
        for (got, want) in
            [(&got.gradients.x, &want.gradients.x), (&got.gradients.y, &want.gradients.y)]
        {
            for (got, want) in got.to_vec().unwrap().iter().zip(want) {
                assert!((got - want).abs() < 2e-5, "{got} {want}");
            }
        }
        for (got, want) in got.gradients.a.iter().zip(&want.gradients.a) {
            assert!((got - want).abs() < 2e-5, "{got} {want}");
        }
        assert!((got.grad_temperature - want.grad_temperature).abs() < 1e-4);
    }
}

/// Layers of items of their own lengths, with gradients of the partners alone and of both.
#[test]
fn layers_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    let lens: [[&[usize]; 2]; 2] = [[&[3, 9, 2], &[4, 33, 5]], [&[1, 6, 17], &[2, 0, 7]]];
    let clouds = [0, 1].map(|l| {
        let [x, y] = lens[l];
        let (x, y) = (Cloud::new(x, 7, 2 * l + 5).with_holes(), Cloud::new(y, 7, 2 * l + 6));
        // The second layer leaves the weights of `y` out.
        [x, if l == 0 { y.with_holes() } else { y }]
    });
    let mask = [true, true, false];
    for (form, gradients) in [
        (Form::Tight, GradientSides::Y),
        (Form::Gaps, GradientSides::Both),
        (Form::Half, GradientSides::X),
        (Form::OddHalf, GradientSides::Both),
    ] {
        let clouds = clouds.clone().map(|pair| pair.map(|cloud| cloud.rounded(form)));
        let transport = align_kernels::sinkhorn::Options { gradients, ..contr_wasser(0.3) };
        let contrast = info_nce::Options {
            symmetric: true,
            row_mask: Some(&mask),
            ..info_nce::Options::default()
        };
        let sent = clouds.each_ref().map(|pair| pair.each_ref().map(|of| of.send(&stream, form)));
        let given = |l: usize| {
            let [x, y] = &clouds[l];
            let weights = Weights { a: Some(&x.weights), b: (l == 0).then_some(&y.weights) };
            (weights, 0.2 + 0.3 * l as f64, 1.5 - l as f64)
        };
        let on_host = [0, 1].map(|l| {
            let ((weights, temperature, weight), [x, y]) = (given(l), &clouds[l]);
            Layer { x: x.host(), y: y.host(), weights, temperature, weight }
        });
        let on_device = [0, 1].map(|l| {
            let ((weights, temperature, weight), [x, y]) = (given(l), &sent[l]);
            Layer { x: x.ragged(), y: y.ragged(), weights, temperature, weight }
        });
        let want = wasserstein_info_nce_layers(&on_host, &transport, &contrast).unwrap();
        let got = wasserstein_info_nce_layers(&on_device, &transport, &contrast).unwrap();
        assert!((got.value - want.value).abs() < 5e-5, "{} {}", got.value, want.value);
        for (got, want) in got.layers.iter().zip(&want.layers) {
            let (of, want_of) = (&got.gradients, &want.gradients);
            for (got, want) in [(&of.x, &want_of.x), (&of.y, &want_of.y)] {
                let got = got.to_vec().unwrap();
                assert_eq!(got.len(), want.len());
                let near = |(got, want): (&f32, &f32)| (got - want).abs() < 5e-5;
                assert!(got.iter().zip(want).all(near), "{form:?}");
            }
            assert_eq!((of.a.len(), of.b.len()), (want_of.a.len(), want_of.b.len()));
            assert!((of.eps - want_of.eps).abs() < 1e-3, "{} {}", of.eps, want_of.eps);
            assert!((got.grad_temperature - want.grad_temperature).abs() < 1e-4);
        }
    }
}

#[test]
fn layers_of_several_forms_are_refused() {
    let Some(stream) = stream() else { return };
    let cloud = Cloud::new(&[2, 1], 5, 3);
    let [tight, gaps, half] =
        [Form::Tight, Form::Gaps, Form::Half].map(|form| cloud.send(&stream, form));
    let fail = |other: &Sent| {
        let layers = [&tight, other].map(|y| Layer {
            x: tight.ragged(),
            y: y.ragged(),
            weights: Weights::default(),
            temperature: 0.1,
            weight: 1.0,
        });
        let contrast = info_nce::Options::default();
        wasserstein_info_nce_layers(&layers, &contr_wasser(0.3), &contrast).unwrap_err().to_string()
    };
    let hint = "(hint: store all layers of a side alike)";
    assert_eq!(
        fail(&gaps),
        format!(
            "sinkhorn: y of layer 1 is f32 with rows 8 apart, expected f32 with rows 5 apart, \
             as layer 0 {hint}"
        )
    );
    assert!(fail(&half).contains("y of layer 1 is bf16 with rows 16 apart"));
}

#[test]
fn published_vectors_are_met() {
    let Some(stream) = stream() else { return };
    let text = [1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    let speech = [1.0f32, 0.2, 0.0, 0.1, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.1, 1.0, 1.0, 1.0, 0.8];
    let send = |values: &[f32]| DeviceBuffer::from_slice(&stream, values).unwrap();
    let (text, speech) = (send(&text), send(&speech));
    let points = |values, count| DevicePoints::new(&stream, values, count, 3).unwrap();
    let text = Ragged::on_device(points(&text, 4), &[0, 2, 4]).unwrap();
    let speech = Ragged::on_device(points(&speech, 5), &[0, 3, 5]).unwrap();
    for (blur, distances, loss) in [
        (0.05, [0.09917513, 0.64251941, 0.60869925, 0.00501307], 0.0033723574),
        (0.5, [0.05652702, 0.51434658, 0.49972029, 0.0046192], 0.0086361689),
    ] {
        let contrast =
            info_nce::Options { temperature: 0.1, symmetric: false, ..Default::default() };
        let transport = contr_wasser(blur);
        let got = wasserstein_info_nce(&text, &speech, Weights::default(), &transport, &contrast)
            .unwrap();
        for (got, want) in got.divergence.iter().zip(distances) {
            assert!((got - want).abs() < 2e-6, "{got}, expected {want}");
        }
        assert!((got.value - loss).abs() < 1e-6, "{}", got.value);
    }
}
