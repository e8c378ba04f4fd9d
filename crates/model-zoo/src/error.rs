//! The one error type of this crate.

use std::path::Path;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read or written.
    Io,
    /// `config.json` or `generation_config.json` is absent, malformed or contradicts itself.
    Config,
    /// Tensors are missing, unexpected, wrongly shaped or not of a float dtype.
    Weights,
    /// `tokenizer.json` is absent or malformed, or text could not be encoded.
    Tokenizer,
    /// An input has the wrong rank, extent or length.
    Shape,
    /// An option is outside its documented range.
    Option,
    /// An operator of `tensor-core` failed for another reason.
    Tensor,
}

/// A failed call: where, what, and the values involved.
#[derive(Debug)]
pub struct ZooError {
    kind: ErrorKind,
    place: String,
    detail: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result of this crate's fallible calls.
pub type Result<T> = std::result::Result<T, ZooError>;

impl ZooError {
    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(
        kind: ErrorKind,
        place: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, place: place.into(), detail: detail.into(), hint: None, source: None }
    }

    pub(crate) fn config(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, place, detail)
    }

    pub(crate) fn shape(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, place, detail)
    }

    pub(crate) fn option(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Option, place, detail)
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        let detail = error.to_string().to_lowercase();
        let mut out = Self::new(ErrorKind::Io, path.display().to_string(), detail);
        out.source = Some(Box::new(error));
        out
    }

    /// The same error, said of another place.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for ZooError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ZooError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<tensor_core::Error> for ZooError {
    /// Keeps the operator's text, which already says where, and maps its kind.
    fn from(error: tensor_core::Error) -> Self {
        let kind = match error.kind() {
            tensor_core::ErrorKind::Shape => ErrorKind::Shape,
            tensor_core::ErrorKind::Option => ErrorKind::Option,
            tensor_core::ErrorKind::Weights => ErrorKind::Weights,
            tensor_core::ErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Tensor,
        };
        let mut out = Self::new(kind, "", error.to_string());
        out.source = Some(Box::new(error));
        out
    }
}
