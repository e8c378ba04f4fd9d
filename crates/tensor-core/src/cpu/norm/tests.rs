use super::*;
use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};

const EPS: f64 = 1e-5;

/// Mean and variance by definition.
fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

#[track_caller]
fn assert_close(got: f64, want: f64, bound: f64) {
    assert!((got - want).abs() <= bound, "{got} for {want}");
}

#[test]
fn rows_agree_with_the_definition() {
    for (rows, width) in [(1, 1), (1, 3), (3, 17), (5, 129), (300, 130)] {
        let (x, w, b) = (ramp::<f64>(rows * width, 1), ramp(width, 2), ramp(width, 3));
        let layer = norm_rows(&x, &w, Some(&b), EPS).y;
        let rms = norm_rows(&x, &w, None, EPS).y;
        for (r, row) in x.chunks(width).enumerate() {
            let (mean, variance) = moments(row);
            let square = variance + mean * mean;
            for j in 0..width {
                let want = (row[j] - mean) / (variance + EPS).sqrt() * w[j] + b[j];
                assert_close(layer[r * width + j], want, 1e-9);
                assert_close(rms[r * width + j], row[j] / (square + EPS).sqrt() * w[j], 1e-9);
            }
        }
    }
}

#[test]
fn a_large_offset_costs_no_accuracy() {
    let x: Vec<f32> = ramp::<f32>(129, 1).iter().map(|x| x + 1000.0).collect();
    let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let (mean, variance) = moments(&exact);
    let ones = vec![1.0; 129];
    let y = norm_rows(&x, &ones, Some(&vec![0.0; 129]), EPS).y;
    for (y, x) in y.into_iter().zip(exact) {
        // One rounding of the mean, relative to a deviation near 0.58.
        assert_close(f64::from(y), (x - mean) / (variance + EPS).sqrt(), 2e-4);
    }
}

#[test]
fn groups_agree_with_the_definition() {
    for (batch, channels, time, groups) in
        [(1, 1, 7, 1), (2, 6, 5, 3), (3, 4, 129, 4), (2, 4, 3, 1)]
    {
        let x = ramp::<f64>(batch * channels * time, 1);
        let (w, b) = (ramp(channels, 2), ramp(channels, 3));
        let y = group_norm(&x, (groups, time), &w, &b, EPS).y;
        for (i, group) in x.chunks(channels / groups * time).enumerate() {
            let (mean, variance) = moments(group);
            for (j, x) in group.iter().enumerate() {
                let at = i * group.len() + j;
                let c = at / time % channels;
                assert_close(y[at], (x - mean) / (variance + EPS).sqrt() * w[c] + b[c], 1e-9);
            }
        }
    }
}

#[test]
fn input_gradients_are_orthogonal_to_shift_and_scale() {
    let (rows, width) = (5, 37);
    let (x, dy, w) = (ramp::<f64>(rows * width, 1), ramp(rows * width, 2), ramp(width, 3));
    let zeros = vec![0.0; width];
    let stats = norm_rows(&x, &w, Some(&zeros), 0.0).stats;
    let dx = norm_rows_backward(&x, &dy, &stats, &w, true).dx;
    for (dx, x) in dx.chunks(width).zip(x.chunks(width)) {
        assert_close(dx.iter().sum(), 0.0, 1e-12);
        assert_close(dx.iter().zip(x).map(|(dx, x)| dx * x).sum(), 0.0, 1e-12);
    }
}

#[test]
fn thread_count_changes_no_bit() {
    let (rows, width) = (300, 130);
    let (x, dy, w) = (ramp::<f32>(rows * width, 1), ramp(rows * width, 2), ramp(width, 3));
    same_bits_on_one_and_two_threads(|| {
        let Normalized { mut y, stats } = norm_rows(&x, &w, Some(&w), EPS);
        let rows = norm_rows_backward(&x, &dy, &stats, &w, true);
        let w = &w[..65];
        let group = group_norm(&x, (5, 2), w, w, EPS);
        let groups = group_norm_backward(&x, &dy, &group.stats, (5, 2), w);
        for part in [rows.dx, rows.dweight, rows.dbias, group.y, groups.dx, groups.dweight] {
            y.extend(part);
        }
        y
    });
}
