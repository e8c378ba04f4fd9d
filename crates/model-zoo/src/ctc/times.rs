//! Aligned tokens as text with times.

use super::align::{Alignment, TokenSpan};
use super::vocabulary::CtcVocabulary;
use crate::error::{Result, ZooError};

/// A character or a word and when it is said.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedText {
    /// As the vocabulary spells it.
    pub text: String,
    /// First frame, s.
    pub start_s: f64,
    /// End of the last frame, s.
    pub end_s: f64,
    /// Mean probability of the path in the frames of its tokens.
    pub score: f64,
}

/// Times of every token, word delimiters included, which read as a space.
///
/// A frame takes `seconds_per_frame`: the samples from one frame to the next over the sampling rate.
/// Frame `t` begins at `t` of them.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `seconds_per_frame` is not positive;
/// [`Tokenizer`](crate::ErrorKind::Tokenizer) when a token is not in the vocabulary.
pub fn characters(
    alignment: &Alignment,
    vocabulary: &CtcVocabulary,
    seconds_per_frame: f64,
) -> Result<Vec<TimedText>> {
    check_step(seconds_per_frame)?;
    let spans = alignment.spans.iter();
    spans.map(|span| timed(std::slice::from_ref(span), vocabulary, seconds_per_frame)).collect()
}

/// Times of every word: its tokens between word delimiters, from the first to the last of them.
/// Scores weigh each token by its frames.
///
/// # Errors
///
/// As [`characters`].
pub fn words(
    alignment: &Alignment,
    vocabulary: &CtcVocabulary,
    seconds_per_frame: f64,
) -> Result<Vec<TimedText>> {
    check_step(seconds_per_frame)?;
    let delimiter = vocabulary.word_delimiter();
    alignment
        .spans
        .split(|span| Some(span.token) == delimiter)
        .filter(|word| !word.is_empty())
        .map(|word| timed(word, vocabulary, seconds_per_frame))
        .collect()
}

fn check_step(seconds_per_frame: f64) -> Result<()> {
    if seconds_per_frame.is_finite() && seconds_per_frame > 0.0 {
        return Ok(());
    }
    let detail = format!("seconds_per_frame is {seconds_per_frame}, expected more than 0");
    Err(ZooError::option("ctc times", detail))
}

/// `spans`, at least one, as one text.
fn timed(spans: &[TokenSpan], vocabulary: &CtcVocabulary, step: f64) -> Result<TimedText> {
    let mut text = String::new();
    let (mut frames, mut score) = (0, 0.0);
    for span in spans {
        text.push_str(vocabulary.text_of(span.token)?);
        frames += span.end - span.start;
        score += span.score * (span.end - span.start) as f64;
    }
    let (start, end) = (spans[0].start, spans[spans.len() - 1].end);
    Ok(TimedText {
        text,
        start_s: start as f64 * step,
        end_s: end as f64 * step,
        score: score / frames as f64,
    })
}
