//! LLaMA's `generation_config.json`: what ends a text, and how its publisher samples.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::LlamaConfig;
use crate::error::Result;
use crate::json;
use crate::token_ids::TokenIds;

/// Decoding constants of a folder. Keys that are not used here are kept for export.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlamaGenerationConfig {
    /// First token of every text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<TokenIds>,
    /// Tokens that end a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<TokenIds>,
    /// Whether the publisher samples instead of taking the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_sample: Option<bool>,
    /// Divides the logits before sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Sampling is among this many of the likeliest tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Sampling is among the likeliest tokens that have this probability together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Longest text in tokens, prompt included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl LlamaGenerationConfig {
    /// Reads `dir/generation_config.json`; where the file is absent, the constants that the
    /// model's config carries.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is malformed.
    pub fn open(dir: &Path, config: &LlamaConfig) -> Result<Self> {
        let path = dir.join("generation_config.json");
        match path.is_file() {
            true => json::read(&path),
            false => Ok(Self::from_config(config)),
        }
    }

    /// The constants that a model's config carries.
    pub fn from_config(config: &LlamaConfig) -> Self {
        Self {
            bos_token_id: config.bos_token_id.clone(),
            eos_token_id: config.eos_token_id.clone(),
            ..Self::default()
        }
    }

    /// Tokens that end a text; none where the folder names none.
    pub fn eos_token_ids(&self) -> &[u32] {
        self.eos_token_id.as_ref().map_or(&[], TokenIds::as_slice)
    }
}
