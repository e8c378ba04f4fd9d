//! Ridge regression in closed form: what a linear probe is.

/// Ridge penalty, as a share of the mean squared column norm of the centred inputs.
const PENALTY: f64 = 1e-2;

/// `y - mean(y) = (x - mean(x)) W`, fitted.
pub(super) struct Ridge {
    mean_x: Vec<f64>,
    mean_y: Vec<f64>,
    /// `(D, outputs)`, row-major.
    weights: Vec<f64>,
}

impl Ridge {
    /// Fits rows of `y` by rows of `x`; `None` when the rows of `x` are all alike or not numbers.
    pub(super) fn fit(x: &[Vec<f64>], y: &[Vec<f64>]) -> Option<Self> {
        let (mean_x, mean_y) = (column_means(x), column_means(y));
        let (d, outputs) = (mean_x.len(), mean_y.len());
        // Normal equations (X'X + ridge I) W = X'Y.
        let mut gram = vec![0.0; d * d];
        let mut cross = vec![0.0; d * outputs];
        for (x, y) in x.iter().zip(y) {
            let (x, y) = (less(x, &mean_x), less(y, &mean_y));
            for i in 0..d {
                add_scaled(&mut gram[i * d..(i + 1) * d], &x, x[i]);
                add_scaled(&mut cross[i * outputs..(i + 1) * outputs], &y, x[i]);
            }
        }
        let trace: f64 = (0..d).map(|i| gram[i * d + i]).sum();
        (0..d).for_each(|i| gram[i * d + i] += PENALTY * trace / d as f64);
        let weights = cholesky_solve(gram, cross, d, outputs)?;
        Some(Self { mean_x, mean_y, weights })
    }

    /// What is predicted of `x`, less the mean of what was fitted.
    pub(super) fn offset(&self, x: &[f64]) -> Vec<f64> {
        let outputs = self.mean_y.len();
        let mut prediction = vec![0.0; outputs];
        for (i, value) in less(x, &self.mean_x).into_iter().enumerate() {
            add_scaled(&mut prediction, &self.weights[i * outputs..(i + 1) * outputs], value);
        }
        prediction
    }

    /// A row like those that were fitted, less their mean.
    pub(super) fn less_mean(&self, y: &[f64]) -> Vec<f64> {
        less(y, &self.mean_y)
    }

    /// The class of `x` where rows of `y` had a one at their class and zeros elsewhere.
    pub(super) fn class(&self, x: &[f64]) -> usize {
        let scores = self.offset(x);
        let score = |class: usize| scores[class] + self.mean_y[class];
        (0..scores.len()).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
    }
}

fn column_means(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
    rows.iter().for_each(|row| add_scaled(&mut means, row, 1.0 / rows.len() as f64));
    means
}

fn less(row: &[f64], mean: &[f64]) -> Vec<f64> {
    row.iter().zip(mean).map(|(value, mean)| value - mean).collect()
}

fn add_scaled(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(s, v)| *s += factor * v);
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
    fn classes_on_either_side_of_a_line_are_told_apart() {
        let x: Vec<Vec<f64>> =
            (0..40).map(|k| vec![f64::from(k % 8), f64::from(k / 8), 5.0]).collect();
        let class = |x: &[f64]| usize::from(x[0] + x[1] > 5.5);
        let one_hot = |x: &Vec<f64>| {
            let mut row = vec![0.0; 2];
            row[class(x)] = 1.0;
            row
        };
        let y: Vec<Vec<f64>> = x.iter().map(one_hot).collect();
        let fit = Ridge::fit(&x, &y).unwrap();
        let right = x.iter().filter(|x| fit.class(x) == class(x)).count();
        assert!(right >= 36, "{right} of 40");
    }
}
