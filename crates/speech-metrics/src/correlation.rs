//! Pearson's and Spearman's correlation coefficients.
//!
//! A constant input has no correlation: scipy warns and returns NaN, here the answer is `None`,
//! so that a report has to say so instead of averaging a NaN.

use crate::error::{ErrorKind, MetricError};

/// Returns Pearson's linear correlation of `x` and `y`, in -1..=1.
///
/// ```text
/// r = sum (x - mean x)(y - mean y) / (|x - mean x| |y - mean y|)
/// ```
///
/// `Ok(None)` when either input is constant.
///
/// # Shapes
///
/// `x` and `y` are `(B,)`, B >= 2.
///
/// # Errors
///
/// [`Length`](ErrorKind::Length) when the two differ in length; [`Empty`](ErrorKind::Empty) for
/// fewer than two values; [`NonFinite`](ErrorKind::NonFinite) for NaN or infinity.
///
/// # Numerics
///
/// Two passes in f64, deviations scaled by the largest, so values of 1e300 do not overflow.
///
/// # Source
///
/// `scipy.stats.pearsonr`.
pub fn pearson(x: &[f64], y: &[f64]) -> Result<Option<f64>, MetricError> {
    check("pearson", x, y)?;
    Ok(linear(x, y))
}

/// Returns Spearman's rank correlation of `x` and `y`, in -1..=1: Pearson's on average ranks.
///
/// `Ok(None)` when either input is constant. Shapes and errors are [`pearson`]'s.
///
/// # Source
///
/// `scipy.stats.spearmanr`.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Option<f64>, MetricError> {
    check("spearman", x, y)?;
    Ok(linear(&average_ranks(x), &average_ranks(y)))
}

/// Ranks from 1 in ascending order; equal values share the mean of the ranks they span.
///
/// NaN sorts above every number. The result has the order of `values`.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        // `==` as well as the order: -0.0 and 0.0 are one value and one rank.
        let tied = order[start..].iter().take_while(|&&i| values[i] == value).count().max(1);
        let rank = (2 * start + tied + 1) as f64 / 2.0;
        for &i in &order[start..start + tied] {
            ranks[i] = rank;
        }
        start += tied;
    }
    ranks
}

fn check(metric: &'static str, x: &[f64], y: &[f64]) -> Result<(), MetricError> {
    MetricError::check_pair(metric, "y values", y.len(), "x", x.len())?;
    MetricError::check_least(metric, "values", x.len(), 2)?;
    for (name, values) in [("x", x), ("y", y)] {
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let detail = format!("{name}[{at}], expected a finite number, got {}", values[at]);
            return Err(MetricError::new(metric, ErrorKind::NonFinite, detail));
        }
    }
    Ok(())
}

fn linear(x: &[f64], y: &[f64]) -> Option<f64> {
    let (dx, dy) = (unit_deviations(x)?, unit_deviations(y)?);
    let r: f64 = dx.iter().zip(&dy).map(|(a, b)| a * b).sum();
    Some(r.clamp(-1.0, 1.0))
}

/// Deviations from the mean, scaled to unit length; `None` for a constant input.
fn unit_deviations(values: &[f64]) -> Option<Vec<f64>> {
    let first = values[0];
    if values.iter().all(|&value| value == first) {
        return None;
    }
    // Dividing first keeps the sum of values near the largest f64 finite.
    let n = values.len() as f64;
    let mean: f64 = values.iter().map(|value| value / n).sum();
    let mut deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let largest = deviations.iter().fold(0.0, |largest: f64, d| largest.max(d.abs()));
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    deviations.iter_mut().for_each(|d| *d /= largest);
    let norm = deviations.iter().map(|d| d * d).sum::<f64>().sqrt();
    deviations.iter_mut().for_each(|d| *d /= norm);
    Some(deviations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_input_has_no_correlation() {
        assert_eq!(pearson(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), Ok(None));
        assert_eq!(spearman(&[1.0, 2.0], &[0.0, -0.0]), Ok(None));
    }

    #[test]
    fn a_line_correlates_fully_whatever_its_scale() {
        for scale in [1e-300, 1.0, 1e300] {
            let x = [-1.0, 0.0, 0.5, 1.0];
            let up: Vec<f64> = x.iter().map(|v| v * scale).collect();
            let down: Vec<f64> = x.iter().map(|v| 3.0 - v).collect();
            assert!((pearson(&x, &up).unwrap().unwrap() - 1.0).abs() < 1e-12, "{scale}");
            assert!((pearson(&up, &down).unwrap().unwrap() + 1.0).abs() < 1e-12, "{scale}");
        }
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(average_ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert_eq!(average_ranks(&[f64::NAN, 1.0]), [2.0, 1.0]);
        assert_eq!(average_ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn bad_numbers_are_named_by_place() {
        let error = pearson(&[1.0, 2.0], &[1.0, f64::NAN]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert_eq!(error.to_string(), "pearson: y[1], expected a finite number, got NaN");
        assert_eq!(spearman(&[1.0], &[1.0]).unwrap_err().kind(), ErrorKind::Empty);
        assert_eq!(spearman(&[1.0], &[]).unwrap_err().kind(), ErrorKind::Length);
    }
}
