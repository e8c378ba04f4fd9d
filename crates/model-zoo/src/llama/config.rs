//! LLaMA's `config.json`, under its published names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rope_parameters::RopeParameters;
use crate::config::{self, ModelConfig};
use crate::error::{Result, ZooError};
use crate::layers::Activation;
use crate::token_ids::TokenIds;

/// Dimensions and constants of a LLaMA; defaults are those of `transformers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlamaConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of a layer's feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads of a layer.
    pub num_attention_heads: usize,
    /// Key and value heads, a divisor of the query heads; absent: as many as those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head, even; absent: `hidden_size / num_attention_heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Name of the activation of the gate.
    pub hidden_act: String,
    /// Longest input, before scaling that stretches it.
    pub max_position_embeddings: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// First token of every text.
    pub bos_token_id: Option<TokenIds>,
    /// Tokens that end a text.
    pub eos_token_id: Option<TokenIds>,
    /// Padding token; its embedding is not trained by being looked up. Negative: none.
    pub pad_token_id: Option<i64>,
    /// Whether the output projection is the token embedding.
    pub tie_word_embeddings: bool,
    /// Base of the rotary frequencies, as files of `transformers` before 5 say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// How the frequencies are scaled, as files of `transformers` before 5 say it; if both
    /// spellings are given, this one counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeParameters>,
    /// Base and scaling, as `transformers` 5 writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// Whether the four maps of attention have biases.
    pub attention_bias: bool,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Whether the three maps of the feed-forward part have biases.
    pub mlp_bias: bool,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".to_owned(),
            max_position_embeddings: 2048,
            initializer_range: 0.02,
            rms_norm_eps: 1e-6,
            bos_token_id: Some(TokenIds::One(1)),
            eos_token_id: Some(TokenIds::One(2)),
            pad_token_id: None,
            tie_word_embeddings: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            attention_bias: false,
            attention_dropout: 0.0,
            mlp_bias: false,
            extra: Map::new(),
        }
    }
}

impl LlamaConfig {
    /// Reads and checks `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent, malformed, of another model
    /// or contradicts itself, or names a kind of rotary scaling that this crate does not know.
    pub fn open(dir: &Path) -> Result<Self> {
        config::open(dir)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Key and value heads of a layer.
    pub fn num_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// The padding token's row of the embedding.
    pub(super) fn padding_row(&self) -> Option<u32> {
        self.pad_token_id.and_then(|id| u32::try_from(id).ok())
    }
}

impl ModelConfig for LlamaConfig {
    const MODEL_TYPE: &'static str = "llama";

    fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    fn check(&self) -> Result<()> {
        config::check_positive(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads()),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        let heads = self.num_attention_heads;
        if self.head_dim.is_none() {
            config::check_heads("hidden_size", self.hidden_size, "num_attention_heads", heads)?;
        }
        let shared = self.num_key_value_heads();
        config::check_heads("num_attention_heads", heads, "num_key_value_heads", shared)?;
        let head_dim = self.head_dim();
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            let detail = format!("head_dim is {head_dim}, expected an even number of at least 2");
            return Err(ZooError::config("config", detail));
        }
        if !(self.rms_norm_eps >= 0.0 && self.rms_norm_eps.is_finite()) {
            let detail = format!("rms_norm_eps is {}, expected at least 0", self.rms_norm_eps);
            return Err(ZooError::config("config", detail));
        }
        config::check_probabilities(&[("attention_dropout", self.attention_dropout)])?;
        self.rotary()?;
        Activation::from_name(&self.hidden_act).map(|_| ())
    }
}
