//! The frozen speech encoder: hidden states of a clip, from HuBERT, wav2vec 2.0 or Whisper.

use std::path::Path;

use anyhow::{bail, ensure};
use audio_frontend::LogMel;
use model_zoo::hubert::{Hubert, HubertInput, Preprocessor};
use model_zoo::whisper::{EncoderInput, Whisper, WhisperConfig, WhisperEncoder};
use model_zoo::{LoadOptions, ModelKind};
use tensor_core::{Context, Device, Tensor};

use crate::dataset::audio::{SAMPLE_RATE, Window};
use crate::recipe::EncoderLayer;

/// Samples of audio behind one state of Whisper: two hops of the front end.
const SAMPLES_PER_STATE: usize = 320;

/// A speech encoder of any family.
pub struct SpeechEncoder {
    model: Model,
    layer: EncoderLayer,
}

enum Model {
    Hubert {
        model: Box<Hubert>,
        preprocessor: Preprocessor,
    },
    Whisper {
        encoder: Box<WhisperEncoder>,
        config: Box<WhisperConfig>,
        log_mel: LogMel,
        window: Window,
    },
}

impl SpeechEncoder {
    /// Opens the encoder of a model folder.
    ///
    /// # Errors
    ///
    /// When the folder holds no speech model, and as opening it.
    pub fn open(dir: &Path, layer: EncoderLayer) -> anyhow::Result<Self> {
        let options = LoadOptions::default();
        let model = match ModelKind::detect(dir)? {
            ModelKind::Hubert | ModelKind::Wav2Vec2 => {
                let model = Hubert::open(dir, options)?;
                let preprocessor = Preprocessor::open(dir)?;
                let rate = preprocessor.sampling_rate;
                ensure!(
                    rate == SAMPLE_RATE,
                    "{}: sampling_rate is {rate} Hz, expected {SAMPLE_RATE}",
                    dir.display()
                );
                model.parameters().vars().for_each(|var| var.set_trainable(false));
                Model::Hubert { model: Box::new(model), preprocessor }
            }
            ModelKind::Whisper => {
                let (config, encoder, parameters) = Whisper::open_encoder(dir, options)?;
                parameters.vars().for_each(|var| var.set_trainable(false));
                let window = Window::of_folder(dir, &config)?;
                let log_mel = LogMel::new(config.num_mel_bins);
                Model::Whisper {
                    encoder: Box::new(encoder),
                    config: Box::new(config),
                    log_mel,
                    window,
                }
            }
            ModelKind::Bert | ModelKind::Llama => bail!(
                "encoder.dir: {} holds a text model, expected HuBERT, wav2vec 2.0 or Whisper",
                dir.display()
            ),
        };
        let encoder = Self { model, layer };
        if let EncoderLayer::Index(index) = layer {
            let last = encoder.n_layers();
            ensure!(index <= last, "encoder.layer: state {index}, expected 0 to {last}");
        }
        Ok(encoder)
    }

    /// Width of a state.
    pub fn width(&self) -> usize {
        match &self.model {
            Model::Hubert { model, .. } => model.config.hidden_size,
            Model::Whisper { config, .. } => config.d_model,
        }
    }

    /// States of each frame that are read: one, or all for a learned average.
    pub fn n_states(&self) -> usize {
        match self.layer {
            EncoderLayer::Weighted => self.n_layers() + 1,
            EncoderLayer::Last | EncoderLayer::Index(_) => 1,
        }
    }

    fn n_layers(&self) -> usize {
        match &self.model {
            Model::Hubert { model, .. } => model.config.num_hidden_layers,
            Model::Whisper { config, .. } => config.encoder_layers,
        }
    }

    /// Frames of a clip of `samples` samples; 0 where it is too short for one.
    pub fn frames(&self, samples: usize) -> usize {
        match &self.model {
            Model::Hubert { model, .. } => match samples < model.config.receptive_field() {
                true => 0,
                false => model.config.frame_length(samples),
            },
            Model::Whisper { .. } => samples.div_ceil(SAMPLES_PER_STATE),
        }
    }

    /// Samples from one frame to the next.
    pub fn samples_per_frame(&self) -> usize {
        match &self.model {
            Model::Hubert { model, .. } => model.config.conv_stride.iter().product(),
            Model::Whisper { .. } => SAMPLES_PER_STATE,
        }
    }

    /// States `(n_states, F, width)` of a clip, mono at 16 kHz. Gradients do not flow; whether
    /// dropout is drawn `ctx` says.
    ///
    /// # Errors
    ///
    /// When the clip is shorter than a frame or longer than the encoder's window.
    pub fn states(&self, ctx: &Context, samples: &[f32]) -> anyhow::Result<Tensor> {
        let frames = self.frames(samples.len());
        ensure!(
            frames > 0,
            "clip has {} samples, expected enough for a frame of the encoder (hint: \
             data.min_duration_s)",
            samples.len()
        );
        let output_hidden_states = self.layer != EncoderLayer::Last;
        let (last, all) = match &self.model {
            Model::Hubert { model, preprocessor } => {
                let (values, lengths) = preprocessor.batch(&[samples], Device::Cpu)?;
                let input = HubertInput::with_lengths(&values, &lengths);
                let output = model.forward(ctx, &HubertInput { output_hidden_states, ..input })?;
                (output.last_hidden_state, output.hidden_states)
            }
            Model::Whisper { encoder, log_mel, window, .. } => {
                let (features, n_frames) = window.features(log_mel, samples)?;
                let lengths = [n_frames];
                let input = EncoderInput {
                    output_hidden_states,
                    frame_lengths: Some(&lengths),
                    ..EncoderInput::new(&features)
                };
                let output = encoder.forward(ctx, &input)?;
                (output.last_hidden_state, output.hidden_states)
            }
        };
        let states = match self.layer {
            EncoderLayer::Last => last,
            EncoderLayer::Index(index) => all[index].clone(),
            EncoderLayer::Weighted => Tensor::cat(&all.iter().collect::<Vec<_>>(), 0)?,
        };
        let valid = frames.min(states.shape()[1]);
        Ok(states.narrow(1, 0, valid)?.detach().contiguous()?)
    }
}
