//! Single-label classification: confusion counts, accuracy, precision, recall and F1.
//!
//! scikit-learn's rules: a ratio with denominator zero is 0 (`zero_division=0`), and the macro
//! average runs over the classes that occur in the truth or in the prediction.

use crate::error::{ErrorKind, MetricError};

/// The confusion matrix of a set of predictions, from which every score here follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// Row: true class; column: predicted class. `(n_classes, n_classes)`, row-major.
    counts: Vec<usize>,
}

impl Confusion {
    /// Counts the predictions.
    ///
    /// # Shapes
    ///
    /// | argument | shape | meaning |
    /// |---|---|---|
    /// | `truth` | `(B,)` | true class, `0..n_classes` |
    /// | `predicted` | `(B,)` | predicted class, `0..n_classes` |
    ///
    /// # Errors
    ///
    /// [`Length`](ErrorKind::Length) when the slices differ in length; [`Empty`](ErrorKind::Empty)
    /// when there is no item; [`Label`](ErrorKind::Label) when a class is out of range.
    pub fn new(
        truth: &[usize],
        predicted: &[usize],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        const METRIC: &str = "confusion";
        MetricError::check_pair(METRIC, "predictions", predicted.len(), "the truth", truth.len())?;
        MetricError::check_least(METRIC, "items", truth.len(), 1)?;
        let worst = truth.iter().chain(predicted).position(|&class| class >= n_classes);
        if let Some(at) = worst {
            let (side, item, class) = match at.checked_sub(truth.len()) {
                None => ("truth", at, truth[at]),
                Some(at) => ("prediction", at, predicted[at]),
            };
            let detail =
                format!("{side} of item {item}, expected a class below {n_classes}, got {class}");
            return Err(MetricError::new(METRIC, ErrorKind::Label, detail));
        }
        let mut counts = vec![0; n_classes * n_classes];
        for (&t, &p) in truth.iter().zip(predicted) {
            counts[t * n_classes + p] += 1;
        }
        Ok(Self { n_classes, counts })
    }

    /// Number of classes, seen or not.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Items of class `truth` that were predicted as `predicted`; 0 for a class out of range.
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        if truth.max(predicted) >= self.n_classes {
            return 0;
        }
        self.counts[truth * self.n_classes + predicted]
    }

    /// Items in all.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Items whose true class is `class`.
    pub fn support(&self, class: usize) -> usize {
        (0..self.n_classes).map(|p| self.count(class, p)).sum()
    }

    /// Items that were predicted as `class`.
    pub fn predicted(&self, class: usize) -> usize {
        (0..self.n_classes).map(|t| self.count(t, class)).sum()
    }

    /// Share of items predicted right. It is also micro-averaged precision, recall and F1.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.n_classes).map(|c| self.count(c, c)).sum();
        ratio(right, self.total())
    }

    /// Mean recall over the classes that occur in the truth.
    pub fn balanced_accuracy(&self) -> f64 {
        mean((0..self.n_classes).filter(|&c| self.support(c) > 0).map(|c| self.recall(c)))
    }

    /// `TP / (TP + FP)` of one class; 0 where it was never predicted.
    pub fn precision(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.predicted(class))
    }

    /// `TP / (TP + FN)` of one class; 0 where it never occurs.
    pub fn recall(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.support(class))
    }

    /// `2 TP / (2 TP + FP + FN)` of one class; 0 where it neither occurs nor is predicted.
    pub fn f1(&self, class: usize) -> f64 {
        f1(self.count(class, class), self.support(class), self.predicted(class))
    }

    /// Mean F1 over the classes that occur in the truth or in the prediction.
    pub fn macro_f1(&self) -> f64 {
        let seen = |&c: &usize| self.support(c) + self.predicted(c) > 0;
        mean((0..self.n_classes).filter(seen).map(|c| self.f1(c)))
    }

    /// Mean F1 weighted by how often each class occurs in the truth.
    pub fn weighted_f1(&self) -> f64 {
        let sum: f64 = (0..self.n_classes).map(|c| self.support(c) as f64 * self.f1(c)).sum();
        sum / self.total() as f64
    }
}

/// F1 from true positives, positives in the truth, and positives in the prediction.
pub(crate) fn f1(hits: usize, truth: usize, predicted: usize) -> f64 {
    ratio(2 * hits, truth + predicted)
}

/// `a / b`, and 0 for a denominator of zero.
pub(crate) fn ratio(a: usize, b: usize) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// Arithmetic mean; 0 for no values, which no public caller can reach.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { 0.0 } else { sum / n as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_never_occurs_does_not_dilute_the_macro_average() {
        let few = Confusion::new(&[0, 0, 1], &[0, 1, 1], 2).unwrap();
        let many = Confusion::new(&[0, 0, 1], &[0, 1, 1], 9).unwrap();
        assert_eq!(few.macro_f1(), many.macro_f1());
        assert_eq!(many.f1(5), 0.0);
    }

    #[test]
    fn counts_add_up_over_rows_and_columns() {
        let confusion = Confusion::new(&[2, 2, 2, 0], &[2, 1, 1, 0], 3).unwrap();
        assert_eq!(confusion.count(2, 1), 2);
        assert_eq!(confusion.support(2), 3);
        assert_eq!(confusion.predicted(1), 2);
        assert_eq!(confusion.total(), 4);
        assert_eq!(confusion.count(7, 0), 0);
    }

    #[test]
    fn a_class_out_of_range_is_named_by_side_and_item() {
        let error = Confusion::new(&[0, 1], &[0, 3], 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Label);
        assert_eq!(
            error.to_string(),
            "confusion: prediction of item 1, expected a class below 3, got 3"
        );
        let error = Confusion::new(&[4], &[0], 3).unwrap_err();
        assert!(error.to_string().contains("truth of item 0"));
    }
}
