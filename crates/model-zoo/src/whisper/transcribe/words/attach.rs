//! Words to the segments they stand in.

use tensor_core::Context;

use super::{Aligned, Word, punctuation};
use crate::error::Result;
use crate::whisper::EncoderOutput;
use crate::whisper::transcribe::segment::Segment;
use crate::whisper::transcribe::source::FRAMES_PER_SECOND;
use crate::whisper::transcribe::transcriber::Transcriber;

/// Marks that end a sentence.
const SENTENCE_ENDS: &str = ".。!！?？";
/// Longest median duration of a word, in seconds, that is believed.
const LONGEST_MEDIAN: f64 = 0.7;

impl Transcriber<'_> {
    /// Gives the segments of one window their words, and lets a segment begin and end with them.
    /// `last_speech` is the end of the last word before, in seconds.
    ///
    /// # Source
    ///
    /// `add_word_timestamps` in `whisper/timing.py` of openai-whisper 20250625.
    pub(in crate::whisper::transcribe) fn attach_words(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        segments: &mut [Segment],
        n_frames: usize,
        language: &str,
        mut last_speech: f64,
    ) -> Result<()> {
        let text: Vec<Vec<u32>> =
            segments.iter().map(|segment| self.tokens.text_of(&segment.ids)).collect();
        let mut aligned = self.align(ctx, memory, &text.concat(), n_frames, language)?;
        let median = median_duration(&aligned);
        shorten_at_sentence_ends(&mut aligned, 2.0 * median);
        punctuation::merge(&mut aligned);

        let mut rest = aligned.iter();
        for (segment, ids) in segments.iter_mut().zip(text) {
            let offset = segment.seek as f64 / FRAMES_PER_SECOND;
            let mut n_tokens = 0;
            let mut words = Vec::new();
            while n_tokens < ids.len() {
                let Some(next) = rest.next() else { break };
                n_tokens += next.n_tokens;
                if !next.word.is_empty() {
                    words.push(Word {
                        word: next.word.clone(),
                        start: round_to_centi(offset + next.start),
                        end: round_to_centi(offset + next.end),
                        probability: next.probability,
                    });
                }
            }
            fit(segment, &mut words, median, last_speech);
            if !words.is_empty() {
                last_speech = segment.end;
            }
            segment.words = words;
        }
        Ok(())
    }
}

pub(super) fn median_duration(words: &[Aligned]) -> f64 {
    let mut durations: Vec<f64> =
        words.iter().map(|word| word.end - word.start).filter(|d| *d != 0.0).collect();
    durations.sort_by(f64::total_cmp);
    let middle = durations.len() / 2;
    let median = match durations.len() {
        0 => 0.0,
        n if n % 2 == 1 => durations[middle],
        _ => f64::midpoint(durations[middle - 1], durations[middle]),
    };
    median.min(LONGEST_MEDIAN)
}

/// The silence between sentences is no part of a word.
pub(super) fn shorten_at_sentence_ends(words: &mut [Aligned], longest: f64) {
    for k in 1..words.len() {
        if words[k].end - words[k].start <= longest || longest == 0.0 {
            continue;
        }
        if SENTENCE_ENDS.contains(&words[k].word) {
            words[k].end = words[k].start + longest;
        } else if SENTENCE_ENDS.contains(&words[k - 1].word) {
            words[k].start = words[k].end - longest;
        }
    }
}

/// Shortens words that reach into a pause, and sets the segment's times by its words or, where a
/// word is too long to be true, the word's by the segment.
fn fit(segment: &mut Segment, words: &mut [Word], median: f64, last_speech: f64) {
    let longest = 2.0 * median;
    let duration = |word: &Word| word.end - word.start;
    if let [first, rest @ ..] = words {
        let second_end = rest.first().map(|second| second.end);
        let long = duration(first) > longest
            || second_end.is_some_and(|end| end - first.start > 2.0 * longest);
        if first.end - last_speech > 4.0 * median && long {
            if let Some(second) = rest.first_mut().filter(|second| duration(second) > longest) {
                let boundary = (second.end / 2.0).max(second.end - longest);
                first.end = boundary;
                second.start = boundary;
            }
            first.start = (first.end - longest).max(0.0);
        }
        if segment.start < first.end && segment.start - 0.5 > first.start {
            first.start = (first.end - median).min(segment.start).max(0.0);
        } else {
            segment.start = first.start;
        }
    }
    if let Some(last) = words.last_mut() {
        if segment.end > last.start && segment.end + 0.5 < last.end {
            last.end = (last.start + median).max(segment.end);
        } else {
            segment.end = last.end;
        }
    }
}

pub(super) fn round_to_centi(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}
