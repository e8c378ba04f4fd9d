//! `pairwise_cost`: every form, width and pairing against the twin.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
use align_kernels::reference::pairwise_cost::{PointCost, cost_matrix};
use gpu_runtime::DeviceBuffer;

use crate::batch::{Cloud, FORMS, Form, wide};
use crate::device::stream;
use crate::plain::{self, Errors};

pub const COSTS: [(Cost, PointCost); 3] = [
    (Cost::SqEuclidean, PointCost::SqEuclidean),
    (Cost::Cosine, PointCost::Cosine),
    (Cost::Euclidean, PointCost::Euclidean),
];

/// Lengths around a warp and a tile, in pairs and against each other.
pub const X: [usize; 6] = [0, 1, 31, 65, 2, 33];
pub const Y: [usize; 6] = [7, 130, 64, 32, 0, 1];

#[test]
fn costs_are_within_twice_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (at, width) in [1, 3, 8, 17, 64, 129].into_iter().enumerate() {
        for (form_at, form) in FORMS.into_iter().enumerate() {
            let (kind, twin) = COSTS[(at + form_at) % 3];
            let all = (at + form_at) % 2 == 1 && width <= 17;
            let pairing = if all { Pairing::AllPairs } else { Pairing::Paired };
            let x = Cloud::new(&X, width, at).rounded(form);
            let y = Cloud::new(&Y, width, at + 20).rounded(form);
            let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
            let got = pairwise_cost(&sent_x.ragged(), &sent_y.ragged(), kind, pairing).unwrap();
            let host = pairwise_cost(&x.host(), &y.host(), kind, pairing).unwrap();
            assert_eq!(got.starts, host.starts);
            let values = got.values.to_vec().unwrap();
            let (mut errors, place) = (Errors::default(), format!("D {width} {form:?} {kind:?}"));
            for k in 0..got.pairs() {
                let (i, j) = if all { (k / Y.len(), k % Y.len()) } else { (k, k) };
                let (x, y) = (x.item(i), y.item(j));
                let want = cost_matrix(twin, &wide(x), &wide(y), width).unwrap();
                errors.add_all(&values[got.range(k)], &plain::costs(x, y, kind), &want);
                for (got, host) in values[got.range(k)].iter().zip(&host.values[host.range(k)]) {
                    // Near 0 the root of an error is larger than it.
                    let bound = if kind == Cost::Euclidean { 2e-3 } else { 2e-6 };
                    assert!((got - host).abs() <= bound, "{place}: {got}, the host has {host}");
                }
            }
            // Tensor cores may cut off addends where a loop rounds.
            errors.check(if form == Form::Half { 4.0 } else { 2.0 }, 0.0, &place);
        }
    }
}

#[test]
fn a_point_costs_nothing_to_itself() {
    let Some(stream) = stream() else { return };
    let mut cloud = Cloud::new(&[65, 3], 17, 1).rounded(Form::Half);
    cloud.points.row_mut(4).fill(0.0);
    cloud.points[[66, 2]] = f32::NAN;
    for form in FORMS {
        let sent = cloud.send(&stream, form);
        for (kind, _) in COSTS {
            let got =
                pairwise_cost(&sent.ragged(), &sent.ragged(), kind, Pairing::AllPairs).unwrap();
            let (values, host) = (got.values.to_vec().unwrap(), cloud.host());
            let host = pairwise_cost(&host, &host, kind, Pairing::AllPairs).unwrap();
            for (k, n) in [(0, 65), (3, 3)] {
                let diagonal = |values: &[f32], starts: &[usize]| -> Vec<f32> {
                    (0..n).map(|i| values[starts[k] + i * (n + 1)]).collect()
                };
                let got = diagonal(&values, &got.starts);
                let expected = |i: usize| match kind {
                    _ if (k, i) == (3, 1) => f32::NAN,
                    Cost::SqEuclidean => 0.0,
                    Cost::Euclidean => 1e-4,
                    Cost::Cosine => f32::from(u8::from((k, i) == (0, 4))),
                };
                for (i, (got, host)) in
                    got.iter().zip(diagonal(&host.values, &host.starts)).enumerate()
                {
                    let want = expected(i);
                    let same =
                        |x: f32| x.to_bits() == want.to_bits() || (x.is_nan() && want.is_nan());
                    assert!(same(*got) && same(host), "{form:?} {kind:?} {k} {i}: {got} {host}");
                }
            }
        }
    }
}

#[test]
fn clouds_that_share_memory_but_not_rows_are_two() {
    let Some(stream) = stream() else { return };
    // The same numbers as 6 points of width 2, and every other of them.
    let values: Vec<f32> = (0..12).map(|k| (k * k) as f32 / 10.0).collect();
    let buffer = DeviceBuffer::from_slice(&stream, &values).unwrap();
    let all = DevicePoints::new(&stream, &buffer, 6, 2).unwrap();
    let some = DevicePoints::strided(&stream, &buffer, 3, 2, 4).unwrap();
    let (x, y) = (Ragged::single_on_device(all), Ragged::single_on_device(some));
    let got = pairwise_cost(&x, &y, Cost::SqEuclidean, Pairing::Paired).unwrap();
    let got = got.values.to_vec().unwrap();
    for i in 0..6 {
        for j in 0..3 {
            let (x, y) = (&values[2 * i..2 * i + 2], &values[4 * j..4 * j + 2]);
            let want = ((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)) / 2.0;
            assert!((got[i * 3 + j] - want).abs() < 1e-4, "{i} {j}: {} {want}", got[i * 3 + j]);
        }
    }
}

#[test]
fn mixed_forms_are_compared_in_f32() {
    let Some(stream) = stream() else { return };
    let (x, y) = (Cloud::new(&[5], 8, 1).rounded(Form::Half), Cloud::new(&[9], 8, 2));
    let (sent_x, sent_y) = (x.send(&stream, Form::Half), y.send(&stream, Form::Gaps));
    let cost = Cost::SqEuclidean;
    let mixed = pairwise_cost(&sent_x.ragged(), &sent_y.ragged(), cost, Pairing::Paired).unwrap();
    let sent_x = x.send(&stream, Form::Tight);
    let single = pairwise_cost(&sent_x.ragged(), &sent_y.ragged(), cost, Pairing::Paired).unwrap();
    assert_eq!(mixed.values.to_vec().unwrap(), single.values.to_vec().unwrap());
}
