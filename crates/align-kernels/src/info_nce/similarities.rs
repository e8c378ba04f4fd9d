//! InfoNCE over similarities that are given: the softmax alone.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::combine::LogSum;
use super::options::{Extent, Options};
use crate::error::Result;

/// Value and gradient of InfoNCE over given similarities.
#[derive(Debug, Clone)]
pub struct OfSimilarities {
    /// The loss; 0 when there is no pair.
    pub value: f64,
    /// Gradient with respect to the similarities, `(N, M)`; 0 where a row or column is masked.
    pub grad: Array2<f64>,
    /// Gradient with respect to the temperature.
    pub grad_temperature: f64,
    /// Log-sum-exp of each row's logits, `(N,)`; `-inf` for rows that do not count.
    pub row_lse: Vec<f64>,
    /// Log-sum-exp of each column's logits, `(M,)`.
    pub column_lse: Vec<f64>,
}

/// InfoNCE of similarities that something else computed, such as negated Sinkhorn divergences.
///
/// The formula is that of [`info_nce`](fn@super::info_nce), with `s_ij = similarities_ij /
/// temperature`; [`Options::similarity`] has no say.
///
/// # Shapes
///
/// | argument       | shape    | dtype | meaning                  |
/// |----------------|----------|-------|--------------------------|
/// | `similarities` | `(N, M)` | f64   | rows are anchors         |
///
/// # Errors
///
/// As [`info_nce`](fn@super::info_nce).
///
/// # Numerics
///
/// All f64, partners apart from the sums: losses near 0 keep their digits. `-inf` excludes a
/// pair of points from both softmaxes, with gradient 0.
///
/// # Source
///
/// arXiv:2412.15712, eq. (1) and (2).
pub fn info_nce_similarities(
    similarities: ArrayView2<'_, f64>,
    options: &Options<'_>,
) -> Result<OfSimilarities> {
    let (n, m) = similarities.dim();
    options.check(n, m, Extent::Whole)?;
    let t = options.temperature;
    let logit = |i: usize, j: usize| similarities[[i, j]] / t;
    let partner: Vec<Option<usize>> = (0..n).map(|i| options.partner(i, m)).collect();
    let mut row_of = vec![None; m];
    for (i, &j) in partner.iter().enumerate() {
        if let Some(j) = j {
            row_of[j] = Some(i);
        }
    }

    // 1. Normalisers: the partner joins last.
    let lse = |positive: Option<f64>, others: &mut dyn Iterator<Item = f64>| {
        let mut sum = LogSum::EMPTY;
        others.for_each(|logit| {
            sum.add(logit, f64::from(logit > f64::NEG_INFINITY || logit.is_nan()))
        });
        positive.into_iter().for_each(|logit| sum.add(logit, 1.0));
        sum.value()
    };
    let row_lse: Vec<f64> = (0..n)
        .into_par_iter()
        .map(|i| match options.has_row(i) {
            true => {
                let others = (0..m).filter(|&j| options.has_column(j) && partner[i] != Some(j));
                lse(partner[i].map(|j| logit(i, j)), &mut others.map(|j| logit(i, j)))
            }
            false => f64::NEG_INFINITY,
        })
        .collect();
    let column_lse: Vec<f64> = (0..m)
        .into_par_iter()
        .map(|j| match options.has_column(j) {
            true => {
                let others = (0..n).filter(|&i| options.has_row(i) && partner[i] != Some(j));
                lse(row_of[j].map(|i| logit(i, j)), &mut others.map(|i| logit(i, j)))
            }
            false => f64::NEG_INFINITY,
        })
        .collect();

    // 2. Value, and slopes of anchors.
    let pairs = partner.iter().flatten().count();
    let share = if pairs == 0 { 0.0 } else { 1.0 / (options.directions() * pairs as f64) };
    let mut value = 0.0;
    for (i, j) in partner.iter().enumerate().filter_map(|(i, j)| j.map(|j| (i, j))) {
        value += share * (row_lse[i] - logit(i, j));
        if options.symmetric {
            value += share * (column_lse[j] - logit(i, j));
        }
    }
    let slope = |i: usize, j: usize| {
        let (s, is_pair) = (logit(i, j), partner[i] == Some(j));
        let of = |lse: f64| if is_pair { (s - lse).exp_m1() } else { (s - lse).exp() };
        let row = if partner[i].is_some() { of(row_lse[i]) } else { 0.0 };
        let is_anchor = options.symmetric && row_of[j].is_some();
        share * (row + if is_anchor { of(column_lse[j]) } else { 0.0 })
    };
    let mut grad = vec![0.0; n * m];
    let dots: Vec<f64> = grad
        .par_chunks_mut(m.max(1))
        .enumerate()
        .map(|(i, row)| {
            let mut dot = 0.0;
            for j in (0..m).filter(|&j| options.has_row(i) && options.has_column(j)) {
                let slope = slope(i, j);
                row[j] = slope / t;
                // An excluded pair of points has slope 0 and logit -inf.
                dot += if slope == 0.0 { 0.0 } else { slope * logit(i, j) };
            }
            dot
        })
        .collect();
    let grad = Array2::from_shape_vec((n, m), grad).expect("one slope a similarity");
    let grad_temperature = -dots.iter().sum::<f64>() / t;
    Ok(OfSimilarities { value, grad, grad_temperature, row_lse, column_lse })
}
