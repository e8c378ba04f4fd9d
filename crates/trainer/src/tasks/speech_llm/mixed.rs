//! Sequences of speech and text in turn, for next-word prediction.
//!
//! ```text
//! START  text or speech, in turn  END
//! ```
//!
//! A fair coin says which comes first. Stretches are of a few words each; the rest of a sentence that
//! is short by then goes into one last stretch. A word's sound begins where the word before it ends,
//! so that no silence is lost between words.
//!
//! # Source
//!
//! arXiv 2412.15712, appendix A, and its released code.

use std::ops::Range;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tensor_core::Philox;

use super::conversation::ChatFormat;
use crate::manifest::Utterance;
use crate::recipe::Mixed;

/// Fewer words than this go into one last stretch.
const REST: usize = 6;

/// A stretch of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub is_speech: bool,
    pub words: Range<usize>,
}

/// Cuts `words` words into stretches of either kind in turn.
pub fn spans(words: usize, settings: &Mixed, rng: &mut Philox) -> Vec<Span> {
    let mut is_speech = rng.uniform() < 0.5;
    let mut spans: Vec<Span> = Vec::new();
    let mut start = 0;
    while start < words {
        let left = words - start;
        let count = if left < REST {
            // One last stretch: speech after text, and text otherwise.
            is_speech = spans.last().is_some_and(|last| !last.is_speech);
            left
        } else {
            let [least, most] = if is_speech { settings.speech_words } else { settings.text_words };
            (least + rng.below((most - least + 1) as u32) as usize).min(left)
        };
        spans.push(Span { is_speech, words: start..start + count });
        start += count;
        is_speech = !is_speech;
    }
    spans
}

/// A transcript whose words have times and tokens.
#[derive(Debug, Clone)]
pub struct TimedText {
    /// When each word ends, in seconds.
    pub ends: Vec<f64>,
    /// Tokens of each word, with the space before it.
    pub tokens: Vec<Vec<u32>>,
}

impl TimedText {
    /// Reads `word_ends` of a manifest line and tokenises its words.
    ///
    /// Words are tokenised one by one, with the space that comes before them, so that a stretch of
    /// text begins and ends where words do. Without punctuation a word may have no token left; its
    /// sound stays.
    ///
    /// # Errors
    ///
    /// Names the line that has no times, or not one for each word.
    pub fn new(
        utterance: &Utterance,
        text: &str,
        chat: &ChatFormat,
        settings: &Mixed,
    ) -> anyhow::Result<Self> {
        let ends = utterance.extra.get("word_ends").and_then(Value::as_array);
        let ends = ends.with_context(|| {
            format!(
                "{}: no word_ends, expected the end of each word in seconds (hint: `data align` \
                 writes them)",
                utterance.place
            )
        })?;
        let ends: Vec<f64> = ends.iter().filter_map(Value::as_f64).collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        ensure!(
            ends.len() == words.len(),
            "{}: word_ends has {} times, expected one for each of {} words",
            utterance.place,
            ends.len(),
            words.len()
        );
        let tokens = words
            .iter()
            .enumerate()
            .map(|(k, word)| {
                let word: String = match settings.no_punctuation {
                    true => word.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect(),
                    false => (*word).to_owned(),
                };
                if word.is_empty() {
                    return Ok(Vec::new());
                }
                let space = if k > 0 { " " } else { "" };
                chat.text(&format!("{space}{word}"))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { ends, tokens })
    }

    /// Seconds in which words are said.
    pub fn seconds(&self, words: &Range<usize>) -> Range<f64> {
        let start = if words.start == 0 { 0.0 } else { self.ends[words.start - 1] };
        start..self.ends[words.end - 1]
    }

    /// Tokens of words.
    pub fn tokens_of(&self, words: &Range<usize>) -> Vec<u32> {
        self.tokens[words.clone()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_take_turns_and_leave_no_word_out() {
        let settings = Mixed::default();
        let (mut firsts, mut rests) = ([0, 0], [0, 0]);
        for seed in 0..400 {
            for words in 0..40 {
                let spans = spans(words, &settings, &mut Philox::new(seed, words as u64));
                let mut end = 0;
                for (k, span) in spans.iter().enumerate() {
                    assert_eq!(span.words.start, end);
                    end = span.words.end;
                    let left = words - span.words.start;
                    let count = span.words.len();
                    let [least, most] =
                        if span.is_speech { settings.speech_words } else { settings.text_words };
                    if left < REST {
                        assert_eq!((k, count), (spans.len() - 1, left));
                    } else {
                        assert!((least..=most).contains(&count), "{spans:?}");
                    }
                }
                assert_eq!(end, words);
                assert!(spans.windows(2).all(|pair| pair[0].is_speech != pair[1].is_speech));
                if words == 39 {
                    firsts[usize::from(spans[0].is_speech)] += 1;
                }
                if (1..REST).contains(&words) {
                    // Nothing is before it, so it is text.
                    assert!(!spans[0].is_speech);
                    rests[0] += 1;
                }
            }
        }
        assert!(firsts.iter().all(|&count| count > 150), "{firsts:?}");
    }
}
