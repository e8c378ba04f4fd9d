//! InfoNCE between clouds on a device against the host and the published numbers.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::info_nce;
use align_kernels::sinkhorn::{GeomLoss, Mode, Weights};
use align_kernels::wasserstein_info_nce::{contr_wasser, wasserstein_info_nce};
use gpu_runtime::DeviceBuffer;

use crate::batch::{Cloud, Form};
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
