//! Word and character error rate by jiwer's rules.
//!
//! ```text
//! rate = (S + D + I) / (S + D + H)
//! ```
//!
//! over substitutions, deletions, insertions and hits. A corpus score pools the counts before
//! it divides; the mean of the utterances' own rates is reported beside it, because papers
//! use both under one name and they differ.
//!
//! An empty reference is not an error. As in jiwer 4 its rate is the number of insertions,
//! so silence transcribed as silence scores 0 and each invented word costs 1.

use std::collections::HashMap;

use crate::edit::{self, Alignment};
use crate::error::MetricError;
use crate::error_counts::ErrorCounts;
use crate::normalize::{Normalizer, is_space};

/// The error rate of a set of utterances.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorRate {
    /// Rate of the pooled counts: what is meant by "WER" unless a paper says otherwise.
    pub corpus: f64,
    /// Mean of the utterances' own rates.
    pub utterance_mean: f64,
    /// Pooled counts.
    pub counts: ErrorCounts,
    /// Counts per utterance, in input order.
    pub utterances: Vec<ErrorCounts>,
    /// The normaliser that both sides went through.
    pub normalizer: Normalizer,
}

/// Returns the word error rate of `hypotheses` against `references`, pair by pair.
///
/// # Shapes
///
/// Both slices hold one text per utterance, `(B,)`.
///
/// # Errors
///
/// [`Length`](crate::ErrorKind::Length) when the slices differ in length;
/// [`Empty`](crate::ErrorKind::Empty) when there is no utterance.
///
/// # Source
///
/// jiwer 4 `process_words` with its default transforms, after `normalizer`.
///
/// # Examples
///
/// ```
/// use speech_metrics::{Normalizer, wer};
///
/// let references = ["the cat sat on the mat", "hello world"];
/// let hypotheses = ["the cat sat mat", "hello new big world"];
/// let score = wer(&references, &hypotheses, Normalizer::None)?;
/// assert_eq!(score.corpus, 0.5);
/// assert!((score.utterance_mean - 2.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), speech_metrics::MetricError>(())
/// ```
pub fn wer<R: AsRef<str>, H: AsRef<str>>(
    references: &[R],
    hypotheses: &[H],
    normalizer: Normalizer,
) -> Result<ErrorRate, MetricError> {
    score("wer", references, hypotheses, normalizer, |reference, hypothesis| {
        align_words(reference, hypothesis).counts()
    })
}

/// Returns the character error rate, spaces between words included.
///
/// # Shapes
///
/// As for [`wer`]. A character is a Unicode scalar value, as in Python.
///
/// # Errors
///
/// As for [`wer`].
///
/// # Source
///
/// jiwer 4 `process_characters` with its default transforms: only the ends are stripped, so two
/// spaces in a row are two characters unless `normalizer` joins them.
pub fn cer<R: AsRef<str>, H: AsRef<str>>(
    references: &[R],
    hypotheses: &[H],
    normalizer: Normalizer,
) -> Result<ErrorRate, MetricError> {
    score("cer", references, hypotheses, normalizer, |reference, hypothesis| {
        align_characters(reference, hypothesis).counts()
    })
}

/// Aligns two texts word by word; indices count the items of [`words`].
pub fn align_words(reference: &str, hypothesis: &str) -> Alignment {
    // Small integers compare faster than strings, and the table compares each pair.
    let mut ids = HashMap::new();
    let mut number = |text| -> Vec<usize> {
        words(text)
            .into_iter()
            .map(|word| {
                let next = ids.len();
                *ids.entry(word).or_insert(next)
            })
            .collect()
    };
    let reference = number(reference);
    let hypothesis = number(hypothesis);
    edit::align(&reference, &hypothesis)
}

/// Aligns two texts character by character, after stripping white space from their ends.
pub fn align_characters(reference: &str, hypothesis: &str) -> Alignment {
    let characters = |text: &str| -> Vec<char> { text.trim_matches(is_space).chars().collect() };
    edit::align(&characters(reference), &characters(hypothesis))
}

/// Splits a text into words as jiwer's default transform does.
///
/// A space separates, and so does any run of two or more white-space characters. A single tab
/// or line feed between two words does not: normalise first where that matters.
pub fn words(text: &str) -> Vec<&str> {
    let text = text.trim_matches(is_space);
    let mut words = Vec::new();
    let mut word_start = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        if !is_space(character) {
            continue;
        }
        let mut end = at + character.len_utf8();
        let mut run = 1;
        while let Some((at, next)) = rest.next_if(|&(_, next)| is_space(next)) {
            end = at + next.len_utf8();
            run += 1;
        }
        if character == ' ' || run > 1 {
            words.push(&text[word_start..at]);
            word_start = end;
        }
    }
    if word_start < text.len() {
        words.push(&text[word_start..]);
    }
    words
}

fn score<R: AsRef<str>, H: AsRef<str>>(
    metric: &'static str,
    references: &[R],
    hypotheses: &[H],
    normalizer: Normalizer,
    count: impl Fn(&str, &str) -> ErrorCounts,
) -> Result<ErrorRate, MetricError> {
    let (n_ref, n_hyp) = (references.len(), hypotheses.len());
    MetricError::check_pair(metric, "hypotheses", n_hyp, "the references", n_ref)?;
    MetricError::check_least(metric, "utterances", n_ref, 1)?;
    let utterances: Vec<ErrorCounts> = references
        .iter()
        .zip(hypotheses)
        .map(|(reference, hypothesis)| {
            count(&normalizer.apply(reference.as_ref()), &normalizer.apply(hypothesis.as_ref()))
        })
        .collect();
    let counts = utterances.iter().fold(ErrorCounts::default(), |sum, &one| sum + one);
    let rates: f64 = utterances.iter().map(ErrorCounts::rate).sum();
    Ok(ErrorRate {
        corpus: counts.rate(),
        utterance_mean: rates / utterances.len() as f64,
        counts,
        utterances,
        normalizer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_lone_tab_stays_inside_a_word_and_a_pair_separates() {
        assert_eq!(words(" a  b\tc \t d\n"), ["a", "b\tc", "d"]);
        assert_eq!(words(" \t "), [""; 0]);
        assert_eq!(words("e\u{301}té"), ["e\u{301}té"]);
    }

    #[test]
    fn an_empty_reference_scores_its_insertions() {
        let rate = |r: &str, h: &str| wer(&[r], &[h], Normalizer::None).unwrap().corpus;
        assert_eq!(rate("", ""), 0.0);
        assert_eq!(rate("", "two words"), 2.0);
        assert_eq!(rate("two words", ""), 1.0);
    }

    #[test]
    fn pooling_weighs_long_utterances_and_the_mean_does_not() {
        let score = wer(&["a b c d", "x"], &["a b c d", "y"], Normalizer::None).unwrap();
        assert_eq!(score.corpus, 0.2);
        assert_eq!(score.utterance_mean, 0.5);
    }

    #[test]
    fn unpaired_and_empty_inputs_are_refused_by_kind() {
        let error = wer(&["a"], &["a", "b"], Normalizer::None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Length);
        assert_eq!(
            error.to_string(),
            "wer: hypotheses, expected 1 to pair with the references, got 2"
        );
        let error = cer::<&str, &str>(&[], &[], Normalizer::None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Empty);
        assert_eq!(error.to_string(), "cer: utterances, expected at least 1, got 0");
    }
}
