use super::*;
use cpu_math::testing::same_bits_on_one_and_two_threads;

fn noise(n: usize, salt: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + salt * 131 + 17) % 1009) as f64 / 500.0 - 1.0).collect()
}

/// `(B, I, O, T, K, stride, padding, dilation, groups)`.
fn shape(numbers: [usize; 9]) -> ConvShape {
    let [batch, in_channels, out_channels, in_len, kernel, stride, padding, dilation, groups] =
        numbers;
    let out_len = (in_len + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
    ConvShape {
        batch,
        in_channels,
        out_channels,
        in_len,
        out_len,
        kernel,
        stride,
        padding,
        dilation,
        groups,
    }
}

fn shapes() -> Vec<ConvShape> {
    [
        [1, 1, 1, 1, 1, 1, 0, 1, 1],
        [2, 3, 5, 17, 3, 1, 1, 1, 1],
        [2, 3, 5, 18, 3, 2, 1, 1, 1],
        [1, 1, 4, 61, 10, 5, 0, 1, 1],
        [2, 4, 6, 13, 3, 1, 2, 2, 2],
        [1, 6, 6, 9, 4, 3, 5, 1, 3],
        [2, 5, 5, 23, 7, 1, 3, 1, 5],
        [2, 3, 3, 19, 3, 2, 4, 3, 3],
        [1, 2, 4, 1, 3, 1, 1, 1, 1],
        [1, 4, 3, 1203, 128, 1, 64, 1, 1],
        [1, 2, 2, 2, 2, 1, 7, 1, 1],
        [1, 1, 1, 3, 2, 4, 9, 1, 1],
        // Enough work for windows in place.
        [2, 9, 17, 611, 7, 2, 3, 1, 1],
        [1, 34, 22, 1601, 3, 3, 5, 1, 2],
        [1, 8, 100, 531, 2, 3, 0, 1, 1],
        [1, 8, 128, 96, 12, 1, 7, 1, 1],
    ]
    .map(shape)
    .to_vec()
}

fn plain(x: &[f64], weight: &[f64], bias: &[f64], s: &ConvShape) -> Vec<f64> {
    let (group_in, group_out) = (s.in_channels / s.groups, s.out_channels / s.groups);
    let mut out = Vec::new();
    for b in 0..s.batch {
        for o in 0..s.out_channels {
            for p in 0..s.out_len {
                let mut sum = bias[o];
                for i in 0..group_in {
                    let channel = o / group_out * group_in + i;
                    for tap in 0..s.kernel {
                        let at = p * s.stride + tap * s.dilation;
                        if at >= s.padding && at - s.padding < s.in_len {
                            sum += weight[(o * group_in + i) * s.kernel + tap]
                                * x[(b * s.in_channels + channel) * s.in_len + at - s.padding];
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn both_ways_are_taken() {
    let taken = shapes().iter().filter(|shape| shape.suits_windows()).count();
    assert_eq!(taken, 4);
}

struct Case {
    shape: ConvShape,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    upstream: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let case = |s: ConvShape| Case {
        shape: s,
        x: noise(s.batch * s.in_channels * s.in_len, 1),
        weight: noise(s.out_channels * s.in_channels / s.groups * s.kernel, 2),
        bias: noise(s.out_channels, 3),
        upstream: noise(s.batch * s.out_channels * s.out_len, 4),
    };
    shapes().into_iter().map(case).collect()
}

#[test]
fn chunks_agree_with_the_definition() {
    for Case { shape, x, weight, bias, .. } in cases() {
        let got = conv1d(&x, &weight, Some(&bias), &shape);
        let want = plain(&x, &weight, &bias, &shape);
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() < 1e-12, "{shape:?}: got {g}, expected {w}");
        }
        let without = conv1d(&x, &weight, None, &shape);
        let zero = vec![0.0; bias.len()];
        for (g, w) in without.iter().zip(plain(&x, &weight, &zero, &shape)) {
            assert!((g - w).abs() < 1e-12);
        }
    }
}

#[test]
fn gradients_are_directional_slopes_of_the_definition() {
    for Case { shape, x, weight, bias, upstream } in cases() {
        let grads = [
            conv1d_input_grad(&upstream, &weight, &shape),
            conv1d_weight_grad(&upstream, &x, &shape),
            conv1d_bias_grad(&upstream, &shape),
        ];
        for (which, grad) in grads.iter().enumerate() {
            let direction = noise(grad.len(), 5 + which);
            let slope = |step: f64| -> f64 {
                let mut operands = [x.clone(), weight.clone(), bias.clone()];
                assert_eq!(operands[which].len(), grad.len());
                for (x, d) in operands[which].iter_mut().zip(&direction) {
                    *x += step * d;
                }
                let out = plain(&operands[0], &operands[1], &operands[2], &shape);
                out.iter().zip(&upstream).map(|(o, g)| o * g).sum()
            };
            // Linear in each operand, so a step of one is exact.
            let want = (slope(1.0) - slope(-1.0)) / 2.0;
            let got: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
            assert!(
                (got - want).abs() < 1e-10 * (1.0 + want.abs()),
                "{shape:?} operand {which}: {got} vs {want}"
            );
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for Case { shape, x, weight, bias, upstream } in cases() {
        same_bits_on_one_and_two_threads(|| {
            [
                conv1d(&x, &weight, Some(&bias), &shape),
                conv1d_input_grad(&upstream, &weight, &shape),
                conv1d_weight_grad(&upstream, &x, &shape),
                conv1d_bias_grad(&upstream, &shape),
            ]
            .concat()
        });
    }
}
