//! Values, gradients and log-sum-exps against the reference.

use align_kernels::info_nce::Similarity;

use crate::case::{Case, FORMS, Form};
use crate::device::stream;
use crate::plain::check;

/// Rows, columns, width: one row, odd, lopsided, around a tile, more than a tile each way.
const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 7, 5),
    (2, 2, 64),
    (3, 3, 129),
    (31, 33, 13),
    (64, 65, 2),
    (128, 130, 17),
    (130, 257, 8),
    (260, 300, 33),
];

#[test]
fn values_and_gradients_are_within_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (at, shape) in SHAPES.into_iter().enumerate() {
        for (form_at, form) in FORMS.into_iter().enumerate() {
            let mut case = Case::new(shape, form, at);
            case.symmetric = (at + form_at) % 3 != 0;
            case.similarity = [Similarity::Cosine, Similarity::Dot][(at + form_at / 2) % 2];
            case.temperature = [0.07, 1.0][(at + form_at) % 2];
            check(&case, &case.device(&stream));
        }
    }
}

#[test]
fn the_host_finds_the_same() {
    let Some(stream) = stream() else { return };
    for form in [Form::Gaps, Form::Half] {
        let case = Case::new((33, 45, 20), form, 5).with_masks();
        let (host, got) = (case.host(), case.device(&stream));
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5 || (a.is_nan() && b.is_nan()) || a == b;
        assert!(near(host.value, got.value) && near(host.grad_temperature, got.grad_temperature));
        for (a, b) in [
            (&host.row_lse, &got.row_lse),
            (&host.column_lse, &got.column_lse),
            (&host.positives, &got.positives),
        ] {
            assert!(a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| near(a, b)), "{form:?}");
        }
    }
}

#[test]
fn masked_points_are_not_read_and_have_no_gradient() {
    let Some(stream) = stream() else { return };
    for form in FORMS {
        for symmetric in [false, true] {
            let mut case = Case::new((67, 140, 19), form, 9).with_masks();
            case.symmetric = symmetric;
            let got = case.device(&stream);
            check(&case, &got);
            let d = case.x.ncols();
            for (mask, grad) in [(&case.row_mask, &got.grad_x), (&case.column_mask, &got.grad_y)] {
                for (i, _) in mask.as_ref().unwrap().iter().enumerate().filter(|(_, mask)| !**mask)
                {
                    assert!(
                        grad[i * d..(i + 1) * d].iter().all(|v| v.to_bits() == 0),
                        "{form:?} {i}"
                    );
                }
            }
        }
    }
}

#[test]
fn results_repeat_bit_for_bit() {
    let Some(stream) = stream() else { return };
    for form in [Form::Tight, Form::Half] {
        let case = Case::new((140, 270, 40), form, 3).with_masks();
        assert_eq!(case.device(&stream).bits(), case.device(&stream).bits(), "{form:?}");
    }
}

#[test]
fn windows_of_rows_add_up() {
    let Some(stream) = stream() else { return };
    // A window holds 1024 rows at most.
    for (n, form) in [(1100, Form::Half), (1030, Form::Tight)] {
        let case = Case::new((n, n + 1, 2), form, 11);
        check(&case, &case.device(&stream));
    }
}
