//! Where timestamps may stand in a transcript.

use crate::decoding::{Prefix, ScoreRule};

/// Timestamps come in pairs, except right before the end, and never go back.
///
/// - `<|notimestamps|>` is never generated.
/// - After a pair, or after a first timestamp, text follows; after text and one timestamp, its
///   partner or the end.
/// - A timestamp is not before the last one, and a segment is longer than nothing.
/// - The first token is a timestamp, at most `max_initial_timestamp_index` steps of 0.02 s.
/// - Where all timestamps together are likelier than any one text token, a timestamp follows.
///
/// # Source
///
/// `ApplyTimestampRules` of openai-whisper 20250625, which `WhisperTimeStampLogitsProcessor` of
/// `transformers` 5.23 equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampRules {
    /// The end token; text stands below it.
    pub eot: u32,
    /// `<|notimestamps|>`; timestamps stand above it.
    pub no_timestamps: u32,
    /// Latest first timestamp in steps of 0.02 s; `None` allows all.
    pub max_initial_timestamp_index: Option<usize>,
}

impl ScoreRule for TimestampRules {
    fn apply(&self, prefix: Prefix<'_>, scores: &mut [f32]) {
        let vocab_size = scores.len();
        let place = |token: usize| token.min(vocab_size);
        let begin = place(self.no_timestamps as usize + 1);
        let mut forbid = |from: usize, to: usize| {
            if from < to {
                scores[from..to].fill(f32::NEG_INFINITY);
            }
        };
        forbid(place(self.no_timestamps as usize), begin);

        let ids = prefix.new_ids();
        let is_timestamp = |token: &u32| *token as usize >= begin;
        let last_is = ids.last().is_some_and(is_timestamp);
        let one_before_is = ids.len() < 2 || is_timestamp(&ids[ids.len() - 2]);
        if last_is {
            match one_before_is {
                true => forbid(begin, vocab_size),
                false => forbid(0, place(self.eot as usize)),
            }
        }
        if let Some(&last) = ids.iter().rev().find(|token| is_timestamp(token)) {
            // The partner of an end may be the same; any other must be later.
            let partner = last_is && !one_before_is;
            forbid(begin, place(last as usize + usize::from(!partner)));
        }
        if ids.is_empty() {
            forbid(0, begin);
            if let Some(index) = self.max_initial_timestamp_index {
                forbid(place(begin + index + 1), vocab_size);
            }
        }
        let (text, timestamps) = scores.split_at(begin);
        let likeliest = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if logsumexp(timestamps) > f64::from(likeliest) {
            scores[..begin].fill(f32::NEG_INFINITY);
        }
    }
}

/// `ln(sum(exp(x)))`; minus infinity of nothing.
fn logsumexp(x: &[f32]) -> f64 {
    let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if top == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let sum: f64 = x.iter().map(|&x| f64::from(x - top).exp()).sum();
    f64::from(top) + sum.ln()
}
