//! TF32, for those who ask for it: the costs of rounded clouds.

use align_kernels::device::{DevicePoints, Gpu, Precision};
use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
use align_kernels::reference::pairwise_cost::cost_matrix;
use align_kernels::sinkhorn::{Options, Weights, sinkhorn_with_gradient};
use align_kernels::{ErrorKind, Ragged};

use crate::batch::{Cloud, Form, wide};
use crate::device::stream;
use crate::plain::{self, Errors};
use crate::tiles::{COSTS, X, Y};

/// To 10 bits of fraction, halves away from 0.
fn rounded(mut cloud: Cloud) -> Cloud {
    cloud.points.mapv_inplace(|x| f32::from_bits((x.to_bits() + 0x1000) & 0xffff_e000));
    cloud
}

fn asking<'a>(points: DevicePoints<'a>, offsets: &'a [usize]) -> Ragged<'a, Gpu> {
    Ragged::on_device(points.with_precision(Precision::Tf32), offsets).unwrap()
}

#[test]
fn costs_are_those_of_clouds_rounded_once() {
    let Some(stream) = stream() else { return };
    for (at, width) in [1, 3, 16, 17, 130].into_iter().enumerate() {
        let form = [Form::Tight, Form::Gaps][at % 2];
        let (cost, twin) = COSTS[at % 3];
        let all = width <= 16;
        let pairing = if all { Pairing::AllPairs } else { Pairing::Paired };
        let (x, y) = (Cloud::new(&X, width, at), Cloud::new(&Y, width, at + 20));
        let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
        let (asked_x, asked_y) =
            (asking(sent_x.points(), &x.offsets), asking(sent_y.points(), &y.offsets));
        let got = pairwise_cost(&asked_x, &asked_y, cost, pairing).unwrap();
        let exact = pairwise_cost(&sent_x.ragged(), &sent_y.ragged(), cost, pairing).unwrap();
        let (values, exact) = (got.values.to_vec().unwrap(), exact.values.to_vec().unwrap());
        // It does round: 2^-11 of the terms, not of the f32 sum.
        assert!(width == 1 || values != exact);
        let bound = if cost == Cost::Euclidean { 2e-2 } else { 4e-3 };
        assert!(values.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= bound), "D {width}");
        let (x, y) = (rounded(x), rounded(y));
        let mut errors = Errors::default();
        for k in 0..got.pairs() {
            let (i, j) = if all { (k / Y.len(), k % Y.len()) } else { (k, k) };
            let (x, y) = (x.item(i), y.item(j));
            let want = cost_matrix(twin, &wide(x), &wide(y), width).unwrap();
            errors.add_all(&values[got.range(k)], &plain::costs(x, y, cost), &want);
        }
        errors.check(4.0, 0.0, &format!("D {width} {cost:?}"));
    }
}

#[test]
fn a_rounded_point_costs_nothing_to_itself() {
    let Some(stream) = stream() else { return };
    let cloud = Cloud::new(&[33, 2], 19, 3);
    let sent = cloud.send(&stream, Form::Gaps);
    let asked = asking(sent.points(), &cloud.offsets);
    let got = pairwise_cost(&asked, &asked, Cost::SqEuclidean, Pairing::Paired).unwrap();
    let values = got.values.to_vec().unwrap();
    assert!((0..33).all(|i| values[i * 34].to_bits() == 0));
    assert!((0..2).all(|i| values[33 * 33 + i * 3].to_bits() == 0));
}

#[test]
fn gradients_are_those_of_the_rounded_clouds() {
    let Some(stream) = stream() else { return };
    let (x, y) = (Cloud::new(&[12, 5], 9, 4), Cloud::new(&[7, 20], 9, 5));
    let options = Options::default();
    let of = |x: &Cloud, y: &Cloud, precision| {
        let (sent_x, sent_y) = (x.send(&stream, Form::Tight), y.send(&stream, Form::Tight));
        let x = Ragged::on_device(sent_x.points().with_precision(precision), &x.offsets).unwrap();
        let y = Ragged::on_device(sent_y.points().with_precision(precision), &y.offsets).unwrap();
        let (output, gradients) =
            sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap();
        (output.value, gradients.x.to_vec().unwrap())
    };
    let (value, gradient) = of(&x, &y, Precision::Tf32);
    let (want, want_gradient) = of(&rounded(x), &rounded(y), Precision::Exact);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(value.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{value:?} {want:?}");
    assert!(near(&gradient, &want_gradient));
}

#[test]
fn bf16_points_are_taken_as_they_are() {
    let Some(stream) = stream() else { return };
    for form in [Form::Half, Form::OddHalf] {
        let cloud = Cloud::new(&[20], 24, 6).rounded(form);
        let sent = cloud.send(&stream, form);
        let of = |ragged: &Ragged<'_, Gpu>| {
            let got = pairwise_cost(ragged, ragged, Cost::SqEuclidean, Pairing::Paired).unwrap();
            got.values.to_vec().unwrap()
        };
        assert_eq!(of(&asking(sent.points(), &cloud.offsets)), of(&sent.ragged()));
    }
}

#[test]
fn clouds_that_ask_for_different_precisions_are_refused() {
    let Some(stream) = stream() else { return };
    let cloud = Cloud::new(&[3], 4, 7);
    let sent = cloud.send(&stream, Form::Tight);
    let asked = asking(sent.points(), &cloud.offsets);
    let error = pairwise_cost(&sent.ragged(), &asked, Cost::Cosine, Pairing::Paired).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Option);
    assert_eq!(
        error.to_string(),
        "pairwise_cost: x asks for Exact and y for Tf32, expected one \
         (hint: give both clouds the same DevicePoints::with_precision)"
    );
}
