//! Whisper as a whole: encoder, decoder and what a folder says about decoding.

use std::path::Path;

use tensor_core::{Context, DType, Tensor};

use super::config::WhisperConfig;
use super::decoder::{DecoderInput, WhisperDecoder};
use super::encoder::{EncoderInput, EncoderOutput, WhisperEncoder};
use super::generation_config::GenerationConfig;
use crate::error::Result;
use crate::folder::ModelFolder;
use crate::json;
use crate::weights::{Builder, LoadOptions, NameRules, Parameters};

/// `WhisperForConditionalGeneration`: speech in, transcript logits out.
#[derive(Debug, Clone)]
pub struct Whisper {
    /// Dimensions.
    pub config: WhisperConfig,
    /// Constants of decoding.
    pub generation: GenerationConfig,
    /// Speech encoder.
    pub encoder: WhisperEncoder,
    /// Text decoder.
    pub decoder: WhisperDecoder,
    parameters: Parameters,
}

impl Whisper {
    /// Builds the model from `root`, the root of a folder or a generator.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself. Mismatches with
    /// a folder are reported by [`Builder::finish`].
    pub fn new(root: &Builder, config: &WhisperConfig) -> Result<Self> {
        let mark = root.mark();
        let encoder = WhisperEncoder::new(&root.scope("model.encoder"), config)?;
        let decoder = WhisperDecoder::new(root, config)?;
        Ok(Self {
            config: config.clone(),
            generation: GenerationConfig::from_config(config),
            encoder,
            decoder,
            parameters: root.made_since(mark),
        })
    }

    /// Opens a Hugging Face folder.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or, listing every
    /// tensor that does not fit, [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = WhisperConfig::open(dir)?;
        let rules = NameRules::whisper();
        let mut model = Builder::open_model(dir, rules, options, |root| Self::new(root, &config))?;
        model.generation = GenerationConfig::open(dir, &config)?;
        Ok(model)
    }

    /// Opens the encoder of a folder and leaves its decoder unread.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_encoder(
        dir: &Path,
        options: LoadOptions,
    ) -> Result<(WhisperConfig, WhisperEncoder, Parameters)> {
        let config = WhisperConfig::open(dir)?;
        let root = Builder::from_folder(dir, NameRules::whisper_encoder(), options)?;
        let encoder = WhisperEncoder::new(&root.scope("model.encoder"), &config)?;
        Ok((config, encoder, root.finish()?))
    }

    /// Parameters by name, the tied output projection once.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sets activation checkpointing for both stacks.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.encoder.set_gradient_checkpointing(on);
        self.decoder.set_gradient_checkpointing(on);
    }

    /// Encodes speech; see [`WhisperEncoder::forward`].
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) as there.
    pub fn encode(&self, ctx: &Context, input: &EncoderInput<'_>) -> Result<EncoderOutput> {
        self.encoder.forward(ctx, input)
    }

    /// Logits `(B, T, V)` of the token after each of `decoder_input_ids` `(B, T)`, I64: teacher
    /// forcing. The labels that belong to them come from
    /// [`shift_tokens_right`](super::shift_tokens_right).
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) as in [`WhisperDecoder::forward`].
    pub fn decode(
        &self,
        ctx: &Context,
        decoder_input_ids: &Tensor,
        memory: &EncoderOutput,
    ) -> Result<Tensor> {
        let input = DecoderInput::new(decoder_input_ids, memory);
        let output = self.decoder.forward(ctx, &input)?;
        self.decoder.project(ctx, &output.last_hidden_state)
    }

    /// Writes `config.json`, `generation_config.json` and `model.safetensors`, which
    /// `transformers` loads. `dtype` converts the weights; `None` keeps them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.config, &self.parameters);
        let architecture = "WhisperForConditionalGeneration";
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)?;
        json::write(&dir.join("generation_config.json"), &self.generation)
    }
}
