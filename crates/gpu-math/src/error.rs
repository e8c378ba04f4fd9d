//! The one error of this crate.

use gpu_runtime::GpuError;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An operand has the wrong extent, stride or length.
    Shape,
    /// A device, or the driver, refused or failed.
    Device,
}

/// A failed call: which one, what kind, and the numbers involved.
#[derive(Debug, Clone)]
pub struct MathError {
    place: String,
    kind: ErrorKind,
    detail: String,
    hint: Option<String>,
}

/// A result whose error is a [`MathError`].
pub type Result<T> = std::result::Result<T, MathError>;

impl MathError {
    pub(crate) fn shape(place: &str, detail: String) -> Self {
        Self { place: place.into(), kind: ErrorKind::Shape, detail, hint: None }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The call, file or kernel that failed.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What was expected and what was got.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Advice, where there is some.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<GpuError> for MathError {
    fn from(error: GpuError) -> Self {
        let hint = error.hint_text().map(str::to_owned);
        let (place, detail) = (error.place().to_owned(), error.detail().to_owned());
        Self { place, kind: ErrorKind::Device, detail, hint }
    }
}

impl std::fmt::Display for MathError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MathError {}
