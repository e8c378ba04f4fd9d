//! Softmax and layer norm of rows.

use ptx_emu::LaunchConfig;

use crate::device::{Noise, ROUNDING, ULP, args, assert_near, on_each, shaped};

#[test]
fn softmax_rows_match_the_exact_quotient() {
    const ROWS: usize = 3;
    on_each("softmax_rows", |device| {
        for (cols, threads) in [(1, 32), (33, 64), (129, 32), (301, 96)] {
            let scale = 0.75_f32;
            let x = Noise(4).floats(ROWS * cols, -9.0, 9.0);
            let y = device.room::<f32>(x.len());
            let list = args![device.put(&x), y, cols as i32, scale];
            device.launch("softmax_rows", LaunchConfig::linear(ROWS as u32, threads), &list);
            let y = device.get::<f32>(y, x.len());

            for (row, from) in x.chunks(cols).enumerate() {
                let scaled: Vec<f64> =
                    from.iter().map(|&v| f64::from(v) * f64::from(scale)).collect();
                let peak = scaled.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scaled.iter().map(|v| (v - peak).exp()).sum();
                let depth = scaled.iter().map(|v| peak - v).fold(0.0, f64::max);
                // The shift by the peak cancels, its rounding does not: up to `depth` in size.
                // Above and below the line an exponential: `ex2.approx` within 2^-22 of an
                // argument rounded once more or, when fast, (2 + 1.173 |x|) ulp; then the
                // additions of a lane, the shuffles and the warps, and the division: 2 ulp when
                // fast.
                let exponential = if device.fast { (2.0 + 1.173 * depth) * ULP } else { 4.0 * ULP };
                let additions =
                    (cols.div_ceil(threads as usize) + 5) as f64 + f64::from(threads / 32);
                let relative =
                    2.0 * (exponential + depth * ROUNDING) + additions * ROUNDING + 2.0 * ULP;
                for (col, v) in scaled.iter().enumerate() {
                    let exact = (v - peak).exp() / sum;
                    assert_near(y[row * cols + col], exact, relative * exact, "softmax");
                }
            }
        }
    });
}

#[test]
fn layer_norm_matches_two_exact_passes() {
    const EPSILON: f32 = 1e-5;
    on_each("layer_norm", |device| {
        for (rows, cols) in [(1, 1), (5, 7), (3, 32), (7, 133)] {
            let mut noise = Noise(5);
            let x = noise.floats(rows * cols, 1.0, 5.0);
            let gain = noise.floats(cols, 0.5, 2.0);
            let bias = noise.floats(cols, -1.0, 1.0);
            let (y, means) = (device.room::<f32>(x.len()), device.room::<f32>(rows));
            let (from, by, plus) = (device.put(&x), device.put(&gain), device.put(&bias));
            let list = args![from, by, plus, y, means, rows as i32, cols as i32, EPSILON];
            let config = shaped([(rows as u32).div_ceil(3), 1, 1], [32, 3, 1]);
            device.launch("layer_norm", config, &list);
            let (y, means) = (device.get::<f32>(y, x.len()), device.get::<f32>(means, rows));

            for (row, from) in x.chunks(cols).enumerate() {
                let count = cols as f64;
                let mean = from.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
                let spread: f64 = from.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
                let scale = (spread / count + f64::from(EPSILON)).sqrt().recip();
                // A lane's steps and five merges each move the mean by a few roundings of a value
                // of its size; a fast division is off by 2 ulp where an exact one rounds once.
                let steps = (cols.div_ceil(32) + 5) as f64;
                let slack = steps * if device.fast { 8.0 } else { 4.0 } * ROUNDING;
                assert_near(means[row], mean, slack * 5.0, "mean");
                for (col, &v) in from.iter().enumerate() {
                    let z = (f64::from(v) - mean) * scale;
                    let (by, plus) = (f64::from(gain[col]), f64::from(bias[col]));
                    let allowed = slack * ((5.0 * scale + z.abs()) * by + plus.abs());
                    assert_near(y[row * cols + col], z * by + plus, allowed, "layer norm");
                }
            }
        }
    });
}
