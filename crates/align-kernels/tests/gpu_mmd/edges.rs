//! Identities, extremes, NaN, and the same bits each time.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::mmd::{Estimator, Options, Output, mmd};
use gpu_runtime::{DeviceBuffer, Stream};
use ndarray::s;

use crate::batch::{Cloud, FORMS, Form};
use crate::device::stream;

fn every_route() -> Vec<Options> {
    vec![
        Options::linear(),
        Options::polynomial(2, 0.5),
        Options::polynomial(3, 0.5),
        Options::gaussian(&[0.7, 1.4]),
        Options::gaussian(&[1.0]).with(Estimator::LinearTime),
    ]
}

fn run(stream: &Stream, x: &Cloud, y: &Cloud, form: Form, options: &Options) -> Output<Vec<f32>> {
    let (x, y) = (x.send(stream, form), y.send(stream, form));
    let Output { value, grad_x, grad_y } = mmd(&x.ragged(), &y.ragged(), options).unwrap();
    Output { value, grad_x: grad_x.to_vec().unwrap(), grad_y: grad_y.to_vec().unwrap() }
}

fn bits(output: &Output<Vec<f32>>) -> (Vec<u64>, Vec<u32>, Vec<u32>) {
    let narrow = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
    let value = output.value.iter().map(|x| x.to_bits()).collect();
    (value, narrow(&output.grad_x), narrow(&output.grad_y))
}

#[test]
fn results_have_the_same_bits_each_time_and_alone() {
    let Some(stream) = stream() else { return };
    for (at, options) in every_route().iter().enumerate() {
        let form = FORMS[at % 4];
        let x = Cloud::new(&[33, 5, 66], 20, 1).rounded(form);
        let y = Cloud::new(&[10, 40, 31], 20, 2).rounded(form);
        let got = run(&stream, &x, &y, form, options);
        assert_eq!(bits(&got), bits(&run(&stream, &x, &y, form, options)), "{options:?}");
        for k in 0..3 {
            let only = |cloud: &Cloud| Cloud {
                points: cloud.item(k).to_owned(),
                offsets: vec![0, cloud.item(k).nrows()],
                weights: vec![],
            };
            let alone = bits(&run(&stream, &only(&x), &only(&y), form, options));
            let (value, grad_x, grad_y) = bits(&got);
            assert_eq!(value[k], alone.0[0], "{options:?} {k}");
            assert_eq!(
                grad_x[x.offsets[k] * 20..x.offsets[k + 1] * 20],
                alone.1,
                "{options:?} {k}"
            );
            assert_eq!(
                grad_y[y.offsets[k] * 20..y.offsets[k + 1] * 20],
                alone.2,
                "{options:?} {k}"
            );
        }
    }
}

#[test]
fn equal_samples_have_no_discrepancy_and_no_gradient() {
    let Some(stream) = stream() else { return };
    for options in every_route() {
        for form in FORMS {
            let cloud = Cloud::new(&[1, 37], 12, 5).rounded(form);
            let got = run(&stream, &cloud, &cloud, form, &options);
            let linear_time = options.estimator == Estimator::LinearTime;
            for k in 0..2 {
                let expected = if linear_time { 1.0 } else { 3e-7 };
                assert!(got.value[k].abs() < expected, "{form:?} {options:?}: {}", got.value[k]);
            }
            let most = got.grad_x.iter().fold(0.0f32, |most, g| most.max(g.abs()));
            assert!(linear_time || most < 2e-3, "{form:?} {options:?}: {most}");
            // One memory, two names.
            let sent = cloud.send(&stream, form);
            let shared = mmd(&sent.ragged(), &sent.ragged(), &options).unwrap();
            assert_eq!(shared.value, got.value, "{form:?} {options:?}");
        }
    }
}

#[test]
fn one_point_a_side_has_the_value_of_its_pair() {
    let Some(stream) = stream() else { return };
    let points = |values: &[f32]| {
        let rows = ndarray::Array2::from_shape_vec((1, 2), values.to_vec()).unwrap();
        Cloud { points: rows, offsets: vec![0, 1], weights: vec![] }
    };
    let (x, y) = (points(&[1.0, 2.0]), points(&[3.0, 1.0]));
    for (options, want) in [
        (Options::linear(), 5.0),
        (Options::polynomial(2, 0.0), 25.0 + 100.0 - 2.0 * 25.0),
        (Options::polynomial(3, 1.0), 216.0 + 1331.0 - 2.0 * 216.0),
        (Options::gaussian(&[1.0]), 2.0 - 2.0 * (-2.5f64).exp()),
    ] {
        let got = run(&stream, &x, &y, Form::Tight, &options);
        assert!((got.value[0] - want).abs() < 1e-6 * want, "{options:?}: {} {want}", got.value[0]);
        let none = run(&stream, &x, &y, Form::Tight, &options.clone().with(Estimator::Unbiased));
        assert_eq!((none.value[0], &none.grad_x[..]), (0.0, &[0.0; 2][..]), "{options:?}");
    }
}

