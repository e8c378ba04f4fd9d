//! What went wrong on the way to the GPU, in words that a user can act on.

use std::fmt;

use crate::kind::ErrorKind;
use crate::status;

/// A failed call: where, what kind, what happened, and what to try.
#[derive(Debug, Clone)]
pub struct GpuError {
    place: String,
    kind: ErrorKind,
    detail: String,
    hint: Option<String>,
    status: Option<u32>,
}

/// The result of every fallible call here.
pub type Result<T> = std::result::Result<T, GpuError>;

impl GpuError {
    pub(crate) fn new(
        kind: ErrorKind,
        place: impl Into<String>,
        detail: impl Into<String>,
    ) -> GpuError {
        let (place, detail) = (place.into(), detail.into());
        GpuError { place, kind, detail, hint: None, status: None }
    }

    /// An error from a driver status, with the driver's own words for it.
    pub(crate) fn from_status(place: &str, code: u32, words: &str) -> GpuError {
        let hint = status::hint(code).map(str::to_owned);
        let detail = format!("driver status {code}, {words}");
        GpuError { place: place.into(), kind: status::kind(code), detail, hint, status: Some(code) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> GpuError {
        self.hint = Some(hint.into());
        self
    }

    /// A hint for an error that has none yet.
    pub(crate) fn or_hint(self, hint: &str) -> GpuError {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// Appends to the detail.
    pub(crate) fn more(mut self, text: &str) -> GpuError {
        self.detail.push_str(text);
        self
    }

    /// Replaces a kind that says nothing more than "the driver refused".
    pub(crate) fn or_kind(mut self, kind: ErrorKind) -> GpuError {
        if self.kind == ErrorKind::Driver {
            self.kind = kind;
        }
        self
    }

    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which call, file or kernel failed.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What happened, without place and hint.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What the user can try.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The driver's status number, when the driver gave one.
    pub fn status(&self) -> Option<u32> {
        self.status
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for GpuError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_place_detail_hint() {
        let error = GpuError::new(ErrorKind::NoDevice, "cuda:3", "no such device");
        assert_eq!(error.to_string(), "cuda:3: no such device");
        let error = error.hint("there are 2");
        assert_eq!(error.to_string(), "cuda:3: no such device (hint: there are 2)");
        assert_eq!(error.hint_text(), Some("there are 2"));
    }

    #[test]
    fn a_status_keeps_its_number_and_gets_a_kind() {
        let error = GpuError::from_status("alloc", 2, "CUDA_ERROR_OUT_OF_MEMORY: out of memory");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(error.status(), Some(2));
        assert!(error.to_string().starts_with("alloc: driver status 2, CUDA_ERROR_OUT_OF_MEMORY"));
    }

    #[test]
    fn only_the_vague_kind_is_replaced() {
        let vague = GpuError::from_status("copy", 1, "").or_kind(ErrorKind::Memory);
        assert_eq!(vague.kind(), ErrorKind::Memory);
        let precise = GpuError::from_status("copy", 700, "").or_kind(ErrorKind::Memory);
        assert_eq!(precise.kind(), ErrorKind::Fault);
    }
}
