//! Values and gradients beside the formulas written down plainly, in f32.

use super::*;

/// The plain formulas in f32: normalise, all logits, softmax, and back through each.
struct Naive {
    value: f32,
    grad_x: Vec<f32>,
    grad_y: Vec<f32>,
    grad_temperature: f32,
}

fn naive(x: &Array2<f32>, y: &Array2<f32>, options: &Options<'_>) -> Naive {
    let (n, m, d) = (x.nrows(), y.nrows(), x.ncols());
    let cosine = options.similarity == Similarity::Cosine;
    let t = options.temperature as f32;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0f32, |sum, (a, b)| sum + a * b);
    let unit = |a: &Array2<f32>| -> (Vec<Vec<f32>>, Vec<f32>) {
        let norm = |r: &[f32]| if cosine { dot(r, r).sqrt() } else { 1.0 };
        let rows: Vec<Vec<f32>> = a.rows().into_iter().map(|r| r.to_vec()).collect();
        let norms: Vec<f32> = rows.iter().map(|r| norm(r)).collect();
        let units = rows.iter().zip(&norms).map(|(r, n)| r.iter().map(|v| v / n).collect());
        (units.collect(), norms)
    };
    let ((xs, x_norms), (ys, y_norms)) = (unit(x), unit(y));
    let logits: Vec<f32> = (0..n * m).map(|k| dot(&xs[k / m], &ys[k % m]) / t).collect();
    let partner = |i: usize| (i as isize + options.positive_offset) as usize;
    let share = 1.0 / (options.directions() as f32 * n as f32);
    let (mut value, mut slopes) = (0.0f32, vec![0.0f32; n * m]);
    for i in 0..n {
        let at = |k: usize| i * m + k;
        value += share * softmax(&logits, &mut slopes, m, at, partner(i), share);
        if options.symmetric {
            let j = partner(i);
            value += share * softmax(&logits, &mut slopes, n, |k| k * m + j, i, share);
        }
    }
    let slopes_dot = logits.iter().zip(&slopes).fold(0.0f32, |sum, (a, b)| sum + a * b);
    let back = |units: &[Vec<f32>],
                norms: &[f32],
                others: &[Vec<f32>],
                at: &dyn Fn(usize, usize) -> usize| {
        let mut out = Vec::new();
        for (i, (unit, norm)) in units.iter().zip(norms).enumerate() {
            let mut grad = vec![0.0f32; d];
            for (j, other) in others.iter().enumerate() {
                grad.iter_mut().zip(other).for_each(|(g, o)| *g += slopes[at(i, j)] / t * o);
            }
            let radial = if cosine { dot(&grad, unit) } else { 0.0 };
            out.extend(grad.iter().zip(unit).map(|(g, u)| (g - radial * u) / norm));
        }
        out
    };
    Naive {
        value,
        grad_x: back(&xs, &x_norms, &ys, &|i, j| i * m + j),
        grad_y: back(&ys, &y_norms, &xs, &|j, i| i * m + j),
        grad_temperature: -slopes_dot / t,
    }
}

/// Loss of one anchor among `count` logits; adds its slopes.
fn softmax(
    logits: &[f32],
    slopes: &mut [f32],
    count: usize,
    at: impl Fn(usize) -> usize,
    partner: usize,
    share: f32,
) -> f32 {
    let max = (0..count).map(|k| logits[at(k)]).fold(f32::NEG_INFINITY, f32::max);
    let sum = (0..count).fold(0.0f32, |sum, k| sum + (logits[at(k)] - max).exp());
    (0..count).for_each(|k| slopes[at(k)] += share * (logits[at(k)] - max).exp() / sum);
    slopes[at(partner)] -= share;
    max + sum.ln() - logits[at(partner)]
}

/// Fails when `got` is further from `twin` than `factor` times the plain loop's worst element.
#[track_caller]
fn assert_within_naive(
    what: &str,
    got: &[f32],
    naive: &[f32],
    twin: &[f64],
    (factor, floor): (f64, f64),
) {
    assert!(got.len() == twin.len() && naive.len() == twin.len());
    let worst = |xs: &[f32]| {
        xs.iter()
            .zip(twin)
            .map(|(&x, t)| (f64::from(x) - t).abs())
            .fold(0.0, |w: f64, e| if e.is_nan() { f64::INFINITY } else { w.max(e) })
    };
    let allowed = factor * worst(naive) + floor;
    assert!(worst(got) <= allowed, "{what}: {:e} is over {allowed:e}", worst(got));
}

#[test]
fn values_and_gradients_are_within_the_error_of_the_plain_loop() {
    for &shape in SHAPES {
        for similarity in [Similarity::Cosine, Similarity::Dot] {
            for symmetric in [false, true] {
                for temperature in [1.0, 0.07] {
                    let offset = (shape.1 - shape.0).min(3);
                    let (x, y) = pair(shape, offset);
                    let options = Options {
                        temperature,
                        similarity,
                        symmetric,
                        positive_offset: offset as isize,
                        ..Options::default()
                    };
                    let (got, plain) = (run(&x, &y, &options), naive(&x, &y, &options));
                    let twin = twin(x.view(), y.view(), &options);
                    let name = format!("{shape:?} {similarity:?} {symmetric} {temperature}");
                    let flat = |a: &Array2<f32>| a.iter().copied().collect::<Vec<_>>();
                    let check = |what: &str, got: &[f32], plain: &[f32], twin: &[f64], factors| {
                        assert_within_naive(&format!("{name} {what}"), got, plain, twin, factors);
                    };
                    // The plain loop is exact by luck on small shapes: the floors are what rounding
                    // the largest logit costs the value, and each slope as a fraction of itself (a
                    // slope is the exponential of a difference of two of that size).
                    let ulp = 2f64.powi(-23);
                    let largest =
                        |xs: &[f64]| xs.iter().fold(0.0f64, |most, x| most.max(x.abs())) * ulp;
                    let logit = largest(&twin.row_lse);
                    check(
                        "value",
                        &[got.value as f32],
                        &[plain.value],
                        &[twin.value],
                        (2.0, logit),
                    );
                    let most = (logit / ulp).max(1.0);
                    let floors = [&twin.grad_x, &twin.grad_y].map(|grad| largest(grad) * most);
                    check("x", &flat(&got.grad_x), &plain.grad_x, &twin.grad_x, (3.0, floors[0]));
                    check("y", &flat(&got.grad_y), &plain.grad_y, &twin.grad_y, (3.0, floors[1]));
                    let (t, plain) = ([got.grad_temperature as f32], [plain.grad_temperature]);
                    // A slope and a logit, both rounded.
                    let floor = 2.0 * logit / temperature;
                    check("t", &t, &plain, &[twin.grad_temperature], (3.0, floor));
                }
            }
        }
    }
}
