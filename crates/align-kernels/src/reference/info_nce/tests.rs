use super::*;
use cpu_math::testing::ramp;

/// Central differences of `f` at `at`.
fn slopes(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    (0..at.len())
        .map(|k| {
            let moved = |by: f64| {
                let mut at = at.to_vec();
                at[k] += by;
                f(&at)
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        })
        .collect()
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "element {k}: {got} {want}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (n, m, d) = (4, 6, 3);
    let (x, y) = (ramp::<f64>(n * d, 1), ramp::<f64>(m * d, 2));
    let (row_mask, column_mask) =
        ([true, true, false, true], [true, false, true, true, true, true]);
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        for symmetric in [false, true] {
            for masked in [false, true] {
                let options = Options {
                    temperature: 0.3,
                    similarity,
                    symmetric,
                    positive_offset: 1,
                    row_mask: masked.then_some(&row_mask),
                    column_mask: masked.then_some(&column_mask),
                    ..Options::default()
                };
                let value = |x: &[f64], y: &[f64], temperature: f64| {
                    info_nce(x, y, d, &Options { temperature, ..options }).unwrap().value
                };
                let out = info_nce(&x, &y, d, &options).unwrap();
                // The step's square times third derivatives of order 1 / temperature^3.
                assert_close(&out.grad_x, &slopes(&x, |x| value(x, &y, 0.3)), 1e-7);
                assert_close(&out.grad_y, &slopes(&y, |y| value(&x, y, 0.3)), 1e-7);
                let by_temperature = slopes(&[0.3], |t| value(&x, &y, t[0]));
                assert_close(&[out.grad_temperature], &by_temperature, 1e-7);
            }
        }
    }
}

#[test]
fn the_vector_of_the_reference_notes() {
    // Means of the valid positions of two texts and two clips.
    let text = [0.5, 0.5, 0.0, 0.5, 0.5, 1.0];
    let speech = [1.6 / 3.0, 1.7 / 3.0, 0.0, 0.5, 0.55, 0.9];
    let out = info_nce(&text, &speech, 3, &Options::default()).unwrap();
    let (row_0, row_1) = ([0.99954118, 0.63607166], [0.57708537, 0.99678382]);
    let lse = |row: [f64; 2]| ((row[0] / 0.1).exp() + (row[1] / 0.1).exp()).ln();
    assert_close(&out.row_lse, &[lse(row_0), lse(row_1)], 1e-7);
    assert_close(&[out.value], &[0.0204892951], 1e-10);
}

#[test]
fn equal_logits_give_the_logarithm_of_their_number() {
    for n in [1, 2, 7] {
        for symmetric in [false, true] {
            let options = Options { symmetric, ..Options::default() };
            let points = [1.0, 2.0].repeat(n);
            let out = info_nce(&points, &points, 2, &options).unwrap();
            assert_close(&[out.value], &[(n as f64).ln()], 1e-14);
        }
    }
}

#[test]
fn the_symmetric_loss_is_the_mean_of_both_directions() {
    let (x, y) = (ramp::<f64>(5 * 3, 3), ramp::<f64>(5 * 3, 4));
    let one = |x, y| info_nce(x, y, 3, &Options::default()).unwrap();
    let (rows, columns) = (one(&x, &y), one(&y, &x));
    let options = Options { symmetric: true, ..Options::default() };
    let both = info_nce(&x, &y, 3, &options).unwrap();
    assert_close(&[both.value], &[(rows.value + columns.value) / 2.0], 1e-14);
    let mean: Vec<f64> =
        rows.grad_x.iter().zip(&columns.grad_y).map(|(a, b)| (a + b) / 2.0).collect();
    assert_close(&both.grad_x, &mean, 1e-14);
}

#[test]
fn a_constant_on_a_row_changes_nothing_and_gradient_rows_sum_to_zero() {
    let (n, m) = (3, 5);
    let logits = ramp::<f64>(n * m, 5);
    let shifted: Vec<f64> =
        logits.iter().enumerate().map(|(k, v)| v + [3.0, -7.0, 0.5][k / m]).collect();
    let of = |logits: &[f64]| of_similarities(logits, m, &Options::default()).unwrap();
    let (a, b) = (of(&logits), of(&shifted));
    assert_close(&[a.value], &[b.value], 1e-13);
    assert_close(&a.grad, &b.grad, 1e-12);
    for row in a.grad.chunks(m) {
        assert_close(&[row.iter().sum()], &[0.0], 1e-13);
    }
}
