//! `config.json` of the projectors that take `k` frames at a time.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{self, ModelConfig};
use crate::error::Result;

/// Dimensions of a projector over stacked frames; defaults are those of SLAM-LLM between
/// Whisper-large and a 7B LLaMA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackedConfig {
    /// Width of the frames.
    pub encoder_dim: usize,
    /// Frames `k` that become one vector.
    pub encoder_projector_ds_rate: usize,
    /// Width between the two linear maps.
    pub hidden_size: usize,
    /// Width of the vectors: `hidden_size` of the language model that reads them.
    pub output_size: usize,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for StackedConfig {
    fn default() -> Self {
        Self {
            encoder_dim: 1280,
            encoder_projector_ds_rate: 5,
            hidden_size: 2048,
            output_size: 4096,
            extra: Map::new(),
        }
    }
}

impl StackedConfig {
    /// Vectors that `frames` frames become; a rest of fewer than `k` is dropped.
    pub fn output_length(&self, frames: usize) -> usize {
        frames / self.encoder_projector_ds_rate
    }

    /// Refuses dimensions that are zero.
    pub(super) fn check_extents(&self) -> Result<()> {
        config::check_positive(&[
            ("encoder_dim", self.encoder_dim),
            ("encoder_projector_ds_rate", self.encoder_projector_ds_rate),
            ("hidden_size", self.hidden_size),
            ("output_size", self.output_size),
        ])
    }
}

/// The config as a file of one kind of projector.
macro_rules! config_of {
    ($name:ident, $model_type:literal) => {
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub StackedConfig);

        impl ModelConfig for $name {
            const MODEL_TYPE: &'static str = $model_type;

            fn extra(&self) -> &Map<String, Value> {
                &self.0.extra
            }

            fn check(&self) -> Result<()> {
                self.0.check_extents()
            }
        }
    };
}

config_of!(LinearFile, "linear_projector");
config_of!(Conv1dFile, "conv1d_projector");
