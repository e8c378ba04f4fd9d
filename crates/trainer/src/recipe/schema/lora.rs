//! `[lora]`: an adapter beside frozen weights.

use serde::{Deserialize, Serialize};

/// `[lora]`: `lm` trains updates of low rank beside the weights of `model.dir`, which stay as they
/// are (arXiv 2106.09685). Names are those of PEFT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank of the updates; 0 trains the model itself.
    pub r: usize,
    /// Updates are multiplied by `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Dropout probability of what the updates read, in [0, 1).
    pub lora_dropout: f64,
    /// Linear layers that have an update: their names, or the ends of these from a dot on.
    pub target_modules: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            r: 0,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: vec!["q_proj".into(), "v_proj".into()],
        }
    }
}
