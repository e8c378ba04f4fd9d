//! Batches that are computed as a product of whole clouds where the device has a kernel for it.

use align_kernels::pairwise_cost::{Cost, Costs, Pairing, pairwise_cost};
use align_kernels::reference::pairwise_cost::cost_matrix;
use gpu_runtime::{DeviceBuffer, Stream};

use crate::batch::{Cloud, Form, wide};
use crate::device::stream;
use crate::plain::{self, Errors};
use crate::tiles::COSTS;

/// Lengths around a warp and a tile; two rounds are enough pairs to fill tiles of clouds.
const LENGTHS: [usize; 16] = [0, 1, 2, 31, 33, 64, 65, 130, 2, 65, 0, 33, 1, 130, 31, 64];

fn costs(
    stream: &Stream,
    x: &Cloud,
    y: &Cloud,
    cost: Cost,
    pairing: Pairing,
) -> Costs<DeviceBuffer<f32>> {
    let (x, y) = (x.send(stream, Form::Half), y.send(stream, Form::Half));
    pairwise_cost(&x.ragged(), &y.ragged(), cost, pairing).unwrap()
}

/// Against the twin, by the yardstick of tensor cores.
fn check(x: &Cloud, y: &Cloud, cost: Cost, got: &Costs<DeviceBuffer<f32>>, all: bool) {
    let twin = COSTS.iter().find(|(kind, _)| *kind == cost).unwrap().1;
    let (values, width) = (got.values.to_vec().unwrap(), x.width());
    let mut errors = Errors::default();
    for k in 0..got.pairs() {
        let (i, j) = if all { (k / y.items(), k % y.items()) } else { (k, k) };
        let (x, y) = (x.item(i), y.item(j));
        let want = cost_matrix(twin, &wide(x), &wide(y), width).unwrap();
        errors.add_all(&values[got.range(k)], &plain::costs(x, y, cost), &want);
    }
    errors.check(4.0, 0.0, &format!("D {width} {cost:?}"));
}

#[test]
fn products_of_clouds_are_within_four_times_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    // One chunk of D, a part of one, and more chunks than there are stages.
    for (width, cost) in [(8, Cost::Euclidean), (70, Cost::Cosine), (328, Cost::SqEuclidean)] {
        let x = Cloud::new(&LENGTHS, width, 1).rounded(Form::Half);
        let y = Cloud::new(&LENGTHS, width, 2).rounded(Form::Half);
        let got = costs(&stream, &x, &y, cost, Pairing::AllPairs);
        check(&x, &y, cost, &got, true);
        let again = costs(&stream, &x, &y, cost, Pairing::AllPairs);
        let bits = |costs: &Costs<DeviceBuffer<f32>>| -> Vec<u32> {
            costs.values.to_vec().unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&got), bits(&again));
    }
}

/// Too few tiles for the SMs: two and four CTAs share each.
#[test]
fn parts_of_long_sums_are_put_together() {
    let Some(stream) = stream() else { return };
    for (width, cost) in [(520, Cost::SqEuclidean), (1030, Cost::Cosine)] {
        let x = Cloud::new(&LENGTHS, width, 10).rounded(Form::Half);
        let y = Cloud::new(&LENGTHS[..8], width, 11).rounded(Form::Half);
        let got = costs(&stream, &x, &y, cost, Pairing::AllPairs);
        check(&x, &y, cost, &got, true);
    }
}

#[test]
fn large_pairs_one_by_one_are_products_too() {
    let Some(stream) = stream() else { return };
    let lengths = |n: usize| -> Vec<usize> { (0..34).map(|k| n - k % 3).collect() };
    let x = Cloud::new(&lengths(130), 16, 3).rounded(Form::Half);
    let y = Cloud::new(&lengths(250), 16, 4).rounded(Form::Half);
    let got = costs(&stream, &x, &y, Cost::SqEuclidean, Pairing::Paired);
    check(&x, &y, Cost::SqEuclidean, &got, false);
}

/// More tiles than the card has SMs: CTAs go on from one to the next, and stages with them.
#[test]
fn a_block_goes_from_tile_to_tile() {
    let Some(stream) = stream() else { return };
    let x = Cloud::new(&[130], 72, 5).rounded(Form::Half);
    let y = Cloud::new(&[256; 70], 72, 6).rounded(Form::Half);
    let got = costs(&stream, &x, &y, Cost::SqEuclidean, Pairing::AllPairs);
    check(&x, &y, Cost::SqEuclidean, &got, true);
}

#[test]
fn points_of_nan_and_zero_stay_in_their_rows_and_columns() {
    let Some(stream) = stream() else { return };
    let mut x = Cloud::new(&LENGTHS, 40, 7).rounded(Form::Half);
    let mut y = Cloud::new(&LENGTHS, 40, 8).rounded(Form::Half);
    (x.points.row_mut(70)[3], y.points.row_mut(100)[39]) = (f32::NAN, f32::NAN);
    x.points.row_mut(200).fill(0.0);
    for (cost, _) in COSTS {
        let got = costs(&stream, &x, &y, cost, Pairing::AllPairs);
        let values = got.values.to_vec().unwrap();
        for k in 0..got.pairs() {
            let (i, j) = (k / y.items(), k % y.items());
            let m = y.item(j).nrows();
            for (at, value) in values[got.range(k)].iter().enumerate() {
                let (row, column) = (x.offsets[i] + at / m, y.offsets[j] + at % m);
                assert_eq!(value.is_nan(), row == 70 || column == 100, "{cost:?} {row} {column}");
                if cost == Cost::Cosine && row == 200 && column != 100 {
                    assert_eq!(*value, 1.0);
                }
            }
        }
    }
}

#[test]
fn a_cloud_against_itself_has_a_diagonal_of_zeros() {
    let Some(stream) = stream() else { return };
    let mut cloud = Cloud::new(&LENGTHS, 40, 9).rounded(Form::Half);
    cloud.points.row_mut(66).fill(0.0);
    cloud.points[[300, 2]] = f32::NAN;
    let sent = cloud.send(&stream, Form::Half);
    for (cost, _) in COSTS {
        let got = pairwise_cost(&sent.ragged(), &sent.ragged(), cost, Pairing::AllPairs).unwrap();
        let values = got.values.to_vec().unwrap();
        for item in 0..cloud.items() {
            let (range, n) = (got.range(item * (cloud.items() + 1)), cloud.item(item).nrows());
            for i in 0..n {
                let (got, row) = (values[range.start + i * (n + 1)], cloud.offsets[item] + i);
                match cost {
                    _ if row == 300 => assert!(got.is_nan()),
                    Cost::SqEuclidean => assert_eq!(got.to_bits(), 0),
                    Cost::Euclidean => assert_eq!(got, 1e-4),
                    Cost::Cosine => assert_eq!(got, f32::from(u8::from(row == 66)), "{row}"),
                }
            }
        }
    }
}
