//! HuBERT with a CTC head: scores of characters at every frame.

use std::path::Path;

use tensor_core::{Context, DType, Tensor};

use super::config::HubertConfig;
use super::io::{HubertInput, HubertOutput};
use super::model::Hubert;
use crate::error::Result;
use crate::layers::Linear;
use crate::weights::{Builder, Init, LoadOptions, NameRules, Parameters};

/// `HubertForCTC` or `Wav2Vec2ForCTC`: the encoder and one linear map.
#[derive(Debug, Clone)]
pub struct HubertCtc {
    /// The encoder.
    pub hubert: Hubert,
    lm_head: Linear,
    parameters: Parameters,
}

impl HubertCtc {
    /// Builds the encoder's scope and `lm_head` of `root` with `vocab_size` outputs; the head is
    /// drawn when a folder has none.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &HubertConfig) -> Result<Self> {
        let mark = root.mark();
        let hubert = Hubert::new(root, config)?;
        let scope = root.scope("lm_head").or_init();
        let init = Init::Normal(config.initializer_range);
        let lm_head = Linear::new(&scope, config.hidden_size, config.vocab_size, init)?;
        Ok(Self { hubert, lm_head, parameters: root.made_since(mark) })
    }

    /// Opens a Hugging Face folder of either family.
    ///
    /// # Errors
    ///
    /// As [`Hubert::open`].
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        Self::open_as(dir, &HubertConfig::open(dir)?, options)
    }

    /// Opens a Hugging Face folder under another config, for instance a bare encoder that gets a
    /// vocabulary.
    ///
    /// # Errors
    ///
    /// As [`Hubert::open`]; a head in the folder must have as many outputs.
    pub fn open_as(dir: &Path, config: &HubertConfig, options: LoadOptions) -> Result<Self> {
        let rules = NameRules::speech(config.model_type);
        Builder::open_model(dir, rules, options, |root| Self::new(root, config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Logits `(B, F, V)`, unnormalised, and the encoder's output, whose `lengths` are the frames
    /// of each item that count.
    ///
    /// # Errors
    ///
    /// As [`Hubert::forward`].
    pub fn forward(
        &self,
        ctx: &Context,
        input: &HubertInput<'_>,
    ) -> Result<(Tensor, HubertOutput)> {
        let output = self.hubert.forward(ctx, input)?;
        let dropout = self.hubert.config.final_dropout;
        let logits =
            self.lm_head.forward(ctx, &ctx.dropout(&output.last_hidden_state, dropout)?)?;
        Ok((logits, output))
    }

    /// Writes a folder that `HubertForCTC` or `Wav2Vec2ForCTC` of `transformers` loads; see
    /// [`Hubert::save_hf_folder`].
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let architecture = format!("{}ForCTC", self.hubert.config.model_type.class());
        self.hubert.save_as(dir, dtype, &architecture, &self.parameters)
    }
}
