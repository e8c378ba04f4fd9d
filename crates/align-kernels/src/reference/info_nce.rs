//! Reference InfoNCE. Twin of [`crate::info_nce`](mod@crate::info_nce).
//!
//! The whole matrix of logits is formed, and every softmax is written out.

use crate::error::{KernelError, Result};
use crate::info_nce::options::Extent;
use crate::info_nce::{Options, Similarity};
use crate::reference::log_sum_exp;

/// Value and gradients of InfoNCE.
#[derive(Debug, Clone)]
pub struct InfoNce {
    /// The loss.
    pub value: f64,
    /// Gradient with respect to `x`, `(N, D)`.
    pub grad_x: Vec<f64>,
    /// Gradient with respect to `y`, `(M, D)`.
    pub grad_y: Vec<f64>,
    /// Gradient with respect to the temperature.
    pub grad_temperature: f64,
    /// Log-sum-exp of each row's logits, `(N,)`; `-inf` where the row does not count.
    pub row_lse: Vec<f64>,
    /// Log-sum-exp of each column's logits, `(M,)`.
    pub column_lse: Vec<f64>,
}

/// Value and gradient of InfoNCE over given similarities.
#[derive(Debug, Clone)]
pub struct OfSimilarities {
    /// The loss.
    pub value: f64,
    /// Gradient with respect to the similarities, `(N, M)`.
    pub grad: Vec<f64>,
    /// Gradient with respect to the temperature.
    pub grad_temperature: f64,
    /// As in [`InfoNce`].
    pub row_lse: Vec<f64>,
    /// As in [`InfoNce`].
    pub column_lse: Vec<f64>,
}

/// InfoNCE of points `x: (N, D)` and `y: (M, D)`; the formula is at
/// [`info_nce`](fn@crate::info_nce::info_nce).
///
/// # Errors
///
/// As there.
pub fn info_nce(x: &[f64], y: &[f64], width: usize, options: &Options<'_>) -> Result<InfoNce> {
    if width == 0 || !x.len().is_multiple_of(width) || !y.len().is_multiple_of(width) {
        let text = format!("{} and {} values are not rows of {width}", x.len(), y.len());
        return Err(KernelError::shape("info_nce", text));
    }
    let m = y.len() / width;
    let cosine = options.similarity == Similarity::Cosine;
    let norm = |p: &[f64]| if cosine { dot(p, p).sqrt() } else { 1.0 };

    let mut similarities = Vec::with_capacity(x.len() / width * m);
    for p in x.chunks(width) {
        for q in y.chunks(width) {
            let lengths = norm(p) * norm(q);
            similarities.push(if lengths == 0.0 { 0.0 } else { dot(p, q) / lengths });
        }
    }
    let of = of_similarities(&similarities, m, options)?;

    // d<p, q>/(|p| |q|) / dp = (q / |q| - similarity p / |p|) / |p|.
    let (mut grad_x, mut grad_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    for (i, p) in x.chunks(width).enumerate().filter(|&(i, _)| options.has_row(i)) {
        for (j, q) in y.chunks(width).enumerate().filter(|&(j, _)| options.has_column(j)) {
            let (slope, likeness) = (of.grad[i * m + j], similarities[i * m + j]);
            let (p_norm, q_norm) = (norm(p), norm(q));
            if p_norm * q_norm == 0.0 {
                continue;
            }
            for d in 0..width {
                let (p_unit, q_unit) = (p[d] / p_norm, q[d] / q_norm);
                let radial = if cosine { likeness } else { 0.0 };
                grad_x[i * width + d] += slope * (q_unit - radial * p_unit) / p_norm;
                grad_y[j * width + d] += slope * (p_unit - radial * q_unit) / q_norm;
            }
        }
    }
    let OfSimilarities { value, grad_temperature, row_lse, column_lse, .. } = of;
    Ok(InfoNce { value, grad_x, grad_y, grad_temperature, row_lse, column_lse })
}

/// InfoNCE of similarities `(N, columns)`.
///
/// # Errors
///
/// As [`info_nce`].
pub fn of_similarities(
    similarities: &[f64],
    columns: usize,
    options: &Options<'_>,
) -> Result<OfSimilarities> {
    let m = columns;
    let n = similarities.len().checked_div(m).unwrap_or(0);
    options.check(n, m, Extent::Whole)?;
    let t = options.temperature;
    let logit = |i: usize, j: usize| similarities[i * m + j] / t;
    let rows = || (0..n).filter(|&i| options.has_row(i));
    let columns = || (0..m).filter(|&j| options.has_column(j));

    // 1. Both normalisers.
    let (mut row_lse, mut column_lse) = (vec![f64::NEG_INFINITY; n], vec![f64::NEG_INFINITY; m]);
    for i in rows() {
        row_lse[i] = log_sum_exp(&columns().map(|j| logit(i, j)).collect::<Vec<_>>());
    }
    for j in columns() {
        column_lse[j] = log_sum_exp(&rows().map(|i| logit(i, j)).collect::<Vec<_>>());
    }

    // 2. Every pair is an anchor with its row, and with its column if the loss is symmetric.
    let pairs: Vec<(usize, usize)> =
        (0..n).filter_map(|i| options.partner(i, m).map(|j| (i, j))).collect();
    let share = 1.0 / (options.directions() * pairs.len() as f64);
    let (mut value, mut slopes) = (0.0, vec![0.0; similarities.len()]);
    for &(i, j) in &pairs {
        value += share * (row_lse[i] - logit(i, j));
        slopes[i * m + j] -= share;
        for k in columns() {
            slopes[i * m + k] += share * (logit(i, k) - row_lse[i]).exp();
        }
        if options.symmetric {
            value += share * (column_lse[j] - logit(i, j));
            slopes[i * m + j] -= share;
            for k in rows() {
                slopes[k * m + j] += share * (logit(k, j) - column_lse[j]).exp();
            }
        }
    }

    // 3. From logits to similarities and to the temperature.
    let mut grad_temperature = 0.0;
    for i in rows() {
        for j in columns() {
            grad_temperature -= slopes[i * m + j] * logit(i, j) / t;
            slopes[i * m + j] /= t;
        }
    }
    Ok(OfSimilarities { value, grad: slopes, grad_temperature, row_lse, column_lse })
}

fn dot(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;
