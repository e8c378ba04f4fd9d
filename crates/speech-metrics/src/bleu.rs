//! Corpus BLEU by sacrebleu's rules.
//!
//! ```text
//! BLEU = 100 BP (p1 p2 p3 p4)^(1/4)      BP = min(1, exp(1 - R/H))
//! ```
//!
//! over the share `p_n` of the hypotheses' n-grams that a reference has too, counts pooled over the
//! corpus, and the lengths `H` and `R` in tokens. Papineni et al. 2002, doi:10.3115/1073083.1073135.

use std::collections::HashMap;

use crate::error::MetricError;
use crate::ngrams::{ngrams, shared};
use crate::tokenize_13a::tokenize_13a;

/// Longest n-gram.
const ORDERS: usize = 4;

/// BLEU of a corpus, and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Bleu {
    /// In 0..=100.
    pub score: f64,
    /// n-grams that a reference has too, for n = 1 to 4.
    pub matches: [usize; ORDERS],
    /// n-grams of the hypotheses.
    pub totals: [usize; ORDERS],
    /// Percentages; those without a match are smoothed: 100 / (2 T), 100 / (4 T), and so on.
    pub precisions: [f64; ORDERS],
    /// 1 unless the hypotheses are shorter than the references.
    pub brevity_penalty: f64,
    /// Tokens of the hypotheses.
    pub hypothesis_len: usize,
    /// Tokens of the references, of each utterance the one whose length is nearest.
    pub reference_len: usize,
}

impl Bleu {
    /// The rules, as sacrebleu signs its scores: mixed case, no effective order, tokenizer 13a,
    /// exponential smoothing. The number of references is not in it.
    pub const SIGNATURE: &'static str = "case:mixed|eff:no|tok:13a|smooth:exp";
}

/// Returns the BLEU of `hypotheses`, each against one reference or more.
///
/// # Shapes
///
/// Both slices hold one entry per utterance, `(B,)`; that of `references` is a list of texts.
///
/// # Errors
///
/// [`Length`](crate::ErrorKind::Length) when the slices differ in length;
/// [`Empty`](crate::ErrorKind::Empty) when there is no utterance, or one has no reference.
///
/// # Source
///
/// `corpus_bleu` of sacrebleu 2.6 with its defaults.
///
/// # Examples
///
/// ```
/// use speech_metrics::bleu;
///
/// let references = [["The cat is on the mat."], ["Hello, world"]];
/// let score = bleu(&references, &["The cat sat on the mat .", "Hello, world!"])?;
/// assert!((score.score - 46.4999990373).abs() < 1e-9);
/// assert_eq!(score.matches, [9, 6, 3, 1]);
/// # Ok::<(), speech_metrics::MetricError>(())
/// ```
pub fn bleu<L: AsRef<[R]>, R: AsRef<str>, H: AsRef<str>>(
    references: &[L],
    hypotheses: &[H],
) -> Result<Bleu, MetricError> {
    check("bleu", references, hypotheses)?;
    let (mut matches, mut totals) = ([0; ORDERS], [0; ORDERS]);
    let (mut hypothesis_len, mut reference_len) = (0, 0);
    for (references, hypothesis) in references.iter().zip(hypotheses) {
        let hypothesis = tokenize_13a(hypothesis.as_ref());
        let references: Vec<Vec<String>> =
            references.as_ref().iter().map(|text| tokenize_13a(text.as_ref())).collect();
        hypothesis_len += hypothesis.len();
        let lengths = references.iter().map(Vec::len);
        reference_len +=
            lengths.min_by_key(|&n| (n.abs_diff(hypothesis.len()), n)).unwrap_or_default();
        for order in 0..ORDERS {
            let found = ngrams(&hypothesis, order + 1);
            totals[order] += found.values().sum::<usize>();
            // An n-gram counts as often as in the reference that has it most.
            let mut most = HashMap::new();
            for reference in &references {
                for (run, count) in ngrams(reference, order + 1) {
                    let slot = most.entry(run).or_insert(0);
                    *slot = count.max(*slot);
                }
            }
            matches[order] += shared(&found, &most);
        }
    }
    Ok(of_counts(matches, totals, hypothesis_len, reference_len))
}

