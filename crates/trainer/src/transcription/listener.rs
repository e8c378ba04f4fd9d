//! A model with everything it takes to hear sound.

use anyhow::{Context as _, bail, ensure};
use audio_frontend::LogMel;
use audio_frontend::log_mel::HOP_LENGTH;
use model_zoo::Tokenizer;
use model_zoo::whisper::{
    ChunkOptions, EncoderInput, Segment, Transcriber, Transcript, Whisper, WindowContext,
    WindowResult,
};
use tensor_core::{Context, Tensor};

use super::recording::{Clips, WholeRecording, speech_regions};
use super::{Heard, Mode, Options, Scored};
use crate::dataset::audio::{SAMPLE_RATE, Window};
use crate::manifest::Utterance;

/// Hears sound as the options say.
pub(super) struct Listener<'a> {
    options: &'a Options,
    model: &'a Whisper,
    transcriber: Transcriber<'a>,
    /// What each clip is told came before it.
    initial_prompt: Vec<u32>,
    window: Window,
    log_mel: LogMel,
    ctx: Context,
}

impl<'a> Listener<'a> {
    pub(super) fn new(
        options: &'a Options,
        model: &'a Whisper,
        tokenizer: &'a Tokenizer,
    ) -> anyhow::Result<Self> {
        let transcriber = Transcriber::new(model, tokenizer, options.decode.clone())
            .with_context(|| options.model.display().to_string())?;
        ensure!(
            options.decode.without_timestamps || transcriber.has_timestamps(),
            "{}: the vocabulary has no timestamps, which --timestamps, --word-timestamps and \
             --format srt, vtt and tsv need (hint: leave them out; --chunked and --vad cut long \
             recordings without)",
            options.model.display()
        );
        let initial_prompt = match &options.decode.initial_prompt {
            Some(text) => tokenizer.encode(&format!(" {}", text.trim()), false)?,
            None => Vec::new(),
        };
        Ok(Self {
            options,
            model,
            transcriber,
            initial_prompt,
            window: Window::of_folder(&options.model, &model.config)?,
            log_mel: LogMel::new(model.config.num_mel_bins),
            ctx: Context::eval(),
        })
    }

    /// Hears clips together, each in a window of its own.
    pub(super) fn clips(
        &self,
        utterances: &[Utterance],
        clips: &[Vec<f32>],
    ) -> anyhow::Result<Vec<Heard>> {
        let (mut features, mut lengths) = (Vec::new(), Vec::new());
        for (utterance, samples) in utterances.iter().zip(clips) {
            let (mel, n_frames) = self.features(samples).with_context(|| name(utterance))?;
            features.push(mel);
            lengths.push(n_frames);
        }
        let features = pad_frames(&features)?;
        let input = EncoderInput { frame_lengths: Some(&lengths), ..EncoderInput::new(&features) };
        let memory = self.model.encode(&self.ctx, &input)?;
        let contexts: Vec<WindowContext> = utterances
            .iter()
            .map(|_| WindowContext {
                previous_ids: self.initial_prompt.clone(),
                ..WindowContext::default()
            })
            .collect();
        let results = self.transcriber.decode(&self.ctx, &memory, &contexts)?;
        results.into_iter().zip(clips).map(|(result, clip)| self.heard(result, clip)).collect()
    }

    /// Hears a clip alone, with the times of every hypothesis.
    pub(super) fn timed_clip(
        &self,
        utterance: &Utterance,
        samples: &[f32],
    ) -> anyhow::Result<Heard> {
        let (features, n_frames) = self.features(samples).with_context(|| name(utterance))?;
        let lengths = [n_frames];
        let input = EncoderInput { frame_lengths: Some(&lengths), ..EncoderInput::new(&features) };
        let memory = self.model.encode(&self.ctx, &input)?;
        let context =
            WindowContext { previous_ids: self.initial_prompt.clone(), ..WindowContext::default() };
        let result = self.transcriber.decode(&self.ctx, &memory, &[context])?.swap_remove(0);
        // Beyond the sound there is silence, which has no words.
        let n_frames = n_frames.min(samples.len().div_ceil(HOP_LENGTH));
        let transcriber = &self.transcriber;
        let timed = transcriber.segments_of_hypotheses(&self.ctx, &memory, &result, n_frames)?;
        let segments = timed.first().cloned().unwrap_or_default();
        let mut heard = self.heard(result, samples)?;
        heard.transcript.text = segments.iter().map(|segment| segment.text.as_str()).collect();
        heard.transcript.segments = segments;
        for (scored, segments) in heard.n_best.iter_mut().zip(timed) {
            scored.segments = segments;
        }
        Ok(heard)
    }

    fn features(&self, samples: &[f32]) -> anyhow::Result<(Tensor, usize)> {
        let (seconds, longest) = (seconds(samples.len()), seconds(self.window.n_samples()));
        ensure!(
            seconds <= longest,
            "clip has {seconds:.1} s, expected at most {longest:.1} s, the model's window (hint: {})",
            self.longer_than_a_window()
        );
        self.window.features(&self.log_mel, samples)
    }

