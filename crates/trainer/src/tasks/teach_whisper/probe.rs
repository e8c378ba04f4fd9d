//! A linear probe: ridge regression from text states to audio vectors.

/// Ridge penalty, as a share of the mean squared column norm of the centred inputs.
const RIDGE: f64 = 1e-2;

/// Fits `y - mean(y) = (x - mean(x)) W` on the training rows and returns the cosine between each
/// test row's prediction and each test row's centred target, `(n, n)` row-major.
///
/// `None` when the training inputs are all alike or not numbers, so that nothing can be fitted.
pub(super) fn scores(
    train_x: &[Vec<f64>],
    train_y: &[Vec<f64>],
    test_x: &[Vec<f64>],
    test_y: &[Vec<f64>],
) -> Option<Vec<f32>> {
    let (mean_x, mean_y) = (column_means(train_x), column_means(train_y));
    let (x, y) = (centred(train_x, &mean_x), centred(train_y, &mean_y));
    let (d, outputs) = (mean_x.len(), mean_y.len());

    // Normal equations (X'X + ridge I) W = X'Y.
    let mut gram = vec![0.0; d * d];
    let mut cross = vec![0.0; d * outputs];
    for (x, y) in x.iter().zip(&y) {
        for i in 0..d {
            add_scaled(&mut gram[i * d..(i + 1) * d], x, x[i]);
            add_scaled(&mut cross[i * outputs..(i + 1) * outputs], y, x[i]);
        }
    }
    let trace: f64 = (0..d).map(|i| gram[i * d + i]).sum();
    (0..d).for_each(|i| gram[i * d + i] += RIDGE * trace / d as f64);
    let weights = cholesky_solve(gram, cross, d, outputs)?;

    let predictions = centred(test_x, &mean_x).into_iter().map(|x| {
        let mut prediction = vec![0.0; outputs];
        for (i, &value) in x.iter().enumerate() {
            add_scaled(&mut prediction, &weights[i * outputs..(i + 1) * outputs], value);
        }
        unit(prediction)
    });
    let targets: Vec<Vec<f64>> = centred(test_y, &mean_y).into_iter().map(unit).collect();
    let cosine = |p: &[f64], t: &[f64]| p.iter().zip(t).map(|(a, b)| a * b).sum::<f64>() as f32;
    let row = |p: Vec<f64>| targets.iter().map(|t| cosine(&p, t)).collect::<Vec<_>>();
    Some(predictions.flat_map(row).collect())
}

fn column_means(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
    rows.iter().for_each(|row| add_scaled(&mut means, row, 1.0 / rows.len() as f64));
    means
}

fn centred(rows: &[Vec<f64>], means: &[f64]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| row.iter().zip(means).map(|(v, m)| v - m).collect()).collect()
}

fn add_scaled(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(s, v)| *s += factor * v);
}

fn unit(row: Vec<f64>) -> Vec<f64> {
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    row.into_iter().map(|v| v / norm).collect()
}

/// Solves `A W = B` for a symmetric `A` of order `d`, all row-major; `None` unless it is positive
/// definite.
fn cholesky_solve(mut a: Vec<f64>, mut b: Vec<f64>, d: usize, outputs: usize) -> Option<Vec<f64>> {
    // A = L L', L in the lower triangle of `a`.
    for j in 0..d {
        let pivot = a[j * d + j] - (0..j).map(|k| a[j * d + k] * a[j * d + k]).sum::<f64>();
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        a[j * d + j] = pivot.sqrt();
        for i in j + 1..d {
            let dot: f64 = (0..j).map(|k| a[i * d + k] * a[j * d + k]).sum();
            a[i * d + j] = (a[i * d + j] - dot) / a[j * d + j];
        }
    }
    // L Z = B, then L' W = Z.
    let eliminate = |b: &mut Vec<f64>, i: usize, k: usize, factor: f64| {
        for c in 0..outputs {
            b[i * outputs + c] -= factor * b[k * outputs + c];
        }
    };
    for i in 0..d {
        (0..i).for_each(|k| eliminate(&mut b, i, k, a[i * d + k]));
        b[i * outputs..(i + 1) * outputs].iter_mut().for_each(|v| *v /= a[i * d + i]);
    }
    for i in (0..d).rev() {
        (i + 1..d).for_each(|k| eliminate(&mut b, i, k, a[k * d + i]));
        b[i * outputs..(i + 1) * outputs].iter_mut().for_each(|v| *v /= a[i * d + i]);
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize, j: usize) -> f64 {
        ((i * 37 + j * 101 + i * j) % 23) as f64 / 23.0
    }

    #[test]
    fn a_linear_relation_is_found_and_ranks_every_pair_first() {
        let x: Vec<Vec<f64>> = (0..60).map(|i| (0..4).map(|j| value(i, j)).collect()).collect();
        let y: Vec<Vec<f64>> =
            x.iter().map(|x| vec![x[0] - x[1] + 7.0, 2.0 * x[2], x[3] + x[0]]).collect();
        let scores = scores(&x[..40], &y[..40], &x[40..], &y[40..]).unwrap();
        for i in 0..20 {
            let row = &scores[i * 20..(i + 1) * 20];
            assert!(row[i] > 0.99, "pair {i}: {}", row[i]);
        }
    }

    #[test]
    fn the_solver_inverts_a_known_system() {
        let solution =
            cholesky_solve(vec![4.0, 2.0, 2.0, 3.0], vec![8.0, 1.0, 7.0, 2.0], 2, 2).unwrap();
        for (got, want) in solution.iter().zip([1.25, -0.125, 1.5, 0.75]) {
            assert!((got - want).abs() < 1e-12, "{solution:?}");
        }
        assert_eq!(cholesky_solve(vec![0.0], vec![1.0], 1, 1), None);
    }

    #[test]
    fn nothing_is_fitted_on_one_utterance_or_on_what_is_no_number() {
        let (x, y) = (vec![vec![1.0, 2.0]], vec![vec![3.0]]);
        assert_eq!(scores(&x, &y, &x, &y), None);
        let x = vec![vec![f64::NAN, 1.0], vec![0.0, 2.0]];
        let y = vec![vec![1.0], vec![2.0]];
        assert_eq!(scores(&x, &y, &x, &y), None);
    }
}
