use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use half::bf16;
use ndarray::{Array2, ArrayView2, s};

use super::*;
use crate::reference::info_nce as reference;
use crate::{ErrorKind, Host};

mod blocks;
mod given;
mod naive;

/// Rows, columns, width: one row, odd, lopsided, more than a tile, more than a stripe.
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 7, 5),
    (3, 3, 129),
    (17, 29, 13),
    (33, 33, 2),
    (150, 1003, 17),
    (600, 620, 9),
    (40, 2100, 3),
];

fn points(n: usize, d: usize, salt: usize) -> Array2<f32> {
    Array2::from_shape_vec((n, d), ramp(n * d, salt)).unwrap()
}

/// Partners that resemble each other, so that the loss is a trained one.
fn pair((n, m, d): (usize, usize, usize), offset: usize) -> (Array2<f32>, Array2<f32>) {
    let (x, mut y) = (points(n, d, 1), points(m, d, 2));
    for i in 0..n {
        let mixed = &x.row(i) * 0.8 + &y.row(i + offset) * 0.6;
        y.row_mut(i + offset).assign(&mixed);
    }
    (x, y)
}

fn run(x: &Array2<f32>, y: &Array2<f32>, options: &Options<'_>) -> Output {
    info_nce(x.view(), y.view(), options).unwrap()
}

fn twin(x: ArrayView2<f32>, y: ArrayView2<f32>, options: &Options<'_>) -> reference::InfoNce {
    let wide = |a: ArrayView2<f32>| a.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    reference::info_nce(&wide(x), &wide(y), x.ncols(), options).unwrap()
}

#[test]
fn log_sum_exps_are_those_of_the_reference() {
    let (x, y) = pair((150, 1003, 17), 2);
    let options = Options { symmetric: true, positive_offset: 2, ..Options::default() };
    let (got, twin) = (run(&x, &y, &options), twin(x.view(), y.view(), &options));
    // Logits of size 10 in f32.
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 4e-6);
    assert!(near(&got.row_lse, &twin.row_lse) && near(&got.column_lse, &twin.column_lse));
    let one = run(&x, &y, &Options { symmetric: false, ..options });
    assert!(near(&one.row_lse, &twin.row_lse) && one.column_lse.is_empty());
    assert!(near(&one.positives, &got.positives));
}

#[test]
fn a_lone_pair_costs_nothing() {
    let (x, y) = pair((1, 1, 7), 0);
    for symmetric in [false, true] {
        let out = run(&x, &y, &Options { symmetric, ..Options::default() });
        assert_eq!((out.value, out.grad_temperature), (0.0, 0.0));
        assert!(out.grad_x.iter().chain(&out.grad_y).all(|&v| v == 0.0));
    }
}

#[test]
fn nothing_at_all_costs_nothing() {
    let (x, y) = (points(0, 3, 1), points(4, 3, 2));
    for symmetric in [false, true] {
        let options = Options { symmetric, ..Options::default() };
        for y in [&x, &y] {
            let out = run(&x, y, &options);
            assert_eq!((out.value, out.grad_x.nrows(), out.grad_y.nrows()), (0.0, 0, y.nrows()));
        }
        let none = [false; 4];
        let out = run(&y, &y, &Options { row_mask: Some(&none), ..options });
        assert!(out.value == 0.0 && out.grad_x.iter().chain(&out.grad_y).all(|&v| v == 0.0));
    }
}

#[test]
fn reordering_pairs_reorders_gradients() {
    let (x, y) = pair((37, 37, 5), 0);
    let order: Vec<usize> = (0..37).map(|i| i * 11 % 37).collect();
    let moved = |a: &Array2<f32>| a.select(ndarray::Axis(0), &order);
    let options = Options { symmetric: true, ..Options::default() };
    let (a, b) = (run(&x, &y, &options), run(&moved(&x), &moved(&y), &options));
    assert!((a.value - b.value).abs() < 1e-6);
    // Sums in another order.
    assert!((moved(&a.grad_x) - b.grad_x).iter().all(|v| v.abs() < 1e-6));
}

#[test]
fn the_symmetric_loss_is_the_mean_of_both_directions() {
    let (x, y) = pair((70, 70, 19), 0);
    let one = |x, y| run(x, y, &Options::default());
    let (rows, columns) = (one(&x, &y), one(&y, &x));
    let both = run(&x, &y, &Options { symmetric: true, ..Options::default() });
    assert!((both.value - (rows.value + columns.value) / 2.0).abs() < 1e-7);
    let mean = (rows.grad_x + columns.grad_y) / 2.0;
    assert!((mean - both.grad_x).iter().all(|v| v.abs() < 1e-7));
}

