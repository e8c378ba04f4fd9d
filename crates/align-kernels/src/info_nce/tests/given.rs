//! Similarities that the caller has made.

use super::*;

#[test]
fn given_similarities_are_treated_as_the_reference_does() {
    let (n, m) = (7, 11);
    let similarities = Array2::from_shape_vec((n, m), ramp::<f64>(n * m, 6)).unwrap();
    let row_mask: Vec<bool> = (0..n).map(|i| i != 3).collect();
    let column_mask: Vec<bool> = (0..m).map(|j| j != 2).collect();
    for symmetric in [false, true] {
        for masked in [false, true] {
            let options = Options {
                symmetric,
                positive_offset: 1,
                row_mask: masked.then_some(&row_mask),
                column_mask: masked.then_some(&column_mask),
                ..Options::default()
            };
            let mut given = similarities.clone();
            let flat = similarities.as_slice().unwrap();
            let want = reference::of_similarities(flat, m, &options).unwrap();
            if masked {
                given.row_mut(3).fill(f64::NAN);
                given.column_mut(2).fill(f64::NAN);
            }
            let got = info_nce_similarities(given.view(), &options).unwrap();
            assert!((got.value - want.value).abs() < 1e-13);
            assert!(got.grad.iter().zip(&want.grad).all(|(a, b)| (a - b).abs() < 1e-13));
            assert!((got.grad_temperature - want.grad_temperature).abs() < 1e-11);
            let equal = |a: &f64, b: &f64| a == b || (a - b).abs() < 1e-12;
            assert!(got.row_lse.iter().zip(&want.row_lse).all(|(a, b)| equal(a, b)));
            assert!(got.column_lse.iter().zip(&want.column_lse).all(|(a, b)| equal(a, b)));
        }
    }
}

#[test]
fn an_excluded_similarity_takes_no_part() {
    let mut similarities = Array2::from_shape_vec((3, 3), ramp::<f64>(9, 7)).unwrap();
    similarities[[0, 2]] = f64::NEG_INFINITY;
    let options = Options { symmetric: true, ..Options::default() };
    let out = info_nce_similarities(similarities.view(), &options).unwrap();
    assert!(out.value.is_finite() && out.grad_temperature.is_finite());
    assert!(out.grad[[0, 2]] == 0.0 && out.grad.iter().all(|v| v.is_finite()));
}

#[test]
fn the_golden_vectors_of_given_similarities() {
    // Wasserstein InfoNCE: similarities are negated divergences.
    let rows_0 = [-0.09917513, -0.64251941, -0.60869925, -0.00501307];
    let rows_1 = [-0.05652702, -0.51434658, -0.49972029, -0.0046192];
    for (rows, by_text, by_speech) in
        [(rows_0, 0.0033723574, 0.0039046026), (rows_1, 0.0086361689, 0.0089580585)]
    {
        let matrix = ArrayView2::from_shape((2, 2), &rows).unwrap();
        // Similarities are given to eight digits, and divided by 0.1.
        for (matrix, want) in [(matrix, by_text), (matrix.reversed_axes(), by_speech)] {
            let got = info_nce_similarities(matrix, &Options::default()).unwrap().value;
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
    }
}
