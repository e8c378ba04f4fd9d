//! The yardstick: the formulas as plain f32 loops, the way they are first written.

use align_kernels::info_nce::Similarity;
use ndarray::Array2;

use crate::case::{Case, Form, Got};

/// Value and gradients of a plain loop.
pub struct Plain {
    pub value: f32,
    pub grad_x: Vec<f32>,
    pub grad_y: Vec<f32>,
    pub grad_temperature: f32,
}

/// Normalise, all logits, softmax, and back through each.
pub fn run(case: &Case) -> Plain {
    let (n, m, t) = (case.x.nrows(), case.y.nrows(), case.temperature as f32);
    let options = case.options();
    let counts = |mask: Option<&[bool]>, i: usize| mask.is_none_or(|mask| mask[i]);
    let rows: Vec<usize> = (0..n).filter(|&i| counts(options.row_mask, i)).collect();
    let columns: Vec<usize> = (0..m).filter(|&j| counts(options.column_mask, j)).collect();
    let ((xs, x_norms), (ys, y_norms)) = (units(&case.x, case), units(&case.y, case));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0f32, |sum, (a, b)| sum + a * b);
    let mut logits = vec![0.0f32; n * m];
    let mut slopes = vec![0.0f32; n * m];
    for &i in &rows {
        for &j in &columns {
            logits[i * m + j] = dot(&xs[i], &ys[j]) / t;
        }
    }
    let partner = |i: usize| (i as isize + case.offset) as usize;
    let pairs: Vec<usize> =
        rows.iter().copied().filter(|&i| columns.contains(&partner(i))).collect();
    let share = 1.0 / ((1 + usize::from(case.symmetric)) as f32 * pairs.len() as f32);
    let mut value = 0.0f32;
    for &i in &pairs {
        let own: Vec<usize> = columns.iter().map(|&j| i * m + j).collect();
        value += share * softmax(&logits, &mut slopes, &own, i * m + partner(i), share);
        if case.symmetric {
            let own: Vec<usize> = rows.iter().map(|&k| k * m + partner(i)).collect();
            value += share * softmax(&logits, &mut slopes, &own, i * m + partner(i), share);
        }
    }
    let grad_temperature = -logits.iter().zip(&slopes).fold(0.0f32, |sum, (a, b)| sum + a * b) / t;
    let cosine = case.similarity == Similarity::Cosine;
    let back = |own: &[Vec<f32>],
                norms: &[f32],
                counted: (&[usize], &[usize]),
                others: &[Vec<f32>],
                at: &dyn Fn(usize, usize) -> usize| {
        let mut out = vec![0.0f32; own.len() * case.x.ncols()];
        for &i in counted.0 {
            let grad = &mut out[i * case.x.ncols()..(i + 1) * case.x.ncols()];
            for &j in counted.1 {
                let slope = slopes[at(i, j)] / t;
                grad.iter_mut().zip(&others[j]).for_each(|(g, o)| *g += slope * o);
            }
            let radial = if cosine { dot(grad, &own[i]) } else { 0.0 };
            grad.iter_mut().zip(&own[i]).for_each(|(g, u)| *g = (*g - radial * u) / norms[i]);
        }
        out
    };
    Plain {
        value,
        grad_x: back(&xs, &x_norms, (&rows, &columns), &ys, &|i, j| i * m + j),
        grad_y: back(&ys, &y_norms, (&columns, &rows), &xs, &|j, i| i * m + j),
        grad_temperature,
    }
}

fn units(points: &Array2<f32>, case: &Case) -> (Vec<Vec<f32>>, Vec<f32>) {
    let norm = |row: &[f32]| match case.similarity {
        // A point of length 0 is like nothing.
        Similarity::Cosine => match row.iter().fold(0.0f32, |sum, v| sum + v * v).sqrt() {
            0.0 => f32::INFINITY,
            norm => norm,
        },
        Similarity::Dot => 1.0,
    };
    let rows: Vec<Vec<f32>> = points.rows().into_iter().map(|row| row.to_vec()).collect();
    let norms: Vec<f32> = rows.iter().map(|row| norm(row)).collect();
    let unit = |(row, norm): (&Vec<f32>, &f32)| row.iter().map(|v| v / norm).collect();
    (rows.iter().zip(&norms).map(unit).collect(), norms)
}

/// Loss of one anchor among the logits `own`; adds its slopes.
fn softmax(logits: &[f32], slopes: &mut [f32], own: &[usize], partner: usize, share: f32) -> f32 {
    let max = own.iter().map(|&k| logits[k]).fold(f32::NEG_INFINITY, f32::max);
    let sum = own.iter().fold(0.0f32, |sum, &k| sum + (logits[k] - max).exp());
    own.iter().for_each(|&k| slopes[k] += share * (logits[k] - max).exp() / sum);
    slopes[partner] -= share;
    max + sum.ln() - logits[partner]
}