#[test]
fn masked_points_are_as_good_as_removed_and_never_read() {
    let (mut x, mut y) = pair((90, 130, 11), 0);
    let row_mask: Vec<bool> = (0..90).map(|i| i < 70).collect();
    let column_mask: Vec<bool> = (0..130).map(|j| j < 70 || j % 3 == 0).collect();
    let kept: Vec<usize> = (0..130).filter(|&j| column_mask[j]).collect();
    for symmetric in [false, true] {
        let options = Options { symmetric, ..Options::default() };
        let small_y = y.select(ndarray::Axis(0), &kept);
        let small = run(&x.slice(s![..70, ..]).to_owned(), &small_y, &options);
        let masked =
            Options { row_mask: Some(&row_mask), column_mask: Some(&column_mask), ..options };
        x.slice_mut(s![70.., ..]).fill(f32::NAN);
        (0..130).filter(|&j| !column_mask[j]).for_each(|j| y.row_mut(j).fill(f32::NAN));
        let whole = run(&x, &y, &masked);
        assert_eq!((whole.value, whole.grad_temperature), (small.value, small.grad_temperature));
        assert_eq!(whole.grad_x.slice(s![..70, ..]), small.grad_x);
        assert!(whole.grad_x.slice(s![70.., ..]).iter().all(|&v| v == 0.0));
        assert_eq!(whole.grad_y.select(ndarray::Axis(0), &kept), small.grad_y);
        assert!((0..130).all(|j| column_mask[j] || whole.grad_y.row(j).iter().all(|&v| v == 0.0)));
        assert_eq!(whole.row_lse[..70], small.row_lse);
        assert!(whole.row_lse[70..].iter().all(|&v| v == f64::NEG_INFINITY));
    }
}

#[test]
fn a_row_without_its_partner_is_only_a_negative() {
    let (x, y) = pair((6, 8, 4), 1);
    let (row_mask, column_mask) =
        ([true, true, true, false, true, true], [true, true, false, true, true, true, true, true]);
    for symmetric in [false, true] {
        let options = Options {
            symmetric,
            positive_offset: 1,
            row_mask: Some(&row_mask),
            column_mask: Some(&column_mask),
            ..Options::default()
        };
        let (got, twin) = (run(&x, &y, &options), twin(x.view(), y.view(), &options));
        assert!((got.value - twin.value).abs() < 1e-6);
        let near = |a: &Array2<f32>, b: &[f64]| {
            a.iter().zip(b).all(|(&a, b)| (f64::from(a) - b).abs() < 2e-6)
        };
        assert!(near(&got.grad_x, &twin.grad_x) && near(&got.grad_y, &twin.grad_y));
        assert!(got.positives[1].is_nan() && got.positives[3].is_nan());
    }
}

#[test]
fn nan_in_one_anchor_leaves_the_gradients_of_others_alone() {
    let (mut x, y) = pair((5, 5, 3), 0);
    let clean = run(&x, &y, &Options::default());
    x[[2, 1]] = f32::NAN;
    let out = run(&x, &y, &Options::default());
    assert!(out.value.is_nan() && out.grad_x.row(2).iter().all(|v| v.is_nan()));
    for i in [0, 1, 3, 4] {
        assert_eq!(out.grad_x.row(i), clean.grad_x.row(i));
        assert_eq!(out.row_lse[i], clean.row_lse[i]);
    }
}

#[test]
fn large_logits_stay_finite_and_small_losses_keep_their_digits() {
    let (x, y) = pair((20, 20, 6), 0);
    let sharp = Options { temperature: 1e-4, symmetric: true, ..Options::default() };
    let out = run(&x, &y, &sharp);
    assert!(out.value.is_finite() && out.grad_x.iter().all(|v| v.is_finite()));
    // Orthogonal pairs at temperature 1/16: the loss is 4 e^-16, less than f32's ulp of a logit.
    let unit = Array2::<f32>::eye(5);
    for symmetric in [false, true] {
        let options = Options { temperature: 1.0 / 16.0, symmetric, ..Options::default() };
        let out = run(&unit, &unit, &options);
        let exact = (4.0 * (-16f64).exp()).ln_1p();
        assert!((out.value / exact - 1.0).abs() < 1e-6, "{:e} {exact:e}", out.value);
    }
}

