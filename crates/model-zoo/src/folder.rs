//! Hugging Face folders as a whole: which model one holds, and writing one.

use std::path::Path;

use tensor_core::DType;

use crate::config::{self, ModelConfig};
use crate::error::{Result, ZooError};
use crate::weights::Parameters;

/// The architectures of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Speech encoder and text decoder.
    Whisper,
    /// Text encoder.
    Bert,
    /// Language model.
    Llama,
    /// Speech encoder over raw samples.
    Hubert,
    /// Speech encoder of the same form as HuBERT.
    Wav2Vec2,
}

impl ModelKind {
    /// Reads `model_type` of `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is absent or names another
    /// architecture.
    pub fn detect(dir: &Path) -> Result<Self> {
        let named: config::Named = config::read(dir)?;
        match named.model_type.as_deref() {
            Some("whisper") => Ok(Self::Whisper),
            Some("bert") => Ok(Self::Bert),
            Some("llama") => Ok(Self::Llama),
            Some("hubert") => Ok(Self::Hubert),
            Some("wav2vec2") => Ok(Self::Wav2Vec2),
            found => {
                let found = found.map_or_else(|| "absent".to_owned(), |name| format!("`{name}`"));
                let known = "`whisper`, `bert`, `llama`, `hubert`, `wav2vec2`";
                let detail = format!("model_type is {found}, expected one of {known}");
                let hint = "is this the folder you mean";
                let place = dir.join("config.json").display().to_string();
                Err(ZooError::config(place, detail).hint(hint))
            }
        }
    }
}

/// A model as `transformers` would save it.
pub(crate) struct ModelFolder<'a, C> {
    pub config: &'a C,
    /// Class of `transformers` that reads the folder.
    pub architecture: &'a str,
    pub parameters: &'a Parameters,
    /// Tied names to store as tensors of their own.
    pub aliases: &'a [&'a str],
}

impl<C: ModelConfig> ModelFolder<'_, C> {
    /// Writes `config.json` and `model.safetensors`; `dtype` converts the weights.
    pub fn save(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| ZooError::io(dir, e))?;
        self.parameters.save_with(&dir.join("model.safetensors"), dtype, self.aliases)?;
        let stored = dtype.unwrap_or_else(|| self.parameters.dtype());
        config::export(dir, self.config, self.architecture, stored)
    }
}
