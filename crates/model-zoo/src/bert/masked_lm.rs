//! BERT with the head it is pre-trained by.

use std::path::Path;

use tensor_core::{Context, DType, Tensor};

use super::config::BertConfig;
use super::heads::MlmHead;
use super::io::{BertInput, BertOutput};
use super::model::Bert;
use crate::error::Result;
use crate::folder::ModelFolder;
use crate::layers::rows_at;
use crate::weights::{Builder, LoadOptions, NameRules, Parameters};

/// `BertForMaskedLM`: BERT and its vocabulary head.
#[derive(Debug, Clone)]
pub struct MaskedLm {
    /// The encoder, without a pooler.
    pub bert: Bert,
    head: MlmHead,
    parameters: Parameters,
}

/// Other name of the MLM bias, the one that `transformers` reads when weights are untied.
const DECODER_BIAS: &str = "cls.predictions.decoder.bias";

impl MaskedLm {
    /// Builds the scopes `bert` and `cls.predictions` of `root`; the head is drawn when a folder
    /// has none.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &BertConfig) -> Result<Self> {
        let mark = root.mark();
        let bert = Bert::build(root, config, false)?;
        let word_embeddings = bert.embeddings().word_embeddings().weight();
        let tied = config.tie_word_embeddings.then_some(word_embeddings);
        let head = MlmHead::new(&root.scope("cls.predictions").or_init(), config, tied)?;
        root.tie(DECODER_BIAS, "cls.predictions.bias")?;
        if config.tie_word_embeddings {
            let words = "bert.embeddings.word_embeddings.weight";
            root.tie("cls.predictions.decoder.weight", words)?;
        }
        Ok(Self { bert, head, parameters: root.made_since(mark) })
    }

    /// Opens a Hugging Face folder; a fresh head is drawn if it holds a bare encoder.
    ///
    /// # Errors
    ///
    /// As [`Bert::open`].
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = BertConfig::open(dir)?;
        Builder::open_model(dir, NameRules::bert(), options, |root| Self::new(root, &config))
    }

    /// Parameters by name, tied ones once.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Logits `(B, T, V)` at every position, and the encoder's output.
    ///
    /// # Errors
    ///
    /// As [`Bert::forward`].
    pub fn forward(&self, ctx: &Context, input: &BertInput) -> Result<(Tensor, BertOutput)> {
        let output = self.bert.forward(ctx, input)?;
        let logits = self.head.forward(ctx, &output.last_hidden_state)?;
        Ok((logits, output))
    }

    /// Logits `(N, V)` at `positions` alone, each `b * T + t`, of states `(B, T, D)`.
    ///
    /// Masked language modelling scores about one position in seven; projecting the others to
    /// the vocabulary would be most of its work.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no position or one is not below `B * T`.
    pub fn logits_at(
        &self,
        ctx: &Context,
        hidden_states: &Tensor,
        positions: &[usize],
    ) -> Result<Tensor> {
        self.head.forward(ctx, &rows_at("logits_at", hidden_states, positions)?)
    }

    /// Writes a folder that `BertForMaskedLM` of `transformers` loads; see
    /// [`Bert::save_hf_folder`].
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.bert.config, &self.parameters);
        let aliases: &[&str] = if config.tie_word_embeddings { &[] } else { &[DECODER_BIAS] };
        let architecture = "BertForMaskedLM";
        ModelFolder { config, architecture, parameters, aliases }.save(dir, dtype)
    }
}
