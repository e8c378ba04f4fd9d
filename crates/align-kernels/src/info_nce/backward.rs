//! Gradients, in one pass over the stripes.

use super::combine::LogSum;
use super::options::NONE;
use super::scores::{Anchors, Gradients, Scores};

/// Gradients of `weight * sum over anchors of (lse - logit of the pair)`, for known log-sum-exps.
///
/// The last `held` stripes are in their windows, as [`forward`](super::forward::forward) leaves
/// them; others are computed again.
pub(super) fn backward(
    scores: &Scores<'_, '_>,
    (row_lse, column_lse): (Option<&[f64]>, &[f64]),
    positives: &[f64],
    weight: f64,
    windows: &mut [Vec<f32>],
    held: usize,
) -> Gradients {
    let mut gradients = scores.gradients();
    let stripes = scores.stripes();
    for stripe in (0..stripes).rev() {
        let at = stripe % windows.len();
        if stripe + held < stripes {
            scores.fill(stripe, &mut windows[at]);
        }
        let column_lse = &column_lse[scores.range(stripe)];
        let anchors = Anchors { row_lse, column_lse, weight, positives };
        scores.slopes(stripe, &mut windows[at], &anchors, &mut gradients);
    }
    gradients
}

/// What [`one_direction`] gives besides gradients.
pub(super) struct OneDirection {
    pub gradients: Gradients,
    pub column_lse: Vec<f64>,
    pub positives: Vec<f64>,
}

/// Forward and backward at once when columns alone are anchors: a stripe has all logits of its
/// columns, so that nothing is computed twice.
pub(super) fn one_direction(scores: &Scores<'_, '_>, weight: f64) -> OneDirection {
    let mut window = scores.window();
    let mut row_of = vec![NONE; scores.columns.count];
    for (row, &column) in scores.partner.iter().enumerate().filter(|&(_, &j)| j != NONE) {
        row_of[column] = row;
    }
    let mut column_lse = Vec::with_capacity(scores.columns.count);
    let mut positives = vec![f64::NAN; scores.rows.count];
    let mut gradients = scores.gradients();
    for stripe in 0..scores.stripes() {
        let range = scores.range(stripe);
        let mut sums = vec![LogSum::EMPTY; range.len()];
        scores.gather(stripe, &mut window, None, &mut sums, &mut positives);
        let pairs = sums.iter_mut().zip(&row_of[range.clone()]);
        pairs.filter(|&(_, &row)| row != NONE).for_each(|(sum, &row)| sum.add(positives[row], 1.0));
        column_lse.extend(sums.into_iter().map(LogSum::value));

        let anchored = anchors_of(&column_lse[range.clone()], &row_of[range]);
        let anchors =
            Anchors { row_lse: None, column_lse: &anchored, weight, positives: &positives };
        scores.slopes(stripe, &mut window, &anchors, &mut gradients);
    }
    OneDirection { gradients, column_lse, positives }
}

/// Log-sum-exps of anchors, infinity for those without a partner: their softmax is then 0.
pub(super) fn anchors_of(lse: &[f64], partner: &[usize]) -> Vec<f64> {
    let pairs = lse.iter().zip(partner);
    pairs.map(|(&lse, &partner)| if partner == NONE { f64::INFINITY } else { lse }).collect()
}
