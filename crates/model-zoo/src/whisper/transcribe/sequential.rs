//! Recordings of any length, window after window.

use std::ops::Range;

use tensor_core::Context;

use super::segment::{Segment, cut};
use super::source::{FRAMES_PER_SECOND, LogMelSource, LogMelWindow};
use super::transcriber::Transcriber;
use super::window::{WindowContext, WindowResult};
use crate::error::Result;
use crate::whisper::{EncoderInput, EncoderOutput};

/// A transcript with times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// Code of the language.
    pub language: String,
    /// Text of all segments.
    pub text: String,
    /// Pieces in the order of time.
    pub segments: Vec<Segment>,
}

/// How far a transcription is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Segments that the last window gave.
    pub segments: &'a [Segment],
    /// Seconds of the recording that are done.
    pub done: f64,
}

impl Transcriber<'_> {
    /// Transcribes a recording, each window beginning where the last one's speech ended.
    ///
    /// `regions` are the parts to hear, in seconds and ascending, as a voice activity detector
    /// finds them; none of them: all. A window never reaches across the end of a region. `watch`
    /// is called after each window.
    ///
    /// # Errors
    ///
    /// Errors of `source`, and those of [`decode`](Self::decode).
    ///
    /// # Source
    ///
    /// `transcribe` of openai-whisper 20250625, with `clip_timestamps` for `regions`; segments
    /// without text are left out.
    pub fn transcribe<S: LogMelSource>(
        &self,
        ctx: &Context,
        source: &mut S,
        regions: &[Range<f64>],
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Transcript, S::Error> {
        let regions = frames_of(regions, source.n_frames());
        let longest = 2 * self.model.config.max_source_positions;
        let mut history = History::new(self.initial_prompt()?);
        let mut last_speech = 0.0;
        let mut transcript =
            Transcript { language: self.language_or_unknown(), ..Transcript::default() };
        for region in regions {
            let mut seek = region.start;
            while seek < region.end {
                let n_frames = longest.min(region.end - seek);
                let memory = self.encode(ctx, source.window(seek, n_frames)?)?;
                let mut result = self.decode(
                    ctx,
                    &memory,
                    &[WindowContext {
                        language: Some(transcript.language.clone()).filter(|l| !l.is_empty()),
                        previous_ids: history.told().to_vec(),
                        stream: seek as u64,
                    }],
                )?;
                let result = result.swap_remove(0);
                // The first window decides on the language of all.
                transcript.language.clone_from(&result.language);
                let first_new = transcript.segments.len();
                if self.is_silent(&result) {
                    seek += n_frames;
                } else {
                    let cuts = cut(result.ids(), n_frames, &self.tokens);
                    let mut segments = self.segments(seek, &cuts, &result)?;
                    // A window whose only pair is at its very start would be heard for ever.
                    let mut next = seek + if cuts.advance == 0 { n_frames } else { cuts.advance };
                    if self.options.word_timestamps {
                        let language = &result.language;
                        let parts = &mut segments;
                        self.attach_words(ctx, &memory, parts, n_frames, language, last_speech)?;
                        last_speech = end_of(&segments).unwrap_or(last_speech);
                        let frame = (last_speech * FRAMES_PER_SECOND).round() as usize;
                        if !cuts.single_end && frame > seek {
                            next = frame;
                        }
                    }
                    segments.retain(Segment::says_something);
                    history.hear(&segments, self.forgets(&result));
                    transcript.segments.extend(segments);
                    seek = next;
                }
                watch(Progress {
                    segments: &transcript.segments[first_new..],
                    done: seek.min(region.end) as f64 / FRAMES_PER_SECOND,
                });
            }
        }
        transcript.text = transcript.segments.iter().map(|s| s.text.as_str()).collect();
        Ok(transcript)
    }

    /// What the encoder makes of one window.
    pub(super) fn encode(&self, ctx: &Context, window: LogMelWindow) -> Result<EncoderOutput> {
        let LogMelWindow { input_features, n_frames } = window;
        let frame_lengths = [n_frames];
        let input = EncoderInput {
            frame_lengths: Some(&frame_lengths),
            ..EncoderInput::new(&input_features)
        };
        self.model.encode(ctx, &input)
    }

    fn initial_prompt(&self) -> Result<Vec<u32>> {
        match &self.options.initial_prompt {
            Some(text) => self.tokenizer.encode(&format!(" {}", text.trim()), false),
            None => Ok(Vec::new()),
        }
    }

    fn language_or_unknown(&self) -> String {
        self.options.language.clone().unwrap_or_default()
    }

    fn is_silent(&self, result: &WindowResult) -> bool {
        let silent = self.options.no_speech_threshold.is_some_and(|t| result.no_speech_prob > t);
        let sure = self.options.logprob_threshold.is_some_and(|t| result.avg_logprob > t);
        silent && !sure
    }

    /// Whether later windows are not told what came until now: text drawn at a high temperature
    /// leads them astray.
    fn forgets(&self, result: &WindowResult) -> bool {
        !self.options.condition_on_previous_text || result.temperature > 0.5
    }
}

/// What windows are told of the text before them.
struct History {
    ids: Vec<u32>,
    /// Tokens before are not told any more.
    since: usize,
}

impl History {
    fn new(initial_prompt: Vec<u32>) -> Self {
        Self { ids: initial_prompt, since: 0 }
    }

    fn told(&self) -> &[u32] {
        &self.ids[self.since..]
    }

    fn hear(&mut self, segments: &[Segment], forget: bool) {
        self.ids.extend(segments.iter().flat_map(|segment| &segment.ids));
        if forget {
            self.since = self.ids.len();
        }
    }
}

/// End of the last word, else of the last segment.
fn end_of(segments: &[Segment]) -> Option<f64> {
    let words = segments.iter().rev().find_map(|segment| segment.words.last());
    words.map(|word| word.end).or_else(|| segments.last().map(|segment| segment.end))
}

/// Regions in frames within the recording, empty ones left out.
fn frames_of(regions: &[Range<f64>], n_frames: usize) -> Vec<Range<usize>> {
    // Values below zero and NaN become zero.
    let frame = |seconds: f64| ((seconds * FRAMES_PER_SECOND).round() as usize).min(n_frames);
    let all = [0.0..n_frames as f64 / FRAMES_PER_SECOND];
    let regions = if regions.is_empty() { &all[..] } else { regions };
    regions.iter().map(|r| frame(r.start)..frame(r.end)).filter(|r| !r.is_empty()).collect()
}
