//! Which model a Hugging Face folder holds, and opening either.

use std::path::Path;

use serde::Deserialize;

use crate::bert::Bert;
use crate::error::{ErrorKind, Result, ZooError};
use crate::json;
use crate::weights::{LoadOptions, Parameters};
use crate::whisper::Whisper;

/// The architectures of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Speech encoder and text decoder.
    Whisper,
    /// Text encoder.
    Bert,
}

#[derive(Deserialize)]
struct Named {
    model_type: Option<String>,
}

impl ModelKind {
    /// Reads `model_type` of `dir/config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file is absent or names another architecture.
    pub fn detect(dir: &Path) -> Result<Self> {
        json::expect_file(dir, "config.json", ErrorKind::Config, json::FOLDER_HINT)?;
        let path = dir.join("config.json");
        let named: Named = json::read(&path)?;
        match named.model_type.as_deref() {
            Some("whisper") => Ok(Self::Whisper),
            Some("bert") => Ok(Self::Bert),
            found => {
                let found = found.map_or_else(|| "absent".to_owned(), |name| format!("`{name}`"));
                let detail = format!("model_type is {found}, expected `whisper` or `bert`");
                Err(ZooError::config(path.display().to_string(), detail))
            }
        }
    }
}

/// A model of either architecture.
#[derive(Debug, Clone)]
pub enum AnyModel {
    /// Whisper, encoder and decoder.
    Whisper(Box<Whisper>),
    /// BERT's encoder; heads in the folder are left unread.
    Bert(Box<Bert>),
}

impl AnyModel {
    /// Opens the model that `dir` holds.
    ///
    /// # Errors
    ///
    /// As [`ModelKind::detect`], [`Whisper::open`] and [`Bert::open`].
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        Ok(match ModelKind::detect(dir)? {
            ModelKind::Whisper => Self::Whisper(Box::new(Whisper::open(dir, options)?)),
            ModelKind::Bert => Self::Bert(Box::new(Bert::open(dir, options)?)),
        })
    }

    /// Which architecture it is.
    pub fn kind(&self) -> ModelKind {
        match self {
            Self::Whisper(_) => ModelKind::Whisper,
            Self::Bert(_) => ModelKind::Bert,
        }
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        match self {
            Self::Whisper(model) => model.parameters(),
            Self::Bert(model) => model.parameters(),
        }
    }
}
