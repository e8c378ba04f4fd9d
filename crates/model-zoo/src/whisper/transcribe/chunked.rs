//! Recordings of any length in overlapping chunks, which are decoded together and joined.

use tensor_core::{Context, DType, Tensor};

use super::merge::{ChunkTokens, join};
use super::segment::Segment;
use super::sequential::{Progress, Transcript};
use super::source::{FRAMES_PER_SECOND, LogMelSource, LogMelWindow};
use super::transcriber::Transcriber;
use super::window::{WindowContext, WindowResult};
use super::words::TokenTime;
use crate::error::{Result, ZooError};
use crate::whisper::{EncoderInput, EncoderOutput};

/// How a recording is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkOptions {
    /// Length of a chunk in seconds; at most the model's window.
    pub chunk_length_s: f64,
    /// Seconds at a chunk's start and at its end that its neighbours hear too; together less than
    /// the chunk. `None` takes a sixth of the chunk for each.
    pub stride_length_s: Option<(f64, f64)>,
    /// Chunks decoded together; the transcript does not depend on it.
    pub batch_size: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { chunk_length_s: 30.0, stride_length_s: None, batch_size: 8 }
    }
}

/// A chunk in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    seek: usize,
    n_frames: usize,
    stride_left: usize,
    stride_right: usize,
}

impl ChunkOptions {
    /// The chunks of a recording, as `chunk_iter` of `transformers` cuts it.
    fn cut(&self, n_frames: usize, longest: usize) -> Result<Vec<Chunk>> {
        let frames = |seconds: f64| (seconds * FRAMES_PER_SECOND).round() as usize;
        let sixth = self.chunk_length_s / 6.0;
        let (left, right) = self.stride_length_s.unwrap_or((sixth, sixth));
        let (length, left, right) = (frames(self.chunk_length_s), frames(left), frames(right));
        if length > longest || left + right >= length {
            let seconds = longest as f64 / FRAMES_PER_SECOND;
            let detail = format!(
                "chunk_length_s is {} with strides of {left} and {right} frames, expected at most \
                 {seconds} and shorter strides",
                self.chunk_length_s
            );
            let hint = "the model's window bounds a chunk";
            return Err(ZooError::option("chunked transcription", detail).hint(hint));
        }
        let mut chunks = Vec::new();
        for seek in (0..n_frames).step_by(length - left - right) {
            let is_last = seek + length >= n_frames;
            let chunk = Chunk {
                seek,
                n_frames: length.min(n_frames - seek),
                stride_left: if seek == 0 { 0 } else { left },
                stride_right: if is_last { 0 } else { right },
            };
            // One that its neighbour heard whole has nothing to add.
            if chunk.n_frames > chunk.stride_left {
                chunks.push(chunk);
            }
            if is_last {
                break;
            }
        }
        Ok(chunks)
    }
}

