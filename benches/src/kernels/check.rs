//! How far a result is from the f64 reference, and how far it may be.

use anyhow::ensure;

/// Largest error of values, relative to the largest of them. The costs, logits and distances behind
/// a value are f32 sums of up to 4096 terms, good to about 1e-6; values are sums in f64 over many.
const VALUE_LIMIT: f64 = 1e-5;

/// The same of gradients, whose entries are f32 sums of products with such values, some of which
/// cancel.
const GRADIENT_LIMIT: f64 = 1e-4;

/// Errors of one case, each relative to the largest magnitude of the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of values.
    pub value: f64,
    /// Of gradients, where the case has them.
    pub gradient: Option<f64>,
}

impl Errors {
    /// The larger of them.
    pub fn worst(&self) -> f64 {
        self.gradient.map_or(self.value, |gradient| gradient.max(self.value))
    }

    /// Refuses a wrong result: it gets no time.
    ///
    /// # Errors
    ///
    /// When a limit is passed.
    pub fn accept(&self) -> anyhow::Result<()> {
        let of = |what: &str, error: f64, limit: f64| {
            ensure!(error <= limit, "{what} off by {error:.1e} of the largest, expected {limit:e}");
            Ok(())
        };
        of("value", self.value, VALUE_LIMIT)?;
        self.gradient.map_or(Ok(()), |error| of("gradient", error, GRADIENT_LIMIT))
    }
}

/// Gathers errors over several samples.
#[derive(Debug, Default)]
pub struct Comparison {
    difference: f64,
    largest: f64,
}

impl Comparison {
    /// Says how large what was subtracted is, where results are differences of larger numbers.
    pub fn scale(&mut self, magnitude: f64) {
        self.largest = self.largest.max(magnitude.abs());
    }

    /// Adds results beside what they should be. NaN, and a missing result, count as infinitely far.
    pub fn add(&mut self, got: impl IntoIterator<Item = f64>, want: impl IntoIterator<Item = f64>) {
        let (mut got, mut want) = (got.into_iter(), want.into_iter());
        loop {
            let (got, want) = match (got.next(), want.next()) {
                (Some(got), Some(want)) => (got, want),
                (None, None) => return,
                _ => (f64::NAN, 0.0),
            };
            let difference = (got - want).abs();
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            self.difference = self.difference.max(difference);
            self.largest = self.largest.max(want.abs());
        }
    }

    /// The largest difference over the largest magnitude.
    pub fn error(&self) -> f64 {
        if self.difference == 0.0 { 0.0 } else { self.difference / self.largest }
    }
}

/// [`Comparison`] of one pair of lists.
pub fn error(got: impl IntoIterator<Item = f64>, want: impl IntoIterator<Item = f64>) -> f64 {
    let mut comparison = Comparison::default();
    comparison.add(got, want);
    comparison.error()
}

/// f32 results as f64.
pub fn widened<'a>(values: impl IntoIterator<Item = &'a f32>) -> impl Iterator<Item = f64> {
    values.into_iter().map(|&value| f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_to_the_largest_and_never_hide() {
        assert_eq!(error([1.0, 3.0], [1.0, 4.0]), 0.25);
        assert_eq!(error([0.0], [0.0]), 0.0);
        assert_eq!(error([f64::NAN], [1.0]), f64::INFINITY);
        assert_eq!(error([1.0], [1.0, 1.0]), f64::INFINITY);
        assert_eq!(error([1.0], [0.0]), f64::INFINITY);
    }

    #[test]
    fn a_wrong_result_is_refused_with_both_numbers() {
        let errors = |value, gradient| Errors { value, gradient };
        assert!(errors(1e-6, Some(5e-5)).accept().is_ok());
        assert_eq!(
            errors(0.5, None).accept().unwrap_err().to_string(),
            "value off by 5.0e-1 of the largest, expected 1e-5"
        );
        assert!(errors(0.0, Some(f64::INFINITY)).accept().is_err());
        assert_eq!(errors(1e-6, Some(5e-5)).worst(), 5e-5);
    }
}
