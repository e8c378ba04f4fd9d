//! What a text has too much or too little of.

use std::ops::Range;

use speech_metrics::edit::EditOp;
use speech_metrics::error_rate::align_words;

/// Words of the longest run that comes again right after itself: what a loop looks like.
pub(super) fn longest_echo(text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    // `same` counts how many words in a row equal those `lag` before them.
    let echo = |lag: usize| {
        let mut same = 0;
        words[lag..].iter().zip(&words).any(|(a, b)| {
            same = if a == b { same + 1 } else { 0 };
            same == lag
        })
    };
    (1..=words.len() / 2).rev().find(|&lag| echo(lag)).unwrap_or(0)
}

/// Words of the longest part of `reference` that `hypothesis` leaves out without a substitute.
pub(super) fn longest_omission(reference: &str, hypothesis: &str) -> usize {
    let alignment = align_words(reference, hypothesis);
    let left_out = alignment.chunks.iter().filter(|chunk| chunk.op == EditOp::Delete);
    left_out.map(|chunk| chunk.reference.len()).max().unwrap_or(0)
}

/// The longest time between one segment and the next, from 0 s to `end`; where it is.
pub(super) fn longest_gap(segments: &[Range<f64>], end: f64) -> Range<f64> {
    let starts = segments.iter().map(|s| s.start).chain([end]);
    let ends = [0.0].into_iter().chain(segments.iter().map(|s| s.end));
    let gaps = ends.zip(starts).map(|(end, start)| end..start.max(end));
    gaps.max_by(|a, b| (a.end - a.start).total_cmp(&(b.end - b.start))).unwrap_or(0.0..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_the_same_words_at_once_again() {
        for (text, n) in [
            ("", 0),
            ("a b c", 0),
            ("a b b c", 1),
            ("x a b a b y", 2),
            ("a b c d a b c", 0),
            ("a b c a b c a b c", 3),
            ("no no no no", 2),
        ] {
            assert_eq!(longest_echo(text), n, "{text}");
        }
    }

    #[test]
    fn an_omission_is_a_run_of_words_that_nothing_stands_for() {
        assert_eq!(longest_omission("a b c d e", "a e"), 3);
        assert_eq!(longest_omission("a b c", "a x c"), 0);
        assert_eq!(longest_omission("a b", ""), 2);
    }

    #[test]
    fn gaps_are_before_between_and_behind_segments() {
        assert_eq!(longest_gap(&[1.0..2.0, 2.5..4.0], 4.5), 0.0..1.0);
        assert_eq!(longest_gap(&[0.0..2.0, 3.5..4.0], 4.5), 2.0..3.5);
        assert_eq!(longest_gap(&[0.0..2.0], 4.5), 2.0..4.5);
        assert_eq!(longest_gap(&[], 4.5), 0.0..4.5);
    }
}