impl Transcriber<'_> {
    /// Transcribes a recording in overlapping chunks, several at a time: faster than
    /// [`transcribe`](Self::transcribe) where batches are, but no chunk is told what came before.
    ///
    /// Without timestamps the transcript is one segment. Words have the times of the chunk that
    /// was believed. `watch` is called after each batch, with no segments before the last.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when chunks are longer than the model's window or
    /// all overlap; errors of `source`, and those of [`decode`](Self::decode).
    ///
    /// # Source
    ///
    /// The pipeline of `transformers` 5.23 with `chunk_length_s`.
    pub fn transcribe_chunked<S: LogMelSource>(
        &self,
        ctx: &Context,
        source: &mut S,
        options: &ChunkOptions,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Transcript, S::Error> {
        let n_frames = source.n_frames();
        let chunks = options.cut(n_frames, 2 * self.model.config.max_source_positions)?;
        let mut results = Vec::new();
        // Of each chunk's text tokens, where words are to have times.
        let mut times = Vec::new();
        let mut transcript = Transcript::default();
        let batches: Vec<&[Chunk]> = chunks.chunks(options.batch_size.max(1)).collect();
        for (k, batch) in batches.iter().enumerate() {
            let windows = batch
                .iter()
                .map(|chunk| source.window(chunk.seek, chunk.n_frames))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            let memory = self.encode_batch(ctx, &windows)?;
            let contexts: Vec<WindowContext> = batch
                .iter()
                .map(|chunk| WindowContext {
                    stream: chunk.seek as u64,
                    ..WindowContext::default()
                })
                .collect();
            let decoded = self.decode(ctx, &memory, &contexts)?;
            if self.options.word_timestamps {
                for (item, (chunk, result)) in batch.iter().zip(&decoded).enumerate() {
                    let (ids, language) = (self.tokens.text_of(result.ids()), &result.language);
                    let memory = memory.item(item).map_err(ZooError::from)?;
                    times.push(self.token_times(ctx, &memory, &ids, chunk.n_frames, language)?);
                }
            }
            results.extend(decoded);
            let heard = batch.last().map_or(n_frames, |chunk| chunk.seek + chunk.n_frames);
            if k + 1 == batches.len() {
                transcript = self.joined(&chunks, &results, &times, n_frames)?;
            }
            let done = heard as f64 / FRAMES_PER_SECOND;
            watch(Progress { segments: &transcript.segments, done });
        }
        Ok(transcript)
    }

    fn encode_batch(&self, ctx: &Context, windows: &[LogMelWindow]) -> Result<EncoderOutput> {
        let extent = |window: &LogMelWindow| window.input_features.shape().get(2).copied();
        let longest = windows.iter().filter_map(extent).max().unwrap_or(0);
        let mut features = Vec::with_capacity(windows.len());
        for LogMelWindow { input_features, .. } in windows {
            let missing = longest - input_features.shape().get(2).copied().unwrap_or(longest);
            let mut shape = input_features.shape().to_vec();
            if missing == 0 {
                features.push(input_features.clone());
                continue;
            }
            shape[2] = missing;
            let nan = Tensor::full(&shape, f64::NAN, DType::F32, input_features.device())?;
            features.push(Tensor::cat(&[input_features, &nan], 2)?);
        }
        let features = Tensor::cat(&features.iter().collect::<Vec<_>>(), 0)?;
        let lengths: Vec<usize> = windows.iter().map(|window| window.n_frames).collect();
        let input = EncoderInput { frame_lengths: Some(&lengths), ..EncoderInput::new(&features) };
        self.model.encode(ctx, &input)
    }

    fn joined(
        &self,
        chunks: &[Chunk],
        results: &[WindowResult],
        times: &[Vec<TokenTime>],
        n_frames: usize,
    ) -> Result<Transcript> {
        let seconds = |frames: usize| frames as f64 / FRAMES_PER_SECOND;
        let tokens: Vec<ChunkTokens<'_>> = chunks
            .iter()
            .zip(results)
            .map(|(chunk, result)| ChunkTokens {
                ids: result.ids(),
                length: seconds(chunk.n_frames),
                stride_left: seconds(chunk.stride_left),
                stride_right: seconds(chunk.stride_right),
            })
            .collect();
        let mut transcript = Transcript::default();
        let offsets: Vec<f64> = chunks.iter().map(|chunk| seconds(chunk.seek)).collect();
        let mut earlier = 0.0;
        let mut last_word = 0.0;
        for piece in join(&tokens, &self.tokens) {
            let result = &results[piece.chunk];
            let ids: Vec<u32> = piece.tokens.iter().map(|token| token.id).collect();
            let text = self.text(&ids)?;
            let words = match times.is_empty() {
                true => Vec::new(),
                false => self.words_of_chunks(
                    &piece.tokens,
                    times,
                    &offsets,
                    &result.language,
                    last_word,
                )?,
            };
            last_word = words.last().map_or(last_word, |word| word.end);
            let start = piece.start.unwrap_or(earlier);
            let end = piece.end.unwrap_or(seconds(n_frames)).max(start);
            earlier = end;
            transcript.text.push_str(&text);
            transcript.segments.push(Segment {
                seek: chunks[piece.chunk].seek,
                start,
                end,
                text,
                ids,
                temperature: result.temperature,
                avg_logprob: result.avg_logprob,
                compression_ratio: result.compression_ratio,
                no_speech_prob: result.no_speech_prob,
                words,
            });
        }
        transcript.language = results.first().map(|r| r.language.clone()).unwrap_or_default();
        Ok(transcript)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_overlap_and_cover_the_recording() {
        let options =
            ChunkOptions { chunk_length_s: 10.0, stride_length_s: Some((2.0, 1.0)), batch_size: 1 };
        let cut = |n_frames| -> Vec<[usize; 4]> {
            let chunks = options.cut(n_frames, 3000).unwrap();
            let all = |c: &Chunk| [c.seek, c.n_frames, c.stride_left, c.stride_right];
            chunks.iter().map(all).collect()
        };
        assert_eq!(cut(900), [[0, 900, 0, 0]]);
        assert_eq!(cut(1001), [[0, 1000, 0, 100], [700, 301, 200, 0]]);
        assert_eq!(cut(1700), [[0, 1000, 0, 100], [700, 1000, 200, 0]]);
        assert!(cut(0).is_empty());
    }

    #[test]
    fn chunks_that_do_not_fit_are_refused() {
        let refuse = |chunk_length_s, stride_length_s| {
            let options = ChunkOptions { chunk_length_s, stride_length_s, batch_size: 1 };
            options.cut(5000, 3000).unwrap_err().to_string()
        };
        assert_eq!(
            refuse(31.0, Some((1.0, 1.0))),
            "chunked transcription: chunk_length_s is 31 with strides of 100 and 100 frames, \
             expected at most 30 and shorter strides (hint: the model's window bounds a chunk)"
        );
        assert!(refuse(10.0, Some((5.0, 5.0))).contains("500 and 500 frames"));
    }
}
