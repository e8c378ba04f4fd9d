//! A linear probe: ridge regression from text states to audio vectors.

use crate::tasks::ridge::Ridge;

/// Fits audio vectors by text states on the training rows and returns the cosine between each test row's
/// prediction and each test row's target, both less the training mean of the targets, `(n, n)` row-major.
///
/// `None` when the training inputs are all alike or not numbers, so that nothing can be fitted.
pub(super) fn scores(
    train_x: &[Vec<f64>],
    train_y: &[Vec<f64>],
    test_x: &[Vec<f64>],
    test_y: &[Vec<f64>],
) -> Option<Vec<f32>> {
    let fit = Ridge::fit(train_x, train_y)?;
    let targets: Vec<Vec<f64>> = test_y.iter().map(|y| unit(fit.less_mean(y))).collect();
    let cosine = |p: &[f64], t: &[f64]| p.iter().zip(t).map(|(a, b)| a * b).sum::<f64>() as f32;
    let row = |p: Vec<f64>| targets.iter().map(|t| cosine(&p, t)).collect::<Vec<_>>();
    Some(test_x.iter().flat_map(|x| row(unit(fit.offset(x)))).collect())
}

fn unit(row: Vec<f64>) -> Vec<f64> {
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    row.into_iter().map(|v| v / norm).collect()
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
    fn nothing_is_fitted_on_one_utterance_or_on_what_is_no_number() {
        let (x, y) = (vec![vec![1.0, 2.0]], vec![vec![3.0]]);
        assert_eq!(scores(&x, &y, &x, &y), None);
        let x = vec![vec![f64::NAN, 1.0], vec![0.0, 2.0]];
        let y = vec![vec![1.0], vec![2.0]];
        assert_eq!(scores(&x, &y, &x, &y), None);
    }
}