#[test]
fn nan_stays_in_its_item() {
    let Some(stream) = stream() else { return };
    for (at, options) in every_route().iter().enumerate() {
        for form in [FORMS[at % 2], Form::Half] {
            let mut x = Cloud::new(&[9, 6, 8], 11, 1).rounded(form);
            let y = Cloud::new(&[8, 9, 7], 11, 2).rounded(form);
            let clean = run(&stream, &x, &y, form, options);
            x.points[[10, 3]] = f32::NAN;
            let got = run(&stream, &x, &y, form, options);
            assert!(got.value[1].is_nan(), "{form:?} {options:?}");
            assert!(got.grad_x[9 * 11..15 * 11].iter().any(|g| g.is_nan()), "{form:?} {options:?}");
            for k in [0, 2] {
                assert_eq!(
                    got.value[k].to_bits(),
                    clean.value[k].to_bits(),
                    "{form:?} {options:?}"
                );
            }
            let (got, clean) = (bits(&got), bits(&clean));
            assert_eq!(got.1[..99], clean.1[..99], "{form:?} {options:?}");
            assert_eq!(got.2[17 * 11..], clean.2[17 * 11..], "{form:?} {options:?}");
        }
    }
}

#[test]
fn a_shift_of_f32_points_costs_no_digits() {
    let Some(stream) = stream() else { return };
    let (x, y) = (Cloud::new(&[40], 9, 1), Cloud::new(&[50], 9, 2));
    let options = Options::gaussian(&[0.5, 1.0]);
    let near = run(&stream, &x, &y, Form::Tight, &options);
    // A power of two, and coordinates that it leaves whole.
    let moved = |cloud: &Cloud| {
        let mut cloud = cloud.clone();
        cloud.points.mapv_inplace(|v| (v * 4096.0).round() / 4096.0 + 512.0);
        cloud
    };
    let far = run(&stream, &moved(&x), &moved(&y), Form::Tight, &options);
    assert!((near.value[0] - far.value[0]).abs() < 1e-4, "{} {}", near.value[0], far.value[0]);
    let host = mmd(&moved(&x).host(), &moved(&y).host(), &options).unwrap();
    assert!((host.value[0] - far.value[0]).abs() < 1e-6, "{} {}", host.value[0], far.value[0]);
}

#[test]
fn close_pairs_far_from_the_centre_keep_their_distances() {
    let Some(stream) = stream() else { return };
    // Two clusters far apart, in which distances are small beside the lengths.
    for form in [Form::Tight, Form::Half] {
        let spread = |cloud: Cloud| {
            let mut cloud = cloud;
            let count = cloud.points.nrows();
            cloud.points.slice_mut(s![..count / 2, ..]).mapv_inplace(|v| v + 16.0);
            cloud.points.slice_mut(s![count / 2.., ..]).mapv_inplace(|v| v - 16.0);
            cloud.rounded(form)
        };
        let (x, y) = (spread(Cloud::new(&[21], 33, 1)), spread(Cloud::new(&[19], 33, 2)));
        let options = Options::gaussian(&[0.6]);
        let got = run(&stream, &x, &y, form, &options);
        let host = mmd(&x.host(), &y.host(), &options).unwrap();
        assert!(
            (got.value[0] - host.value[0]).abs() < 1e-6,
            "{form:?}: {} {}",
            got.value[0],
            host.value[0]
        );
    }
}

#[test]
fn nothing_is_compared_with_nothing() {
    let Some(stream) = stream() else { return };
    let empty = DeviceBuffer::<f32>::uninit(&stream, 0).unwrap();
    let (x, y) = (
        DevicePoints::new(&stream, &empty, 0, 4).unwrap(),
        DevicePoints::new(&stream, &empty, 3, 0).unwrap(),
    );
    for options in every_route() {
        let none = Ragged::single_on_device(x);
        let got = mmd(&none, &none, &options).unwrap();
        assert_eq!((got.value, got.grad_x.len()), (vec![0.0], 0));
        let flat = Ragged::single_on_device(y);
        assert_eq!(mmd(&flat, &flat, &options).unwrap().value, [0.0]);
    }
}
