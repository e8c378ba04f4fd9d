//! The Q-Former's `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{self, ModelConfig};
use crate::error::Result;
use crate::layers::Activation;

/// Dimensions and constants of a Q-Former; defaults are those of arXiv:2412.15712 between
/// HuBERT-large and Llama-3.1-8B. Keys are those of `Blip2QFormerConfig` where it has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QFormerConfig {
    /// Width of the frames.
    pub encoder_hidden_size: usize,
    /// Frames of a window, and from one to the next.
    pub window_size: usize,
    /// Vectors that stand for a window.
    pub num_query_tokens: usize,
    /// Width of the queries.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of both attentions of a layer.
    pub num_attention_heads: usize,
    /// Inner width of a layer's feed-forward part.
    pub intermediate_size: usize,
    /// Name of the feed-forward activation.
    pub hidden_act: String,
    /// Width of the vectors: `hidden_size` of the language model that reads them.
    pub output_size: usize,
    /// Dropout of states.
    pub hidden_dropout_prob: f64,
    /// Dropout of attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Standard deviation of fresh weights and queries.
    pub initializer_range: f64,
    /// Added to the variance in every norm but the first.
    pub layer_norm_eps: f64,
    /// Added to the variance in the norm of the frames.
    pub input_norm_eps: f64,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for QFormerConfig {
    fn default() -> Self {
        Self {
            encoder_hidden_size: 1024,
            // round(50 frames a second * 0.333333 s)
            window_size: 17,
            num_query_tokens: 4,
            hidden_size: 768,
            num_hidden_layers: 4,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            output_size: 4096,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            input_norm_eps: 1e-5,
            extra: Map::new(),
        }
    }
}

impl QFormerConfig {
    /// Reads and checks `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent, malformed, of another model
    /// or contradicts itself.
    pub fn open(dir: &Path) -> Result<Self> {
        config::open(dir)
    }

    /// Vectors that `frames` frames become: `num_query_tokens` for each window that they begin.
    pub fn output_length(&self, frames: usize) -> usize {
        frames.div_ceil(self.window_size) * self.num_query_tokens
    }
}

impl ModelConfig for QFormerConfig {
    const MODEL_TYPE: &'static str = "window_q_former";

    fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    fn check(&self) -> Result<()> {
        config::check_positive(&[
            ("encoder_hidden_size", self.encoder_hidden_size),
            ("window_size", self.window_size),
            ("num_query_tokens", self.num_query_tokens),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("output_size", self.output_size),
        ])?;
        let heads = self.num_attention_heads;
        config::check_heads("hidden_size", self.hidden_size, "num_attention_heads", heads)?;
        config::check_probabilities(&[
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ])?;
        Activation::from_name(&self.hidden_act).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_become_as_many_vectors_as_in_the_paper() {
        // Frames of the seven convolutions of HuBERT over 1, 5, 10, 15, 45 and 150 s.
        let frames = |seconds: usize| {
            let steps = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)];
            steps.iter().fold(seconds * 16_000, |n, (kernel, stride)| (n - kernel) / stride + 1)
        };
        let config = QFormerConfig::default();
        for (seconds, vectors) in [(1, 12), (5, 60), (10, 120), (15, 180), (45, 532), (150, 1768)] {
            assert_eq!(config.output_length(frames(seconds)), vectors, "{seconds} s");
        }
        assert_eq!((config.output_length(0), config.output_length(1)), (0, 4));
    }
}
