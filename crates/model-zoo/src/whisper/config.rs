//! Whisper's `config.json`, under its published names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{self, ModelConfig};
use crate::error::{Result, ZooError};
use crate::layers::Activation;

/// Dimensions and constants of a Whisper model; defaults are those of `transformers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhisperConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Mel bands of the input.
    pub num_mel_bins: usize,
    /// Width of both stacks; even, at least 4.
    pub d_model: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Heads of an encoder layer; divides `d_model`.
    pub encoder_attention_heads: usize,
    /// Inner width of an encoder layer's feed-forward part.
    pub encoder_ffn_dim: usize,
    /// Probability of skipping an encoder layer in training.
    pub encoder_layerdrop: f64,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Heads of a decoder layer; divides `d_model`.
    pub decoder_attention_heads: usize,
    /// Inner width of a decoder layer's feed-forward part.
    pub decoder_ffn_dim: usize,
    /// Probability of skipping a decoder layer in training.
    pub decoder_layerdrop: f64,
    /// Name of the feed-forward activation; the convolutions always use exact GELU.
    pub activation_function: String,
    /// Dropout after embeddings, attention and feed-forward parts.
    pub dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout after the feed-forward activation.
    pub activation_dropout: f64,
    /// Standard deviation of fresh weights.
    pub init_std: f64,
    /// Encoder positions: half of the longest input's frames.
    pub max_source_positions: usize,
    /// Decoder positions.
    pub max_target_positions: usize,
    /// First token of every transcript.
    pub decoder_start_token_id: u32,
    /// Padding token; its embedding is not trained by being looked up.
    pub pad_token_id: Option<u32>,
    /// Beginning of text, unused by the model itself.
    pub bos_token_id: Option<u32>,
    /// End of a transcript.
    pub eos_token_id: u32,
    /// Tokens never generated.
    pub suppress_tokens: Option<Vec<i64>>,
    /// Tokens never generated right after the prompt.
    pub begin_suppress_tokens: Option<Vec<i64>>,
    /// Whether the output projection is the token embedding.
    pub tie_word_embeddings: bool,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for WhisperConfig {
    fn default() -> Self {
        Self {
            vocab_size: 51865,
            num_mel_bins: 80,
            d_model: 384,
            encoder_layers: 4,
            encoder_attention_heads: 6,
            encoder_ffn_dim: 1536,
            encoder_layerdrop: 0.0,
            decoder_layers: 4,
            decoder_attention_heads: 6,
            decoder_ffn_dim: 1536,
            decoder_layerdrop: 0.0,
            activation_function: "gelu".to_owned(),
            dropout: 0.0,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
            init_std: 0.02,
            max_source_positions: 1500,
            max_target_positions: 448,
            decoder_start_token_id: 50257,
            pad_token_id: Some(50256),
            bos_token_id: Some(50256),
            eos_token_id: 50256,
            suppress_tokens: None,
            begin_suppress_tokens: Some(vec![220, 50256]),
            tie_word_embeddings: true,
            extra: Map::new(),
        }
    }
}

impl WhisperConfig {
    /// Reads and checks `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent, malformed, of another model
    /// or contradicts itself.
    pub fn open(dir: &Path) -> Result<Self> {
        config::open(dir)
    }
}

impl ModelConfig for WhisperConfig {
    const MODEL_TYPE: &'static str = "whisper";

    fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("num_mel_bins", self.num_mel_bins),
            ("d_model", self.d_model),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("decoder_ffn_dim", self.decoder_ffn_dim),
            ("max_source_positions", self.max_source_positions),
            ("max_target_positions", self.max_target_positions),
        ];
        config::check_positive(&positive)?;
        if self.d_model < 4 || !self.d_model.is_multiple_of(2) {
            // Half of the positions' columns are sines of at least two wavelengths.
            let detail =
                format!("d_model is {}, expected an even number of at least 4", self.d_model);
            return Err(ZooError::config("config", detail));
        }
        for (name, heads) in [
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
        ] {
            config::check_heads("d_model", self.d_model, name, heads)?;
        }
        config::check_probabilities(&[
            ("dropout", self.dropout),
            ("attention_dropout", self.attention_dropout),
            ("activation_dropout", self.activation_dropout),
            ("encoder_layerdrop", self.encoder_layerdrop),
            ("decoder_layerdrop", self.decoder_layerdrop),
        ])?;
        for (name, id) in [
            ("decoder_start_token_id", self.decoder_start_token_id),
            ("eos_token_id", self.eos_token_id),
        ] {
            if id as usize >= self.vocab_size {
                let detail =
                    format!("{name} is {id}, expected below vocab_size {}", self.vocab_size);
                return Err(ZooError::config("config", detail));
            }
        }
        Activation::from_name(&self.activation_function).map(|_| ())
    }
}
