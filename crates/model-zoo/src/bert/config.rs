//! BERT's `config.json`, under its published names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{self, ModelConfig};
use crate::error::{Result, ZooError};
use crate::layers::Activation;

/// Dimensions and constants of a BERT model; defaults are those of `transformers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Layers of the encoder.
    pub num_hidden_layers: usize,
    /// Heads of a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Inner width of a layer's feed-forward part.
    pub intermediate_size: usize,
    /// Name of the feed-forward activation, also of the MLM head's.
    pub hidden_act: String,
    /// Dropout after embeddings, attention and feed-forward parts.
    pub hidden_dropout_prob: f64,
    /// Dropout of attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier; `hidden_dropout_prob` where it is null.
    pub classifier_dropout: Option<f64>,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Kinds of segment.
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// `norm_eps` of every norm, under its published name.
    pub layer_norm_eps: f64,
    /// Padding token; its embedding is not trained by being looked up.
    pub pad_token_id: Option<u32>,
    /// Kind of positions; only `absolute`, which null means too, is implemented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_embedding_type: Option<String>,
    /// Whether the MLM head's vocabulary projection is the word embedding.
    pub tie_word_embeddings: bool,
    /// Names of the classes, by number; see [`num_labels`](Self::num_labels).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id2label: Option<Map<String, Value>>,
    /// Inverse of `id2label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label2id: Option<Map<String, Value>>,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            position_embedding_type: None,
            tie_word_embeddings: true,
            id2label: None,
            label2id: None,
            extra: Map::new(),
        }
    }
}

impl BertConfig {
    /// Reads and checks `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent, malformed, of another model
    /// or contradicts itself.
    pub fn open(dir: &Path) -> Result<Self> {
        config::open(dir)
    }

    /// Number of outputs of the classifier: the entries of `id2label`, else two.
    pub fn num_labels(&self) -> usize {
        self.id2label.as_ref().map_or(2, Map::len)
    }

    /// The same config with classes `labels`, in that order; one label means regression.
    pub fn with_labels<S: AsRef<str>>(mut self, labels: &[S]) -> Self {
        let names = labels.iter().map(|name| name.as_ref().to_owned());
        self.id2label =
            Some(names.clone().enumerate().map(|(k, name)| (k.to_string(), name.into())).collect());
        self.label2id = Some(names.enumerate().map(|(k, name)| (name, k.into())).collect());
        self
    }
}

impl ModelConfig for BertConfig {
    const MODEL_TYPE: &'static str = "bert";

    fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
            ("id2label", self.num_labels()),
        ];
        config::check_positive(&positive)?;
        let heads = self.num_attention_heads;
        config::check_heads("hidden_size", self.hidden_size, "num_attention_heads", heads)?;
        config::check_probabilities(&[
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.classifier_dropout.unwrap_or(0.0)),
        ])?;
        if let Some(kind) = self.position_embedding_type.as_ref().filter(|k| *k != "absolute") {
            let detail = format!("position_embedding_type is `{kind}`, expected `absolute`");
            return Err(ZooError::config("config", detail));
        }
        if self.extra.get("is_decoder") == Some(&Value::Bool(true)) {
            let detail = "is_decoder is true, expected false: attention sees both directions";
            return Err(ZooError::config("config", detail));
        }
        Activation::from_name(&self.hidden_act).map(|_| ())
    }
}
