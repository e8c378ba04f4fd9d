//! BERT with a classifier or a regressor over its pooled vector.

use std::path::Path;

use tensor_core::{Context, DType, Tensor};

use super::config::BertConfig;
use super::heads::ClassificationHead;
use super::io::{BertInput, BertOutput};
use super::model::Bert;
use crate::error::Result;
use crate::folder::ModelFolder;
use crate::weights::{Builder, LoadOptions, NameRules, Parameters};

/// `BertForSequenceClassification`: BERT, its pooler and a classifier.
#[derive(Debug, Clone)]
pub struct SequenceClassifier {
    /// The encoder with its pooler.
    pub bert: Bert,
    head: ClassificationHead,
    parameters: Parameters,
}

impl SequenceClassifier {
    /// Builds the scopes `bert` and `classifier` of `root` with
    /// [`num_labels`](BertConfig::num_labels) outputs; pooler and classifier are drawn when a
    /// folder has none.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &BertConfig) -> Result<Self> {
        let mark = root.mark();
        let bert = Bert::build(root, config, true)?;
        let scope = root.scope("classifier").or_init();
        let head = ClassificationHead::new(&scope, config, config.num_labels())?;
        Ok(Self { bert, head, parameters: root.made_since(mark) })
    }

    /// Opens a Hugging Face folder whose config says how many labels there are.
    ///
    /// # Errors
    ///
    /// As [`Bert::open`].
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        Self::open_as(dir, &BertConfig::open(dir)?, options)
    }

    /// Opens a Hugging Face folder under another config, for instance one with new labels from
    /// [`BertConfig::with_labels`].
    ///
    /// # Errors
    ///
    /// As [`Bert::open`]; a classifier in the folder must have as many outputs.
    pub fn open_as(dir: &Path, config: &BertConfig, options: LoadOptions) -> Result<Self> {
        Builder::open_model(dir, NameRules::bert(), options, |root| Self::new(root, config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Logits `(B, num_labels)`, and the encoder's output.
    ///
    /// # Errors
    ///
    /// As [`Bert::forward`].
    pub fn forward(&self, ctx: &Context, input: &BertInput) -> Result<(Tensor, BertOutput)> {
        let output = self.bert.forward(ctx, input)?;
        let pooler = self.bert.pooler().expect("a classifier is built with a pooler");
        let pooled = pooler.forward(ctx, &output.last_hidden_state)?;
        Ok((self.head.forward(ctx, &pooled)?, output))
    }

    /// Writes a folder that `BertForSequenceClassification` of `transformers` loads; see
    /// [`Bert::save_hf_folder`].
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.bert.config, &self.parameters);
        let architecture = "BertForSequenceClassification";
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)
    }
}
