//! Normalisers: the log-sum-exps of all rows and columns.

use super::combine::LogSum;
use super::options::NONE;
use super::scores::Scores;

/// Log-sum-exps and logits of pairs, of points that count.
pub(super) struct Forward {
    pub row_lse: Vec<f64>,
    pub column_lse: Vec<f64>,
    /// Logits of rows with their partners; NaN without one.
    pub positives: Vec<f64>,
}

/// Passes over all stripes once. Stripe `k` goes into window `k % windows.len()`, so that the last
/// ones are still there for the backward pass.
pub(super) fn forward(scores: &Scores<'_, '_>, windows: &mut [Vec<f32>]) -> Forward {
    let mut rows = vec![LogSum::EMPTY; scores.rows.count];
    let mut columns = vec![LogSum::EMPTY; scores.columns.count];
    let mut positives = vec![f64::NAN; scores.rows.count];
    for stripe in 0..scores.stripes() {
        let window = &mut windows[stripe % windows.len()];
        let own = &mut columns[scores.range(stripe)];
        scores.gather(stripe, window, Some(&mut rows), own, &mut positives);
    }
    for (row, &column) in scores.partner.iter().enumerate().filter(|&(_, &j)| j != NONE) {
        rows[row].add(positives[row], 1.0);
        columns[column].add(positives[row], 1.0);
    }
    let values = |sums: Vec<LogSum>| sums.into_iter().map(LogSum::value).collect();
    Forward { row_lse: values(rows), column_lse: values(columns), positives }
}
