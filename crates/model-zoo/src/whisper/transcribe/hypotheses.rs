//! What each of several hypotheses of a window says, and when.

use tensor_core::Context;

use super::compression::compression_ratio;
use super::segment::{Cut, Segment, cut};
use super::source::FRAMES_PER_SECOND;
use super::transcriber::Transcriber;
use super::window::WindowResult;
use crate::decoding::Hypothesis;
use crate::error::Result;
use crate::whisper::{EncoderOutput, SECONDS_PER_TIMESTAMP};

impl Transcriber<'_> {
    /// Segments of every hypothesis of `result`, in their order: what was decoded of the one window
    /// that `memory` holds, of which `n_frames` are speech. With words where the options ask for
    /// them. Text behind the last timestamp, which a next window would hear again, lasts to the end.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](crate::ErrorKind::Tokenizer) when the decoder of `tokenizer.json` fails; errors
    /// of the model.
    pub fn segments_of_hypotheses(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        result: &WindowResult,
        n_frames: usize,
    ) -> Result<Vec<Vec<Segment>>> {
        let segments = |found: &Hypothesis| {
            let text = self.text(&found.ids)?.trim().to_owned();
            let own = WindowResult {
                avg_logprob: found.sum_logprob / (found.ids.len() + 1) as f64,
                compression_ratio: compression_ratio(&text),
                text,
                ..result.clone()
            };
            let mut cuts = cut(&found.ids, n_frames, &self.tokens);
            let rest = &found.ids[cuts.segments.iter().map(|cut| cut.ids.len()).sum::<usize>()..];
            if let Some(&first) = rest.first() {
                let last_end = cuts.segments.last().map_or(0.0, |cut| cut.end);
                let said = self.tokens.timestamp(first).map(|k| k as f64 * SECONDS_PER_TIMESTAMP);
                let start = said.unwrap_or(last_end);
                let end = (n_frames as f64 / FRAMES_PER_SECOND).max(start);
                cuts.segments.push(Cut { ids: rest, start, end });
            }
            let mut segments = self.segments(0, &cuts, &own)?;
            if self.options.word_timestamps {
                let language = &result.language;
                self.attach_words(ctx, memory, &mut segments, n_frames, language, 0.0)?;
            }
            segments.retain(Segment::says_something);
            Ok(segments)
        };
        result.n_best.iter().map(segments).collect()
    }
}