/// Refuses slices that do not pair, none, and utterances without a reference.
pub(crate) fn check<L: AsRef<[R]>, R: AsRef<str>, H>(
    metric: &'static str,
    references: &[L],
    hypotheses: &[H],
) -> Result<(), MetricError> {
    let count = references.len();
    MetricError::check_pair(metric, "hypotheses", hypotheses.len(), "the references", count)?;
    MetricError::check_least(metric, "utterances", count, 1)?;
    match references.iter().position(|list| list.as_ref().is_empty()) {
        None => Ok(()),
        Some(at) => {
            MetricError::check_least(metric, &format!("references of utterance {at}"), 0, 1)
        }
    }
}

fn of_counts(
    matches: [usize; ORDERS],
    totals: [usize; ORDERS],
    hypothesis_len: usize,
    reference_len: usize,
) -> Bleu {
    let brevity_penalty = match hypothesis_len {
        n if n >= reference_len => 1.0,
        0 => 0.0,
        n => (1.0 - reference_len as f64 / n as f64).exp(),
    };
    let mut precisions = [0.0; ORDERS];
    let mut smoothing = 1.0;
    for order in 0..ORDERS {
        // Without a longer n-gram the rest stays 0, and so does the score.
        if totals[order] == 0 || matches[0] == 0 {
            break;
        }
        let total = totals[order] as f64;
        precisions[order] = match matches[order] {
            0 => {
                smoothing *= 2.0;
                100.0 / (smoothing * total)
            }
            n => 100.0 * n as f64 / total,
        };
    }
    let score = match precisions.contains(&0.0) {
        true => 0.0,
        false => {
            let logs: f64 = precisions.iter().map(|precision| precision.ln()).sum();
            brevity_penalty * (logs / ORDERS as f64).exp()
        }
    };
    Bleu { score, matches, totals, precisions, brevity_penalty, hypothesis_len, reference_len }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn smoothing_halves_again_at_each_order_without_a_match() {
        let score = bleu(&[["a b d e f g"]], &["a b c d e"]).unwrap();
        assert_eq!((score.matches, score.totals), ([4, 2, 0, 0], [5, 4, 3, 2]));
        let expected = [80.0, 50.0, 100.0 / 6.0, 12.5];
        assert!(score.precisions.iter().zip(expected).all(|(got, p)| (got - p).abs() < 1e-12));
        assert!((score.brevity_penalty - 0.818_730_753_1).abs() < 1e-10);
        assert!((score.score - 24.736_929_544_1).abs() < 1e-10);
        let repeated = bleu(&[["the cat"]], &["the the the the"]).unwrap();
        assert!((repeated.score - 15.973_577_606_2).abs() < 1e-10);
    }

    #[test]
    fn short_hypotheses_and_none_at_all_score_zero() {
        for (reference, hypothesis) in
            [("a b c d e", ""), ("a b c", "a b c"), ("a b c d", "e f g h")]
        {
            let score = bleu(&[[reference]], &[hypothesis]).unwrap();
            assert_eq!(score.score, 0.0, "{hypothesis:?}");
        }
        let same = bleu(&[["a b c d"]], &["a b c d"]).unwrap();
        assert!((same.score - 100.0).abs() < 1e-12);
    }

    #[test]
    fn the_nearest_reference_gives_the_length_and_each_its_words() {
        let score = bleu(&[["a b c d e f", "x y", "d c b a"]], &["a b c d e"]).unwrap();
        assert_eq!(score.reference_len, 4, "of two as near, the shorter");
        assert_eq!(score.matches[0], 5);
    }

    #[test]
    fn unpaired_and_empty_inputs_are_refused_by_kind() {
        let error = bleu(&[["a"]], &["a", "b"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Length);
        let error = bleu::<[&str; 1], _, &str>(&[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "bleu: utterances, expected at least 1, got 0");
        let error = bleu::<Vec<&str>, &str, _>(&[vec!["a"], vec![]], &["a", "b"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Empty);
        assert_eq!(
            error.to_string(),
            "bleu: references of utterance 1, expected at least 1, got 0"
        );
    }
}
