//! Whisper's `generation_config.json`: which tokens decoding must not produce.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::WhisperConfig;
use crate::error::Result;
use crate::json;
use crate::token_ids::TokenIds;

/// Decoding constants of a folder. Keys that are not used here are kept for export.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Tokens never generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_tokens: Option<Vec<i64>>,
    /// Tokens never generated right after the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin_suppress_tokens: Option<Vec<i64>>,
    /// Tokens that end a transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<TokenIds>,
    /// First token of every transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_start_token_id: Option<u32>,
    /// Longest transcript in tokens, prompt included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Pairs of a decoder layer and a head whose attention to the speech follows the words in
    /// time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl GenerationConfig {
    /// Reads `dir/generation_config.json`; where the file is absent, the same constants come
    /// from the model's config, as in folders older than the file.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is malformed.
    pub fn open(dir: &Path, config: &WhisperConfig) -> Result<Self> {
        let path = dir.join("generation_config.json");
        match path.is_file() {
            true => json::read(&path),
            false => Ok(Self::from_config(config)),
        }
    }

    /// Tokens never generated.
    pub fn suppressed(&self) -> Vec<u32> {
        valid_ids(&self.suppress_tokens)
    }

    /// Tokens never generated right after the prompt.
    pub fn begin_suppressed(&self) -> Vec<u32> {
        valid_ids(&self.begin_suppress_tokens)
    }

    /// The constants that a model's config carries.
    pub fn from_config(config: &WhisperConfig) -> Self {
        Self {
            suppress_tokens: config.suppress_tokens.clone(),
            begin_suppress_tokens: config.begin_suppress_tokens.clone(),
            eos_token_id: Some(TokenIds::One(config.eos_token_id)),
            decoder_start_token_id: Some(config.decoder_start_token_id),
            max_length: Some(config.max_target_positions),
            alignment_heads: None,
            extra: Map::new(),
        }
    }
}

/// Published lists may hold -1 for "none".
fn valid_ids(list: &Option<Vec<i64>>) -> Vec<u32> {
    list.iter().flatten().filter_map(|&id| u32::try_from(id).ok()).collect()
}
