//! Log-sum-exps that are gathered piece by piece.

use crate::error::{KernelError, Result};

/// The running `(maximum, sum of e^(x - maximum))` of some logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogSum {
    max: f64,
    sum: f64,
}

impl LogSum {
    /// Of no logits.
    pub const EMPTY: Self = Self { max: f64::NEG_INFINITY, sum: 0.0 };

    /// Adds logits whose maximum is `max` and whose `e^(x - max)` sum to `sum`.
    pub fn add(&mut self, max: f64, sum: f64) {
        if max == f64::NEG_INFINITY && sum == 0.0 {
            return;
        }
        if max > self.max {
            let scale = if self.sum == 0.0 { 0.0 } else { (self.max - max).exp() };
            *self = Self { max, sum: self.sum * scale + sum };
        } else {
            // Equal infinities are one scale; NaN comes out as NaN.
            let scale = if max == self.max { 1.0 } else { (max - self.max).exp() };
            self.sum += sum * scale;
        }
    }

    /// The log-sum-exp.
    pub fn value(self) -> f64 {
        self.max + self.sum.ln()
    }
}

/// Combines log-sum-exps that blocks of one matrix of logits gave for the same anchors.
///
/// ```text
/// out_i = ln sum_k e^(parts_k,i)
/// ```
///
/// # Shapes
///
/// | argument | shape        | meaning                                 |
/// |----------|--------------|-----------------------------------------|
/// | `parts`  | K of `(N,)`  | partial log-sum-exps, `-inf` when empty |
/// | result   | `(N,)`       | those of the whole                      |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when the parts have unequal lengths.
///
/// # Numerics
///
/// In f64, in the order of the parts: ranks that hold the parts in one order get the same bits.
///
/// # Examples
///
/// ```
/// use align_kernels::info_nce::combine_lse;
///
/// let whole = combine_lse(&[&[0.0, f64::NEG_INFINITY], &[0.0, 1.5]])?;
/// assert_eq!(whole, [2f64.ln(), 1.5]);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn combine_lse(parts: &[&[f64]]) -> Result<Vec<f64>> {
    let n = parts.first().map_or(0, |part| part.len());
    if let Some(part) = parts.iter().find(|part| part.len() != n) {
        let text = format!("a part has {} values, expected {n} as the first", part.len());
        return Err(KernelError::shape("combine_lse", text));
    }
    let whole = |i: usize| {
        let mut sum = LogSum::EMPTY;
        parts.iter().for_each(|part| sum.add(part[i], 1.0));
        // A sum of empty sums keeps its maximum of -inf, and a NaN anywhere shows.
        if parts.iter().any(|part| part[i].is_nan()) { f64::NAN } else { sum.value() }
    };
    Ok((0..n).map(whole).collect())
}
