//! Our side of transcription: sound to text by a Whisper folder.

use std::path::Path;

use anyhow::Context as _;
use audio_frontend::LogMel;
use audio_frontend::log_mel::HOP_LENGTH;
use model_zoo::decoding::{BeamSearch, Strategy};
use model_zoo::whisper::{
    DecodeOptions, EncoderInput, LogMelSource, LogMelWindow, Prompt, Segment, Transcriber, Whisper,
    WhisperGenerateOptions, prompt_ids,
};
use model_zoo::{LoadOptions, Tokenizer, WeightForm};
use tensor_core::{Context, Device, Tensor};

/// Samples of the published models' window.
const WINDOW: usize = 480_000;

/// A model that hears windows of 30 s.
pub(super) struct Ear {
    model: Whisper,
    tokenizer: Tokenizer,
    log_mel: LogMel,
    options: WhisperGenerateOptions,
    beam: usize,
    ctx: Context,
}

impl Ear {
    pub(super) fn open(dir: &Path, weights: WeightForm, beam: usize) -> anyhow::Result<Self> {
        let model = Whisper::open(dir, LoadOptions { weights, ..LoadOptions::default() })?;
        let tokenizer = Tokenizer::open(dir)?;
        let mut options = model.generate_options(prompt_ids(&tokenizer, Prompt::default())?);
        if beam > 1 {
            let search = BeamSearch { num_beams: beam, ..BeamSearch::default() };
            options.strategy = Strategy::Beam(search);
        }
        let log_mel = LogMel::new(model.config.num_mel_bins);
        Ok(Self { model, tokenizer, log_mel, options, beam, ctx: Context::eval() })
    }

    /// Texts of clips that are decoded together, without times.
    pub(super) fn clips(&self, clips: &[Vec<f32>]) -> anyhow::Result<Vec<String>> {
        let n_mels = self.model.config.num_mel_bins;
        let mut features = Vec::new();
        for clip in clips {
            features.extend(self.log_mel.compute_padded(clip, WINDOW).data);
        }
        let shape = [clips.len(), n_mels, WINDOW / HOP_LENGTH];
        let features = Tensor::from_vec(features, &shape, Device::Cpu)?;
        let memory = self.model.encode(&self.ctx, &EncoderInput::new(&features))?;
        let found = self.model.generate(&self.ctx, &memory, &self.options)?;
        let text = |list: &Vec<model_zoo::decoding::Hypothesis>| {
            let best = list.first().context("no hypothesis")?;
            Ok(self.tokenizer.decode(&best.ids, true)?.trim().to_owned())
        };
        found.iter().map(text).collect()
    }

    /// Segments with times of a recording of any length, by the defaults of openai-whisper.
    pub(super) fn recording(&self, samples: &[f32]) -> anyhow::Result<Vec<Segment>> {
        let options = DecodeOptions {
            language: Some("en".to_owned()),
            beam_size: (self.beam > 1).then_some(self.beam),
            ..DecodeOptions::default()
        };
        let transcriber = Transcriber::new(&self.model, &self.tokenizer, options)?;
        let mut source = Recording {
            // Silence follows the end, as in openai-whisper.
            features: self.log_mel.compute_padded(samples, samples.len() + WINDOW),
            n_frames: samples.len() / HOP_LENGTH,
        };
        let heard = transcriber.transcribe(&self.ctx, &mut source, &[], &mut |_| {})?;
        Ok(heard.segments)
    }
}

/// Windows of a recording that end in zeros where it does.
struct Recording {
    features: audio_frontend::Features,
    n_frames: usize,
}

impl LogMelSource for Recording {
    type Error = anyhow::Error;

    fn n_frames(&self) -> usize {
        self.n_frames
    }

    fn window(&mut self, seek: usize, len: usize) -> anyhow::Result<LogMelWindow> {
        let (n_mels, n_frames) = (self.features.n_mels, WINDOW / HOP_LENGTH);
        let mut values = Vec::with_capacity(n_mels * n_frames);
        for band in 0..n_mels {
            values.extend(&self.features.band(band)[seek..seek + len]);
            values.resize((band + 1) * n_frames, 0.0);
        }
        let input_features = Tensor::from_vec(values, &[1, n_mels, n_frames], Device::Cpu)?;
        Ok(LogMelWindow { input_features, n_frames })
    }
}