/// Fails unless a device is as near to the reference as a plain loop: twice its worst error for values,
/// three times for gradients; slopes of bf16 points are rounded to bf16 besides.
#[track_caller]
pub fn check(case: &Case, got: &Got) {
    let (plain, twin, name) = (run(case), case.twin(), case.name());
    let is_half = case.form == Form::Half;
    // Tensor cores may cut off addends where a loop rounds.
    let more = if is_half { 2.0 } else { 1.0 };
    // The plain loop is exact by luck on small shapes: the floors are what rounding the largest logit
    // costs a value, and a slope as a part of itself.
    let largest = |values: &[f64]| {
        values.iter().filter(|v| v.is_finite()).fold(0.0f64, |most, v| most.max(v.abs()))
    };
    let ulp = more * 2f64.powi(-23);
    let logit = largest(&twin.row_lse).max(largest(&twin.column_lse)) * ulp;
    let near = |what: &str, got: f64, plain: f32, want: f64, factor: f64, floor: f64| {
        let (error, allowed) =
            ((got - want).abs(), factor * (f64::from(plain) - want).abs() + floor);
        assert!(
            error <= allowed,
            "{name}: {what} is {got}, expected {want}: {error:e} over {allowed:e}"
        );
    };
    near("value", got.value, plain.value, twin.value, 2.0 * more, logit);
    // A slope is off by what its logit is, as a part of itself.
    let floor = logit * (2.0 / case.temperature).max(twin.grad_temperature.abs());
    near(
        "grad_temperature",
        got.grad_temperature,
        plain.grad_temperature,
        twin.grad_temperature,
        3.0 * more,
        floor,
    );
    let rounding = if is_half { 2f64.powi(-8) } else { 0.0 };
    let terms = terms(case);
    let sides = [
        ("grad_x", &got.grad_x, &plain.grad_x, &twin.grad_x, &terms[0]),
        ("grad_y", &got.grad_y, &plain.grad_y, &twin.grad_y, &terms[1]),
    ];
    for (what, got, plain, want, terms) in sides {
        assert_eq!(got.len(), want.len(), "{name}: {what}");
        let errors = |values: &[f32]| {
            values.iter().zip(want).map(|(&v, w)| (f64::from(v) - w).abs()).collect::<Vec<_>>()
        };
        // The reference knows the slope of a pair to an ulp of 1.
        let exact = 2f64.powi(-50) / case.temperature;
        let allowed = 3.0 * more * largest(&errors(plain)) + largest(want) * logit.max(ulp) + exact;
        for (k, error) in errors(got).into_iter().enumerate() {
            let allowed = allowed + rounding * terms[k];
            assert!(
                error <= allowed,
                "{name}: {what}[{k}] is {}, expected {}: {error:e} over {allowed:e}",
                got[k],
                want[k]
            );
        }
    }
    let near = |a: &[f64], b: &[f64]| {
        let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 4.0 * logit;
        a.len() == b.len() && a.iter().zip(b).all(close)
    };
    assert!(near(&got.row_lse, &twin.row_lse), "{name}: row_lse");
    assert!(!case.symmetric || near(&got.column_lse, &twin.column_lse), "{name}: column_lse");
}

/// Sums of the absolute terms that each gradient is made of, by row and by column.
fn terms(case: &Case) -> [Vec<f64>; 2] {
    let (n, m, d) = (case.x.nrows(), case.y.nrows(), case.x.ncols());
    let cosine = case.similarity == Similarity::Cosine;
    let wide = |points: &Array2<f32>| points.mapv(f64::from);
    let (x, y) = (wide(&case.x), wide(&case.y));
    let norm = |points: &Array2<f64>, i: usize| {
        if cosine { points.row(i).dot(&points.row(i)).sqrt() } else { 1.0 }
    };
    let similarity = |i: usize, j: usize| {
        let lengths = norm(&x, i) * norm(&y, j);
        if lengths == 0.0 { 0.0 } else { x.row(i).dot(&y.row(j)) / lengths }
    };
    let similarities: Vec<f64> = (0..n * m).map(|k| similarity(k / m, k % m)).collect();
    let of = align_kernels::reference::info_nce::of_similarities(&similarities, m, &case.options());
    let slopes = of.unwrap().grad;
    let (mut by_x, mut by_y) = (vec![0.0; n * d], vec![0.0; m * d]);
    for i in 0..n {
        for j in 0..m {
            let (a, b, slope) = (norm(&x, i), norm(&y, j), slopes[i * m + j].abs());
            if slope == 0.0 || a * b == 0.0 {
                continue;
            }
            for k in 0..d {
                let (u, v) = ((x[[i, k]] / a).abs(), (y[[j, k]] / b).abs());
                let radial = if cosine { 1.0 } else { 0.0 };
                by_x[i * d + k] += slope * (v + radial * u) / a;
                by_y[j * d + k] += slope * (u + radial * v) / b;
            }
        }
    }
    [by_x, by_y]
}
