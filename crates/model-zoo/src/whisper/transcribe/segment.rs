//! Segments of a transcript, cut where the timestamps of a window say.

use crate::error::Result;
use crate::whisper::{SECONDS_PER_TIMESTAMP, SpecialTokens};

use super::source::FRAMES_PER_SECOND;
use super::transcriber::Transcriber;
use super::window::WindowResult;
use super::words::Word;

/// Frames of one timestamp step.
const FRAMES_PER_TIMESTAMP: usize = 2;

/// A piece of a transcript with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Start of its window, in frames.
    pub seek: usize,
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// Text, with the white space that the tokens have.
    pub text: String,
    /// Tokens, timestamps included.
    pub ids: Vec<u32>,
    /// Of its window, see [`WindowResult::temperature`].
    pub temperature: f64,
    /// Of its window, see [`WindowResult::avg_logprob`].
    pub avg_logprob: f64,
    /// Of its window, see [`WindowResult::compression_ratio`].
    pub compression_ratio: f64,
    /// Of its window, see [`WindowResult::no_speech_prob`].
    pub no_speech_prob: f64,
    /// Words with their times, where the options ask for them.
    pub words: Vec<Word>,
}

impl Segment {
    /// Whether it has text and extent.
    pub(super) fn says_something(&self) -> bool {
        self.start != self.end && !self.text.trim().is_empty()
    }
}

/// Tokens of a segment, and its times in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cut<'a> {
    pub(super) ids: &'a [u32],
    pub(super) start: f64,
    pub(super) end: f64,
}

/// Where the timestamps of a window cut it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cuts<'a> {
    pub(super) segments: Vec<Cut<'a>>,
    /// Frames until the next window begins.
    pub(super) advance: usize,
    /// Whether a single timestamp says that nothing follows.
    pub(super) single_end: bool,
}

/// Cuts the tokens of a window of `n_frames` frames behind every pair of timestamps.
///
/// A single timestamp at the end says that nothing follows in the window. Text behind the last pair
/// is unfinished: the next window begins at that pair and hears it again. Without a pair all is
/// one segment, which ends with the last timestamp or the window.
///
/// # Source
///
/// `transcribe` of openai-whisper 20250625.
pub(super) fn cut<'a>(ids: &'a [u32], n_frames: usize, tokens: &SpecialTokens) -> Cuts<'a> {
    let steps: Vec<Option<usize>> = ids.iter().map(|&id| tokens.timestamp(id)).collect();
    let seconds = |step: usize| step as f64 * SECONDS_PER_TIMESTAMP;
    let single_end = matches!(steps[..], [.., None, Some(_)]);
    let mut ends: Vec<usize> =
        (1..ids.len()).filter(|&k| steps[k - 1].is_some() && steps[k].is_some()).collect();
    if ends.is_empty() {
        let last = steps.iter().rev().flatten().next().filter(|&&step| step > 0);
        let end = last.map_or(n_frames as f64 / FRAMES_PER_SECOND, |&step| seconds(step));
        return Cuts {
            segments: vec![Cut { ids, start: 0.0, end }],
            advance: n_frames,
            single_end,
        };
    }
    if single_end {
        ends.push(ids.len());
    }
    let mut segments = Vec::new();
    let mut first = 0;
    let mut last_step = 0;
    for end in ends {
        // Each piece begins and ends with a timestamp, but for text before the very first one.
        let start = steps[first].unwrap_or(0);
        last_step = steps[end - 1].unwrap_or(start);
        segments.push(Cut {
            ids: &ids[first..end],
            start: seconds(start),
            end: seconds(last_step),
        });
        first = end;
    }
    let advance = if single_end { n_frames } else { last_step * FRAMES_PER_TIMESTAMP };
    Cuts { segments, advance, single_end }
}

impl Transcriber<'_> {
    /// The segments of a window that starts at frame `seek`.
    pub(super) fn segments(
        &self,
        seek: usize,
        cuts: &Cuts<'_>,
        result: &WindowResult,
    ) -> Result<Vec<Segment>> {
        let offset = seek as f64 / FRAMES_PER_SECOND;
        let segment = |cut: &Cut<'_>| {
            Ok(Segment {
                seek,
                start: offset + cut.start,
                end: offset + cut.end,
                text: self.text(cut.ids)?,
                ids: cut.ids.to_vec(),
                temperature: result.temperature,
                avg_logprob: result.avg_logprob,
                compression_ratio: result.compression_ratio,
                no_speech_prob: result.no_speech_prob,
                words: Vec::new(),
            })
        };
        cuts.segments.iter().map(segment).collect()
    }
}
