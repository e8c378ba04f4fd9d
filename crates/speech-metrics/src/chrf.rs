//! Corpus chrF and chrF++ by sacrebleu's rules.
//!
//! ```text
//! chrF = 100 (1 + b^2) P R / (b^2 P + R)      b = 2
//! ```
//!
//! with precision `P` and recall `R` of n-grams of characters, white space left out, averaged over
//! n = 1 to 6; chrF++ averages n-grams of one and two words along. Popović 2015 and 2017,
//! doi:10.18653/v1/W15-3049 and W17-4770.

use crate::bleu::check;
use crate::error::MetricError;
use crate::ngrams::{ngrams, shared};
use crate::normalize::is_space;

/// Longest n-gram of characters.
const CHAR_ORDER: usize = 6;
/// Weight of recall beside precision.
const BETA: f64 = 2.0;

/// n-grams of one order.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hypothesis: usize,
    reference: usize,
    matches: usize,
}

/// Returns the chrF of `hypotheses`, in 0..=100, each against one reference or more, of which the
/// one that agrees best counts. `word_order` is 0 for chrF and 2 for chrF++.
///
/// # Shapes
///
/// As for [`bleu`](fn@crate::bleu).
///
/// # Errors
///
/// As for [`bleu`](fn@crate::bleu).
///
/// # Source
///
/// `corpus_chrf` of sacrebleu 2.6 with its defaults.
///
/// # Examples
///
/// ```
/// let score = speech_metrics::chrf(&[["abc"]], &["abd"], 0)?;
/// assert!((score - 100.0 * (2.0 / 3.0 + 1.0 / 2.0 + 0.0) / 3.0).abs() < 1e-12);
/// # Ok::<(), speech_metrics::MetricError>(())
/// ```
pub fn chrf<L: AsRef<[R]>, R: AsRef<str>, H: AsRef<str>>(
    references: &[L],
    hypotheses: &[H],
    word_order: usize,
) -> Result<f64, MetricError> {
    check("chrf", references, hypotheses)?;
    let mut corpus = vec![Counts::default(); CHAR_ORDER + word_order];
    for (references, hypothesis) in references.iter().zip(hypotheses) {
        let hypothesis = Text::new(hypothesis.as_ref());
        let counted = references
            .as_ref()
            .iter()
            .map(|reference| hypothesis.against(&Text::new(reference.as_ref()), word_order));
        let mut best: Option<(f64, Vec<Counts>)> = None;
        for counts in counted {
            let score = f_score(&counts);
            // Of references that agree as well, the first.
            if best.as_ref().is_none_or(|&(most, _)| score > most) {
                best = Some((score, counts));
            }
        }
        for (sum, counts) in corpus.iter_mut().zip(best.into_iter().flat_map(|(_, counts)| counts))
        {
            sum.hypothesis += counts.hypothesis;
            sum.reference += counts.reference;
            sum.matches += counts.matches;
        }
    }
    Ok(f_score(&corpus))
}

/// A segment in the two forms that are counted.
struct Text<'a> {
    characters: Vec<char>,
    words: Vec<&'a str>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let words = text.split(is_space).filter(|word| !word.is_empty());
        let characters = words.clone().flat_map(str::chars).collect();
        Self { characters, words: words.flat_map(without_punctuation).collect() }
    }

    /// Counts order by order, characters first.
    fn against(&self, reference: &Text<'_>, word_order: usize) -> Vec<Counts> {
        let characters =
            (1..=CHAR_ORDER).map(|n| count(&self.characters, &reference.characters, n));
        let words = (1..=word_order).map(|n| count(&self.words, &reference.words, n));
        characters.chain(words).collect()
    }
}

/// A word with ASCII punctuation at its end, or else at its start, as two.
fn without_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let is_mark = |character: char| character.is_ascii_punctuation();
    let (first, second) = match word.len() {
        1 => (word, ""),
        n if word.ends_with(is_mark) => word.split_at(n - 1),
        _ if word.starts_with(is_mark) => word.split_at(1),
        _ => (word, ""),
    };
    [first, second].into_iter().filter(|part| !part.is_empty())
}

fn count<T: Eq + std::hash::Hash>(hypothesis: &[T], reference: &[T], n: usize) -> Counts {
    let (found, expected) = (ngrams(hypothesis, n), ngrams(reference, n));
    let total = found.values().sum();
    Counts {
        // n-grams longer than the reference cannot be wrong.
        hypothesis: if expected.is_empty() { 0 } else { total },
        reference: expected.values().sum(),
        matches: shared(&found, &expected),
    }
}

/// Over the orders that both sides have.
fn f_score(counts: &[Counts]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for counts in counts.iter().filter(|counts| counts.hypothesis > 0 && counts.reference > 0) {
        precision += counts.matches as f64 / counts.hypothesis as f64;
        recall += counts.matches as f64 / counts.reference as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    let weight = BETA * BETA;
    100.0 * (1.0 + weight) * precision * recall / (weight * precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_leave_one_end_of_a_word() {
        let split = |word| without_punctuation(word).collect::<Vec<_>>();
        assert_eq!(split("end."), ["end", "."]);
        assert_eq!(split("(yes)"), ["(yes", ")"]);
        assert_eq!(split("\"x"), ["\"", "x"]);
        assert_eq!(split("."), ["."]);
        assert_eq!(split("é"), ["é"]);
    }

    #[test]
    fn equal_texts_score_all_and_different_ones_nothing() {
        for word_order in [0, 2] {
            let score = |a: &str, b: &str| chrf(&[[a]], &[b], word_order).unwrap();
            assert!((score("A short text.", "A short text.") - 100.0).abs() < 1e-12);
            assert_eq!(score("abc", "xyz"), 0.0);
            assert_eq!(score("abc", ""), 0.0);
            assert_eq!(score("", "abc"), 0.0);
        }
    }
}
