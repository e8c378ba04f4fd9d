//! The `config.json` of HuBERT and wav2vec 2.0, under its published names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{self, ModelConfig};
use crate::error::{Result, ZooError};
use crate::layers::Activation;

/// Which of the two published families a folder belongs to; the arithmetic is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechFamily {
    /// HuBERT: names begin with `hubert.`.
    Hubert,
    /// wav2vec 2.0: names begin with `wav2vec2.`.
    Wav2Vec2,
}

impl SpeechFamily {
    /// The value of `model_type`, and the root of the encoder's names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hubert => "hubert",
            Self::Wav2Vec2 => "wav2vec2",
        }
    }

    /// The start of the class names of `transformers`.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Hubert => "Hubert",
            Self::Wav2Vec2 => "Wav2Vec2",
        }
    }
}

/// Where the feature encoder normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatExtractNorm {
    /// After the first convolution alone, each channel over time.
    Group,
    /// After every convolution, each frame over its channels.
    Layer,
}

/// Dimensions and constants of a HuBERT or wav2vec 2.0 model; defaults are those of
/// `transformers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HubertConfig {
    /// The family.
    pub model_type: SpeechFamily,
    /// Outputs of the CTC head.
    pub vocab_size: usize,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Layers of the encoder.
    pub num_hidden_layers: usize,
    /// Heads of a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Inner width of a layer's feed-forward part.
    pub intermediate_size: usize,
    /// Name of the feed-forward activation.
    pub hidden_act: String,
    /// Dropout after the positions, attention and feed-forward parts.
    pub hidden_dropout: f64,
    /// Dropout after the feed-forward activation.
    pub activation_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Whether features are normalised before the projection; wav2vec 2.0 lacks the key and
    /// always does so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feat_proj_layer_norm: Option<bool>,
    /// Dropout after the feature projection.
    pub feat_proj_dropout: f64,
    /// Dropout before the CTC head.
    pub final_dropout: f64,
    /// Probability of skipping a layer in training.
    pub layerdrop: f64,
    /// Standard deviation of fresh linear weights.
    pub initializer_range: f64,
    /// `norm_eps` of the encoder's and the projection's norms, under its published name.
    pub layer_norm_eps: f64,
    /// Form of the feature encoder.
    pub feat_extract_norm: FeatExtractNorm,
    /// Name of the activation of the feature encoder and of the positional convolution.
    pub feat_extract_activation: String,
    /// Channels of each convolution of the feature encoder.
    pub conv_dim: Vec<usize>,
    /// Stride of each convolution.
    pub conv_stride: Vec<usize>,
    /// Kernel of each convolution.
    pub conv_kernel: Vec<usize>,
    /// Whether the convolutions of the feature encoder have biases.
    pub conv_bias: bool,
    /// Kernel of the positional convolution.
    pub num_conv_pos_embeddings: usize,
    /// Groups of the positional convolution; divides `hidden_size`.
    pub num_conv_pos_embedding_groups: usize,
    /// Whether norms stand before each part of a layer (large models) instead of after it.
    pub do_stable_layer_norm: bool,
    /// Whether training masks features as the `mask_*` keys say.
    pub apply_spec_augment: bool,
    /// Fraction of frames to begin masking from, an upper bound of what is masked.
    pub mask_time_prob: f64,
    /// Frames of a masked span.
    pub mask_time_length: usize,
    /// Fewest spans of an item.
    pub mask_time_min_masks: usize,
    /// As `mask_time_prob`, over channels.
    pub mask_feature_prob: f64,
    /// Channels of a masked span.
    pub mask_feature_length: usize,
    /// Fewest spans of channels of an item.
    pub mask_feature_min_masks: usize,
    /// The blank of CTC.
    pub pad_token_id: Option<u32>,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for HubertConfig {
    fn default() -> Self {
        Self {
            model_type: SpeechFamily::Hubert,
            vocab_size: 32,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            hidden_dropout: 0.1,
            activation_dropout: 0.1,
            attention_dropout: 0.1,
            feat_proj_layer_norm: None,
            feat_proj_dropout: 0.0,
            final_dropout: 0.1,
            layerdrop: 0.1,
            initializer_range: 0.02,
            layer_norm_eps: 1e-5,
            feat_extract_norm: FeatExtractNorm::Group,
            feat_extract_activation: "gelu".to_owned(),
            conv_dim: vec![512; 7],
            conv_stride: vec![5, 2, 2, 2, 2, 2, 2],
            conv_kernel: vec![10, 3, 3, 3, 3, 2, 2],
            conv_bias: false,
            num_conv_pos_embeddings: 128,
            num_conv_pos_embedding_groups: 16,
            do_stable_layer_norm: false,
            apply_spec_augment: true,
            mask_time_prob: 0.05,
            mask_time_length: 10,
            mask_time_min_masks: 2,
            mask_feature_prob: 0.0,
            mask_feature_length: 10,
            mask_feature_min_masks: 0,
            pad_token_id: Some(0),
            extra: Map::new(),
        }
    }
}

impl HubertConfig {
    /// Reads and checks `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent, malformed, of another model
    /// or contradicts itself.
    pub fn open(dir: &Path) -> Result<Self> {
        config::open(dir)
    }

