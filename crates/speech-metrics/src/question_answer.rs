//! Exact match and F1 of short answers, as SQuAD 1.1 scores them.
//!
//! Rajpurkar et al. 2016, arXiv:1606.05250.

use std::collections::HashMap;

use crate::bleu::check;
use crate::error::MetricError;
use crate::ngrams::shared;
use crate::normalize::is_space;

/// Scores of a set of questions, in 0..=100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuestionAnswer {
    /// Share of the answers that equal a gold answer once normalised.
    pub exact_match: f64,
    /// Mean over questions of the F1 of words.
    pub f1: f64,
}

/// Scores answers; of several gold answers the best counts, for each score by itself.
///
/// # Shapes
///
/// Both slices hold one entry per question, `(B,)`; that of `gold` is a list of texts.
///
/// # Errors
///
/// [`Length`](crate::ErrorKind::Length) when the slices differ in length;
/// [`Empty`](crate::ErrorKind::Empty) when there is no question, or one has no gold answer.
///
/// # Source
///
/// The evaluation script of SQuAD 1.1, as arXiv:2412.15712 uses it.
///
/// # Examples
///
/// ```
/// use speech_metrics::question_answer;
///
/// let score = question_answer(&[["1990s US"]], &["in 1990's U.S."])?;
/// assert_eq!((score.exact_match, score.f1), (0.0, 80.0));
/// # Ok::<(), speech_metrics::MetricError>(())
/// ```
pub fn question_answer<L: AsRef<[G]>, G: AsRef<str>, A: AsRef<str>>(
    gold: &[L],
    answers: &[A],
) -> Result<QuestionAnswer, MetricError> {
    check("question_answer", gold, answers)?;
    let (mut exact, mut f1) = (0.0, 0.0);
    for (gold, answer) in gold.iter().zip(answers) {
        let answer = normalize_answer(answer.as_ref());
        let gold: Vec<String> =
            gold.as_ref().iter().map(|text| normalize_answer(text.as_ref())).collect();
        exact += f64::from(gold.contains(&answer));
        f1 += gold.iter().map(|gold| f1_of(gold, &answer)).fold(0.0, f64::max);
    }
    let share = 100.0 / answers.len() as f64;
    Ok(QuestionAnswer { exact_match: exact * share, f1: f1 * share })
}

/// Lower case, without ASCII punctuation and the words `a`, `an` and `the`, single spaces.
///
/// # Source
///
/// `normalize_answer` of the same script: a word ends where a letter, digit or underscore has none
/// beside it, so that dashes of other alphabets end one too.
pub fn normalize_answer(text: &str) -> String {
    let mut lower = text.to_lowercase();
    lower.retain(|character| !character.is_ascii_punctuation());
    let mut kept = String::with_capacity(lower.len());
    let mut rest = lower.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        kept.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    kept.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// 0 without a word in common, even where neither side has a word.
fn f1_of(gold: &str, answer: &str) -> f64 {
    let (gold, answer) = (bag(gold), bag(answer));
    let common = shared(&gold, &answer);
    if common == 0 {
        return 0.0;
    }
    let words = gold.values().sum::<usize>() + answer.values().sum::<usize>();
    2.0 * common as f64 / words as f64
}

fn bag(text: &str) -> HashMap<&str, usize> {
    let mut bag = HashMap::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        *bag.entry(word).or_insert(0) += 1;
    }
    bag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_marks_and_case_do_not_count() {
        for (text, expected) in [
            ("The  Cat, a cat; AN end!", "cat cat end"),
            ("in 1990's U.S.", "in 1990s us"),
            ("the–end", "–end"),
            ("theatre a\u{a0}b", "theatre b"),
            ("...", ""),
        ] {
            assert_eq!(normalize_answer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn empty_answers_match_exactly_and_share_no_word() {
        let score = |gold: &[&str], answer| question_answer(&[gold], &[answer]).unwrap();
        assert_eq!(score(&["the"], ""), QuestionAnswer { exact_match: 100.0, f1: 0.0 });
        let half = score(&["santa clara california"], "levis stadium in santa clara");
        assert_eq!((half.exact_match, half.f1), (0.0, 50.0));
        assert_eq!(
            score(&["no", "the city"], "City."),
            QuestionAnswer { exact_match: 100.0, f1: 100.0 }
        );
    }

    #[test]
    fn scores_are_means_over_questions() {
        let score = question_answer(&[["yes"], ["a b c"]], &["yes", "b"]).unwrap();
        assert_eq!(score.exact_match, 50.0);
        assert!((score.f1 - 100.0 * (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    }
}
