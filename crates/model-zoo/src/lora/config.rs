//! `adapter_config.json`, under the names of PEFT.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config;
use crate::error::{ErrorKind, Result, ZooError};
use crate::json;
use crate::weights::ADAPTER_CONFIG;

/// What an adapter is put beside, and how large it is; defaults are those of PEFT for LLaMA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraConfig {
    /// `LORA`.
    pub peft_type: String,
    /// What PEFT makes of the model, such as `CAUSAL_LM`.
    pub task_type: Option<String>,
    /// Name or folder of the model that the adapter belongs to.
    pub base_model_name_or_path: Option<String>,
    /// Linear layers that have an update: their names, or the ends of these from a dot on.
    pub target_modules: Vec<String>,
    /// Rank of the updates.
    pub r: usize,
    /// Updates are multiplied by `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Dropout of what the updates read, in training.
    pub lora_dropout: f64,
    /// Whether updates are multiplied by `lora_alpha / sqrt(r)` instead.
    pub use_rslora: bool,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            peft_type: "LORA".to_owned(),
            task_type: Some("CAUSAL_LM".to_owned()),
            base_model_name_or_path: None,
            target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            use_rslora: false,
            extra: Map::new(),
        }
    }
}

impl LoraConfig {
    /// Reads and checks `dir/adapter_config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file is absent or malformed, or asks for a form of
    /// LoRA that this crate does not have.
    pub fn open(dir: &Path) -> Result<Self> {
        let hint = "an adapter's folder holds adapter_config.json and adapter_model.safetensors";
        json::expect_file(dir, ADAPTER_CONFIG, ErrorKind::Config, hint)?;
        let config: Self = json::read(&dir.join(ADAPTER_CONFIG))?;
        config.check().map_err(|e| e.at(dir.join(ADAPTER_CONFIG).display().to_string()))?;
        Ok(config)
    }

    /// What updates are multiplied by.
    pub fn scaling(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    pub(super) fn check(&self) -> Result<()> {
        let fault = |detail: String| Err(ZooError::config("lora", detail));
        if self.peft_type != "LORA" {
            return fault(format!("peft_type is `{}`, expected `LORA`", self.peft_type));
        }
        config::check_positive(&[("r", self.r)]).map_err(|e| e.at("lora"))?;
        let dropout = [("lora_dropout", self.lora_dropout)];
        config::check_probabilities(&dropout).map_err(|e| e.at("lora"))?;
        if !self.lora_alpha.is_finite() {
            return fault(format!("lora_alpha is {}, expected a finite number", self.lora_alpha));
        }
        if self.target_modules.is_empty() {
            return fault("target_modules is empty, expected names of linear layers".to_owned());
        }
        if let Some(bias) = self.extra.get("bias").filter(|bias| bias.as_str() != Some("none")) {
            return fault(format!("bias is {bias}, expected \"none\""));
        }
        // Keys of PEFT that change what is computed, and that must be off.
        let others = [
            "alpha_pattern",
            "exclude_modules",
            "fan_in_fan_out",
            "layer_replication",
            "layers_to_transform",
            "lora_bias",
            "modules_to_save",
            "rank_pattern",
            "target_parameters",
            "trainable_token_indices",
            "use_dora",
        ];
        for key in others {
            let is_off = |value: &Value| match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            if let Some(value) = self.extra.get(key).filter(|value| !is_off(value)) {
                return fault(format!("{key} is {value}, expected it to be absent"));
            }
        }
        Ok(())
    }
}