    /// Frames that `samples` samples give: each convolution makes `(n - kernel) / stride + 1` of
    /// `n`, rounded down. 0 when that is fewer than one kernel somewhere.
    pub fn frame_length(&self, samples: usize) -> usize {
        self.convolutions().fold(samples, |n, (kernel, stride)| {
            n.checked_sub(kernel).map_or(0, |room| room / stride + 1)
        })
    }

    /// Samples that one frame sees, which is also the shortest input: 400 in the published models.
    pub fn receptive_field(&self) -> usize {
        let steps: Vec<_> = self.convolutions().collect();
        steps.iter().rev().fold(1, |n, (kernel, stride)| (n - 1) * stride + kernel)
    }

    /// Samples from one frame to the next: 320 in the published models.
    pub fn inputs_to_logits_ratio(&self) -> usize {
        self.conv_stride.iter().product()
    }

    /// Whether features are normalised before the projection.
    pub fn projects_normalised(&self) -> bool {
        self.model_type == SpeechFamily::Wav2Vec2 || self.feat_proj_layer_norm.unwrap_or(true)
    }

    /// Whether the model has the vector that stands for a masked frame.
    pub(super) fn has_mask_embedding(&self) -> bool {
        self.mask_time_prob > 0.0 || self.mask_feature_prob > 0.0
    }

    /// Kernel and stride of each convolution of the feature encoder.
    pub(super) fn convolutions(&self) -> impl Iterator<Item = (usize, usize)> {
        self.conv_kernel.iter().copied().zip(self.conv_stride.iter().copied())
    }

    /// Refuses what `transformers` has and this crate does not.
    fn check_unsupported(&self) -> Result<()> {
        for key in ["conv_pos_batch_norm", "add_adapter", "adapter_attn_dim"] {
            match self.extra.get(key) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(value) => {
                    let detail = format!("{key} is {value}, expected it off: not implemented");
                    return Err(ZooError::config("config", detail));
                }
            }
        }
        Ok(())
    }
}

impl ModelConfig for HubertConfig {
    const MODEL_TYPE: &'static str = "hubert";

    fn model_type(&self) -> &'static str {
        self.model_type.name()
    }

    fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    fn check(&self) -> Result<()> {
        config::check_positive(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("number of entries of conv_dim", self.conv_dim.len()),
            ("num_conv_pos_embeddings", self.num_conv_pos_embeddings),
            ("num_conv_pos_embedding_groups", self.num_conv_pos_embedding_groups),
            ("mask_time_length", self.mask_time_length),
            ("mask_feature_length", self.mask_feature_length),
        ])?;
        let expected = self.conv_dim.len();
        for (name, list) in [
            ("conv_dim", &self.conv_dim),
            ("conv_stride", &self.conv_stride),
            ("conv_kernel", &self.conv_kernel),
        ] {
            if list.len() != expected {
                let got = list.len();
                let detail = format!("{name} has {got} entries, expected {expected} as conv_dim");
                return Err(ZooError::config("config", detail));
            }
            if let Some(at) = list.iter().position(|&n| n == 0) {
                let detail = format!("{name}[{at}] is 0, expected at least 1");
                return Err(ZooError::config("config", detail));
            }
        }
        let width = self.hidden_size;
        for (name, parts) in [
            ("num_attention_heads", self.num_attention_heads),
            ("num_conv_pos_embedding_groups", self.num_conv_pos_embedding_groups),
        ] {
            config::check_heads("hidden_size", width, name, parts)?;
        }
        config::check_probabilities(&[
            ("hidden_dropout", self.hidden_dropout),
            ("activation_dropout", self.activation_dropout),
            ("attention_dropout", self.attention_dropout),
            ("feat_proj_dropout", self.feat_proj_dropout),
            ("final_dropout", self.final_dropout),
            ("layerdrop", self.layerdrop),
            ("mask_time_prob", self.mask_time_prob),
            ("mask_feature_prob", self.mask_feature_prob),
        ])?;
        self.check_unsupported()?;
        Activation::from_name(&self.feat_extract_activation)?;
        Activation::from_name(&self.hidden_act).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_model_makes_a_frame_of_400_samples_every_320() {
        let config = HubertConfig::default();
        assert_eq!((config.receptive_field(), config.inputs_to_logits_ratio()), (400, 320));
        for (samples, frames) in
            [(0, 0), (399, 0), (400, 1), (719, 1), (720, 2), (16_000, 49), (160_000, 499)]
        {
            assert_eq!(config.frame_length(samples), frames, "{samples} samples");
        }
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (key, value) in [
            ("conv_pos_batch_norm", Value::from(true)),
            ("add_adapter", Value::from(true)),
            ("adapter_attn_dim", Value::from(16)),
        ] {
            let mut config = HubertConfig::default();
            config.extra.insert(key.into(), value.clone());
            let text = config.check().unwrap_err().to_string();
            let expected = format!("config: {key} is {value}, expected it off: not implemented");
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn lists_of_unequal_lengths_are_refused() {
        let config = HubertConfig { conv_stride: vec![5, 2], ..HubertConfig::default() };
        let text = config.check().unwrap_err().to_string();
        assert_eq!(text, "config: conv_stride has 2 entries, expected 7 as conv_dim");
    }
}
