use super::*;
use cpu_math::testing::ramp;

fn unit(values: &[f64], width: usize) -> Vec<f64> {
    let norm = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
    values.chunks(width).flat_map(|row| row.iter().map(move |v| v / norm(row))).collect()
}

/// Central differences of `f` at `at` against `slopes`.
#[track_caller]
fn check_slopes(at: &[f64], slopes: &[f64], f: impl Fn(&[f64]) -> f64) {
    for (k, slope) in slopes.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = at.to_vec();
            at[k] += by;
            f(&at)
        };
        let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        // The step's square times third derivatives of order 1 / temperature^3.
        assert!((slope - want).abs() < 1e-6 * (1.0 + want.abs()), "element {k}: {slope} {want}");
    }
}

#[test]
fn the_vector_of_the_reference_notes() {
    let anchor = unit(&[1.0, 2.0], 2);
    let bank = unit(&[1.0, 1.0, -1.0, 0.5, 0.3, -1.0], 2);
    let score = |row: usize| dot(&anchor, &bank[row * 2..row * 2 + 2]) / 0.07;
    let shift = (2.0f64 / 10.0).ln();
    let loss = log_loss(score(0) - shift, true).0
        + (1..3).map(|row| log_loss(score(row) - shift, false).0).sum::<f64>();
    assert!((loss - 1.791911446157).abs() < 1e-11, "{loss}");
    let h = |row: usize| (-log_loss(score(row) - shift, true).0).exp();
    assert!((h(0) - 0.999999739863).abs() < 1e-12);
    assert!((h(1) - 0.833333333).abs() < 1e-9 && (h(2) - 0.000151705).abs() < 1e-9);

    // The same against a bank of ten, whose 1e-7 is all that differs.
    let mut ten = bank.clone();
    ten.extend(unit(&ramp::<f64>(14, 1), 2));
    let (value, _, _) = contrast(&anchor, &ten, 2, &[0, 1, 2], 0.07, 1.0);
    assert!((value - 1.791911446157).abs() < 1e-6);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (student, teacher) = (ramp::<f64>(5 * 3, 2), ramp::<f64>(3 * 3, 3));
    let (clip_of, drawn) = ([0, 0, 1, 2, 2], [2, 3, 2, 4, 1, 4, 0, 2, 1, 2]);
    let run =
        |student: &[f64], teacher: &[f64]| in_batch(student, teacher, 3, &clip_of, &drawn, 0.4, 30);
    let out = run(&student, &teacher);
    check_slopes(&student, &out.grad_student, |student| run(student, &teacher).value);
    check_slopes(&teacher, &out.grad_teacher, |teacher| run(&student, teacher).value);

    let (anchors, bank) = (ramp::<f64>(2 * 3, 4), ramp::<f64>(7 * 3, 5));
    let rows = [5, 1, 1, 6, 2, 0, 2, 4];
    let run = |anchors: &[f64]| contrast(anchors, &bank, 3, &rows, 0.4, 11.0);
    check_slopes(&anchors, &run(&anchors).1, |anchors| run(anchors).0);
}
