//! Log-probabilities of a step, and the best continuations of several rows.

use tensor_core::{Device, Tensor};

use super::rules::{Prefix, ScoreRule};
use crate::error::{Result, ZooError};

/// Log-probabilities `(rows, V)` of logits `(rows, V)`, normalised in f32 row by row.
pub(super) fn log_softmax(scores: &[f32], vocab_size: usize) -> Result<Vec<f32>> {
    let shape = [scores.len() / vocab_size, vocab_size];
    Ok(Tensor::from_vec(scores.to_vec(), &shape, Device::Cpu)?.log_softmax()?.to_vec::<f32>()?)
}

/// Lets every rule rewrite the scores of what follows `prefix`.
pub(super) fn apply(rules: &[Box<dyn ScoreRule>], prefix: Prefix<'_>, scores: &mut [f32]) {
    for rule in rules {
        rule.apply(prefix, scores);
    }
}

/// One more token for a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Row of the item that it continues.
    pub(super) source: usize,
    pub(super) token: u32,
    /// Log-probability of the whole row with the token.
    pub(super) sum_logprob: f64,
}

/// The `keep` best of one row, best first, the first of equals first. Scores of minus infinity
/// and NaN are no candidates.
pub(super) fn top_of_row(scores: &[f32], keep: usize) -> Vec<(u32, f32)> {
    let mut top: Vec<(u32, f32)> = Vec::with_capacity(keep + 1);
    let mut floor = f32::NEG_INFINITY;
    for (token, &score) in scores.iter().enumerate() {
        if score > floor {
            let place = top.partition_point(|&(_, other)| other >= score);
            top.insert(place, (token as u32, score));
            top.truncate(keep);
            if top.len() == keep {
                floor = top[keep - 1].1;
            }
        }
    }
    top
}

/// The continuations of all rows, the `keep_per_row` best of each, best first. `sums` are the
/// log-probabilities of the rows so far.
pub(super) fn top_of_rows(
    logprobs: &[f32],
    vocab_size: usize,
    sums: &[f64],
    keep_per_row: usize,
) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for (source, (row, sum)) in logprobs.chunks(vocab_size).zip(sums).enumerate() {
        all.extend(top_of_row(row, keep_per_row).into_iter().map(|(token, logprob)| Candidate {
            source,
            token,
            sum_logprob: sum + f64::from(logprob),
        }));
    }
    all.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
    all
}

/// Nothing may follow: the weights are not finite, or the rules forbid all tokens.
pub(super) fn no_candidate() -> ZooError {
    let detail = "no token has a finite score, expected at least one";
    ZooError::option("decoding", detail).hint("are the weights finite and some tokens allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_come_first_and_equals_in_order() {
        let scores = [0.5, f32::NAN, 0.9, 0.5, f32::NEG_INFINITY, 0.9];
        assert_eq!(top_of_row(&scores, 3), [(2, 0.9), (5, 0.9), (0, 0.5)]);
        assert_eq!(top_of_row(&scores, 9).len(), 4);
        let of_rows = top_of_rows(&[-1.0, -2.0, -0.5, -9.0], 2, &[0.0, -1.0], 1);
        let found: Vec<_> = of_rows.iter().map(|c| (c.source, c.token, c.sum_logprob)).collect();
        assert_eq!(found, [(0, 0, -1.0), (1, 0, -1.5)]);
    }
}
