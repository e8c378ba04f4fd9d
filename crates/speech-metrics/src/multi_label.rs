//! Multi-label classification: each item has any number of `L` labels.
//!
//! scikit-learn's rules for indicator matrices, with `zero_division=0`. Two accuracies are in
//! use and are easily confused: the subset form needs every label of an item to be right, the
//! per-label form (papers on CMU-MOSEI emotions) scores each label as its own binary task.

use crate::classification::{f1, mean, ratio};
use crate::error::{ErrorKind, MetricError};

/// Counts over a set of items with `L` binary labels each.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiLabel {
    n_items: usize,
    whole_items_right: usize,
    samples_f1: f64,
    labels: Vec<LabelCounts>,
}

/// Binary counts of one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelCounts {
    /// Items that have the label and got it.
    pub true_positives: usize,
    /// Items that have the label.
    pub positives: usize,
    /// Items that got the label.
    pub predicted: usize,
    /// Items whose label was decided rightly, either way.
    pub right: usize,
}

impl LabelCounts {
    /// F1 of the label's positives; 0 where it neither occurs nor is predicted.
    pub fn f1(&self) -> f64 {
        f1(self.true_positives, self.positives, self.predicted)
    }
}

impl MultiLabel {
    /// Counts the predictions.
    ///
    /// # Shapes
    ///
    /// `truth` and `predicted` are `(B, L)`, row-major, with `L = n_labels`.
    ///
    /// # Errors
    ///
    /// [`Length`](ErrorKind::Length) when the two differ in length or are not whole rows;
    /// [`Empty`](ErrorKind::Empty) when there is no item or no label.
    pub fn new(truth: &[bool], predicted: &[bool], n_labels: usize) -> Result<Self, MetricError> {
        const METRIC: &str = "multi_label";
        MetricError::check_pair(METRIC, "predictions", predicted.len(), "the truth", truth.len())?;
        MetricError::check_least(METRIC, "labels", n_labels, 1)?;
        MetricError::check_least(METRIC, "values", truth.len(), n_labels)?;
        if !truth.len().is_multiple_of(n_labels) {
            let detail =
                format!("values, expected a multiple of {n_labels} labels, got {}", truth.len());
            return Err(MetricError::new(METRIC, ErrorKind::Length, detail));
        }
        let n_items = truth.len() / n_labels;
        let mut labels = vec![LabelCounts::default(); n_labels];
        let mut whole_items_right = 0;
        let mut item_f1 = 0.0;
        for (t_row, p_row) in truth.chunks_exact(n_labels).zip(predicted.chunks_exact(n_labels)) {
            let mut row = LabelCounts::default();
            for ((&t, &p), label) in t_row.iter().zip(p_row).zip(&mut labels) {
                for counts in [label, &mut row] {
                    counts.true_positives += usize::from(t && p);
                    counts.positives += usize::from(t);
                    counts.predicted += usize::from(p);
                    counts.right += usize::from(t == p);
                }
            }
            whole_items_right += usize::from(row.right == n_labels);
            item_f1 += row.f1();
        }
        Ok(Self { n_items, whole_items_right, samples_f1: item_f1 / n_items as f64, labels })
    }

    /// Counts of each label, `(L,)`.
    pub fn labels(&self) -> &[LabelCounts] {
        &self.labels
    }

    /// Share of items with every label right: scikit-learn's `accuracy_score`.
    pub fn subset_accuracy(&self) -> f64 {
        ratio(self.whole_items_right, self.n_items)
    }

    /// Accuracy of one label as a binary task; 0 for a label out of range.
    pub fn label_accuracy(&self, label: usize) -> f64 {
        self.labels.get(label).map_or(0.0, |counts| ratio(counts.right, self.n_items))
    }

    /// Mean of the labels' binary accuracies: 1 - Hamming loss.
    pub fn mean_label_accuracy(&self) -> f64 {
        mean((0..self.labels.len()).map(|label| self.label_accuracy(label)))
    }

    /// Mean F1 over the labels.
    pub fn macro_f1(&self) -> f64 {
        mean(self.labels.iter().map(LabelCounts::f1))
    }

    /// F1 of the counts pooled over labels.
    pub fn micro_f1(&self) -> f64 {
        let sum = |part: fn(&LabelCounts) -> usize| self.labels.iter().map(part).sum();
        f1(sum(|c| c.true_positives), sum(|c| c.positives), sum(|c| c.predicted))
    }

    /// Mean F1 over the items; an item with no label on either side counts 0.
    pub fn samples_f1(&self) -> f64 {
        self.samples_f1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_label_costs_a_whole_item_in_the_subset_form_only() {
        let truth = [true, false, true, false, true, false];
        let predicted = [true, false, false, false, true, false];
        let score = MultiLabel::new(&truth, &predicted, 3).unwrap();
        assert_eq!(score.subset_accuracy(), 0.5);
        assert!((score.mean_label_accuracy() - 5.0 / 6.0).abs() < 1e-15);
        assert_eq!(score.label_accuracy(2), 0.5);
    }

    #[test]
    fn ragged_rows_and_no_rows_are_refused() {
        let kind =
            |n: usize, l| MultiLabel::new(&vec![true; n], &vec![true; n], l).unwrap_err().kind();
        assert_eq!(kind(5, 3), ErrorKind::Length);
        assert_eq!(kind(0, 3), ErrorKind::Empty);
        assert_eq!(kind(3, 0), ErrorKind::Empty);
        assert_eq!(MultiLabel::new(&[true], &[], 1).unwrap_err().kind(), ErrorKind::Length);
    }
}