    /// What to do with sound that is longer than a window.
    fn longer_than_a_window(&self) -> &'static str {
        if self.options.has_timed_clips() {
            return "hypotheses of several windows are not joined: leave --n-best out, or cut clips \
                    with offset and duration";
        }
        let begin = self.transcriber.special_tokens().timestamp_begin();
        if begin.is_some_and(|id| (id as usize) < self.model.config.vocab_size) {
            "--timestamps hears it window after window, --chunked SECONDS in chunks"
        } else {
            "--chunked SECONDS hears it in chunks"
        }
    }

    /// A window as a transcript of one segment.
    fn heard(&self, result: WindowResult, samples: &[f32]) -> anyhow::Result<Heard> {
        let seconds = seconds(samples.len());
        let mut n_best = Vec::new();
        if self.options.n_best > 1 {
            for found in result.n_best.iter().take(self.options.n_best) {
                n_best.push(Scored {
                    text: self.transcriber.text(&found.ids)?.trim().to_owned(),
                    score: found.score,
                    sum_logprob: found.sum_logprob,
                    segments: Vec::new(),
                });
            }
        }
        let segment = Segment {
            seek: 0,
            start: 0.0,
            end: seconds,
            text: self.transcriber.text(result.ids())?,
            ids: result.ids().to_vec(),
            temperature: result.temperature,
            avg_logprob: result.avg_logprob,
            compression_ratio: result.compression_ratio,
            no_speech_prob: result.no_speech_prob,
            words: Vec::new(),
        };
        let (language, text) = (result.language, segment.text.clone());
        let transcript = Transcript { language, text, segments: vec![segment] };
        Ok(Heard { transcript, n_best, seconds })
    }

    /// Hears a recording of any length; `watch` is told how many seconds are done.
    pub(super) fn recording(
        &self,
        utterance: &Utterance,
        samples: &[f32],
        watch: &mut dyn FnMut(f64),
    ) -> anyhow::Result<Heard> {
        let transcript = match self.options.mode {
            Mode::Chunks { seconds } => self.chunks(samples, seconds, watch),
            mode => self.windows(samples, mode == Mode::Windows { vad: true }, watch),
        };
        let transcript = transcript.with_context(|| name(utterance))?;
        Ok(Heard { transcript, n_best: Vec::new(), seconds: seconds(samples.len()) })
    }

    fn chunks(
        &self,
        samples: &[f32],
        seconds: f64,
        watch: &mut dyn FnMut(f64),
    ) -> anyhow::Result<Transcript> {
        let chunks = ChunkOptions {
            chunk_length_s: seconds,
            batch_size: self.options.batch,
            ..ChunkOptions::default()
        };
        let mut source = Clips { log_mel: &self.log_mel, window: self.window, samples };
        self.transcriber.transcribe_chunked(&self.ctx, &mut source, &chunks, &mut |progress| {
            watch(progress.done);
        })
    }

    fn windows(
        &self,
        samples: &[f32],
        vad: bool,
        watch: &mut dyn FnMut(f64),
    ) -> anyhow::Result<Transcript> {
        let regions = if vad { speech_regions(samples) } else { Vec::new() };
        if vad && regions.is_empty() {
            // No region at all would stand for the whole recording.
            return Ok(Transcript::default());
        }
        if !self.transcriber.has_timestamps() {
            // Without timestamps nobody knows where a sentence that a window cuts begins.
            let longest = seconds(self.window.n_samples());
            if let Some(long) = regions.iter().find(|r| r.end - r.start > longest) {
                bail!(
                    "speech goes on for {:.1} s from {:.1} s, expected at most {longest:.1} s, the \
                     model's window (hint: {})",
                    long.end - long.start,
                    long.start,
                    self.longer_than_a_window()
                );
            }
        }
        let mut source = WholeRecording::new(&self.log_mel, self.window, samples);
        self.transcriber.transcribe(&self.ctx, &mut source, &regions, &mut |progress| {
            watch(progress.done);
        })
    }
}

fn seconds(n_samples: usize) -> f64 {
    n_samples as f64 / f64::from(SAMPLE_RATE)
}

fn name(utterance: &Utterance) -> String {
    format!("{}: utterance `{}`", utterance.place, utterance.id)
}

/// Joins `(1, F, T)` features, padded with NaN to the longest.
fn pad_frames(features: &[Tensor]) -> anyhow::Result<Tensor> {
    let longest = features.iter().map(|f| f.shape()[2]).max().unwrap_or(0);
    let padded = features
        .iter()
        .map(|f| {
            let missing = longest - f.shape()[2];
            let nan = Tensor::full(&[1, f.shape()[1], missing], f64::NAN, f.dtype(), f.device())?;
            Ok(Tensor::cat(&[f, &nan], 2)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&padded.iter().collect::<Vec<_>>(), 0)?)
}
