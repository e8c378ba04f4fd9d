//! Nothing, very little, very large, and NaN.

use align_kernels::info_nce::{Similarity, info_nce};
use gpu_runtime::Stream;

use crate::case::{Case, FORMS, Form, Got, send};
use crate::device::stream;
use crate::plain::check;

#[test]
fn nothing_has_no_loss_and_no_gradient() {
    let Some(stream) = stream() else { return };
    for form in FORMS {
        let none = Case::new((0, 5, 3), form, 1).device(&stream);
        assert_eq!((none.value, none.grad_x.len(), none.row_lse.len()), (0.0, 0, 0));
        assert!(none.grad_y == [0.0; 15] && none.column_lse == [f64::NEG_INFINITY; 5]);
        // All columns are masked: rows have no logit.
        let mut case = Case::new((3, 3, 2), form, 1);
        case.column_mask = Some(vec![false; 3]);
        case.y.fill(f32::NAN);
        let none = case.device(&stream);
        assert!(none.value == 0.0 && none.grad_x == [0.0; 6] && none.grad_temperature == 0.0);
        assert!(
            none.row_lse == [f64::NEG_INFINITY; 3] && none.positives.iter().all(|p| p.is_nan())
        );
        let one = Case::new((1, 1, 4), form, 1).device(&stream);
        assert!(one.value == 0.0 && one.grad_x == [0.0; 4], "{one:?}");
    }
}

#[test]
fn losses_near_zero_keep_their_digits() {
    let Some(stream) = stream() else { return };
    for form in [Form::Tight, Form::Half] {
        let mut case = Case::new((3, 3, 4), form, 1);
        case.similarity = Similarity::Dot;
        case.temperature = 1.0;
        case.x.fill(0.0);
        (0..3).for_each(|i| case.x[[i, i]] = 8.0);
        case.y = case.x.clone();
        // Two others at logit 0 against 64.
        let want = (2.0 * (-64f64).exp()).ln_1p();
        let got = case.device(&stream);
        assert!((got.value - want).abs() < 1e-14, "{form:?}: {}", got.value);
        // The slope of a pair is -2 e^-64, which 1 - p would have lost.
        let slope = f64::from(got.grad_x[0]) / 8.0 * 3.0;
        assert!((slope / (-2.0 * (-64f64).exp()) - 1.0).abs() < 1e-2, "{form:?}: {slope:e}");
    }
}

#[test]
fn logits_of_any_size_stay_finite() {
    let Some(stream) = stream() else { return };
    for form in [Form::Tight, Form::Half] {
        // Lengths from 1 to 2^15: logits far apart in one tile, and up to 1e4.
        let mut case = Case::new((40, 270, 12), form, 8);
        case.similarity = Similarity::Dot;
        for (i, mut row) in case.x.rows_mut().into_iter().enumerate() {
            row.mapv_inplace(|v| v * 2f32.powi((i % 8) as i32));
        }
        for (j, mut row) in case.y.rows_mut().into_iter().enumerate() {
            row.mapv_inplace(|v| v * 2f32.powi((j % 5) as i32));
        }
        for temperature in [0.25, 8.0] {
            case.temperature = temperature;
            check(&case, &case.device(&stream));
        }
    }
}

#[test]
fn cosines_take_points_of_any_length() {
    let Some(stream) = stream() else { return };
    for form in [Form::Gaps, Form::Half] {
        let case = Case::new((33, 40, 9), form, 7);
        let want = case.device(&stream);
        let mut far = case.clone();
        let scales = [2f32.powi(90), 2f32.powi(-100), 1.0, 2f32.powi(100)];
        for points in [&mut far.x, &mut far.y] {
            for (i, mut row) in points.rows_mut().into_iter().enumerate() {
                row.mapv_inplace(|v| v * scales[i % 4]);
            }
        }
        let got = far.device(&stream);
        assert!((got.value - want.value).abs() < 1e-6, "{form:?} {} {}", got.value, want.value);
        let d = case.x.ncols();
        let largest = want.grad_x.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        for (k, (got, want)) in got.grad_x.iter().zip(&want.grad_x).enumerate() {
            let got = f64::from(*got) * f64::from(scales[k / d % 4]);
            assert!((got as f32 - want).abs() < 1e-3 * largest, "{form:?} {k}: {got} {want}");
        }
        // A point of length 0 is like nothing, and has no gradient.
        let mut none = case.clone();
        none.x.row_mut(4).fill(0.0);
        none.y.row_mut(11).fill(0.0);
        let got = none.device(&stream);
        check(&none, &got);
        assert!(
            got.grad_x[4 * d..5 * d].iter().chain(&got.grad_y[11 * d..12 * d]).all(|v| *v == 0.0)
        );
    }
}

#[test]
fn nan_stays_in_the_logits_it_is_in() {
    let Some(stream) = stream() else { return };
    for form in [Form::Tight, Form::Half] {
        let mut case = Case::new((20, 30, 6), form, 3);
        case.symmetric = false;
        // An extra negative of every row: all log-sum-exps are NaN, and the value is.
        case.y[[29, 2]] = f32::NAN;
        let got = case.device(&stream);
        assert!(got.value.is_nan() && got.row_lse.iter().all(|lse| lse.is_nan()), "{form:?}");
        // A row that is NaN leaves the log-sum-exps of the others alone.
        let mut case = Case::new((20, 30, 6), form, 3);
        let clean = case.device(&stream);
        case.x[[7, 0]] = f32::NAN;
        let got = case.device(&stream);
        assert!(got.row_lse[7].is_nan() && got.row_lse[6] == clean.row_lse[6]);
        assert!(got.column_lse.iter().all(|lse| lse.is_nan()));
    }
}

#[test]
fn clouds_on_two_streams_wait_for_each_other() {
    let Some(stream) = stream() else { return };
    let other = Stream::new(stream.device()).unwrap();
    let case = Case::new((9, 12, 5), Form::Tight, 1);
    let (x, y) = (send(&stream, &case.x, case.form), send(&other, &case.y, case.form));
    let got = Got::of(&info_nce(x.points(), y.points(), &case.options()).unwrap());
    assert_eq!(got.bits(), case.device(&stream).bits());
}