#[test]
fn the_cosine_of_points_of_any_length_is_the_same() {
    let (x, y) = pair((9, 9, 4), 0);
    let plain = run(&x, &y, &Options::default());
    for factor in [2f32.powi(-70), 2f32.powi(70)] {
        let out = run(&(&x * factor), &y, &Options::default());
        assert_eq!(out.value, plain.value);
        assert_eq!(&out.grad_x * factor, plain.grad_x);
    }
    let mut x = x;
    x.row_mut(3).fill(0.0);
    let (out, twin) =
        (run(&x, &y, &Options::default()), twin(x.view(), y.view(), &Options::default()));
    assert!((out.value - twin.value).abs() < 1e-6);
    assert!(out.grad_x.row(3).iter().all(|&v| v == 0.0));
}

#[test]
fn half_precision_points_are_widened_exactly() {
    let (x, y) = pair((13, 15, 8), 0);
    let (half_x, half_y) = (x.mapv(bf16::from_f32), y.mapv(bf16::from_f32));
    let options = Options { symmetric: true, ..Options::default() };
    let half = info_nce(half_x.view(), half_y.view(), &options).unwrap();
    let wide = run(&half_x.mapv(f32::from), &half_y.mapv(f32::from), &options);
    assert_eq!((half.value, half.grad_x, half.grad_y), (wide.value, wide.grad_x, wide.grad_y));
}

#[test]
fn the_golden_vector_of_cosine() {
    let x = Array2::from_shape_vec((2, 3), vec![0.5f32, 0.5, 0.0, 0.5, 0.5, 1.0]).unwrap();
    let y = vec![1.6 / 3.0f32, 1.7 / 3.0, 0.0, 0.5, 0.55, 0.9];
    let y = Array2::from_shape_vec((2, 3), y).unwrap();
    // Logits of 10 in f32, times the softmax of 0.02.
    assert!((run(&x, &y, &Options::default()).value - 0.0204892951).abs() < 5e-8);
}

#[test]
fn thread_count_changes_no_bit() {
    let (x, y) = pair((610, 1100, 33), 0);
    for symmetric in [false, true] {
        same_bits_on_one_and_two_threads(|| {
            let out = run(&x, &y, &Options { symmetric, ..Options::default() });
            let mut all: Vec<f64> =
                out.grad_x.iter().chain(&out.grad_y).map(|&v| f64::from(v)).collect();
            all.extend([out.value, out.grad_temperature]);
            all.extend(out.row_lse.iter().chain(&out.column_lse));
            all
        });
    }
}

#[test]
fn wrong_arguments_are_named() {
    let (x, y) = (points(3, 2, 1), points(3, 2, 2));
    let error = |x: &Array2<f32>, y: &Array2<f32>, options: Options<'_>| {
        let error = info_nce(x.view(), y.view(), &options).unwrap_err();
        (error.to_string(), error.kind())
    };
    let options = Options::default();
    for (got, text, kind) in [
        (
            error(&x, &points(3, 4, 1), options),
            "info_nce: x is (3, 2) and y is (3, 4), expected one width above 0",
            ErrorKind::Shape,
        ),
        (
            error(&x, &points(2, 2, 1), options),
            "info_nce: partners of 3 rows start at column 0, expected them below 2 columns",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { positive_offset: -1, ..options }),
            "info_nce: partners of 3 rows start at column -1, expected them below 3 columns",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { row_mask: Some(&[true]), ..options }),
            "info_nce: row_mask has 1 values, expected 3",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { temperature: 0.0, ..options }),
            "info_nce: temperature is 0, expected > 0 and finite (hint: 0.05 to 0.1 is usual for \
             cosine)",
            ErrorKind::Option,
        ),
    ] {
        assert_eq!((got.0.as_str(), got.1), (text, kind));
    }
    let lse = [0.0; 3];
    let block = Block { row_lse: &lse, column_lse: &[], positives: &lse, pairs: 0 };
    let given = |block: &Block<'_>| {
        let error = info_nce_given_lse(x.view(), y.view(), block, &options);
        error.unwrap_err().to_string()
    };
    assert!(given(&block).starts_with("info_nce_given_lse: pairs is 0"));
    assert_eq!(
        given(&Block { row_lse: &[], pairs: 3, ..block }),
        "info_nce_given_lse: row_lse has 0 values, expected 3"
    );
    assert_eq!(
        combine_lse(&[&[0.0], &[]]).unwrap_err().to_string(),
        "combine_lse: a part has 0 values, expected 1 as the first"
    );
}
