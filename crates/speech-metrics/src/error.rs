//! The crate's one error: which metric, what kind, and the numbers involved.

use std::fmt;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Two inputs that belong together differ in length, or a matrix is not full.
    Length,
    /// There are too few items for the score to be defined.
    Empty,
    /// A number is NaN or infinite where the score needs an ordinary one.
    NonFinite,
    /// A class, label or group is outside the declared range.
    Label,
    /// A name given as text is not known.
    Name,
}

/// A score that cannot be computed from the given input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricError {
    metric: &'static str,
    kind: ErrorKind,
    detail: String,
    hint: Option<String>,
}

impl MetricError {
    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(metric: &'static str, kind: ErrorKind, detail: String) -> Self {
        Self { metric, kind, detail, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Refuses two slices of different length.
    pub(crate) fn check_pair(
        metric: &'static str,
        what: &str,
        got: usize,
        other: &str,
        expected: usize,
    ) -> Result<(), Self> {
        if got == expected {
            return Ok(());
        }
        let detail = format!("{what}, expected {expected} to pair with {other}, got {got}");
        Err(Self::new(metric, ErrorKind::Length, detail))
    }

    /// Refuses fewer than `least` items.
    pub(crate) fn check_least(
        metric: &'static str,
        what: &str,
        got: usize,
        least: usize,
    ) -> Result<(), Self> {
        if got >= least {
            return Ok(());
        }
        let detail = format!("{what}, expected at least {least}, got {got}");
        Err(Self::new(metric, ErrorKind::Empty, detail))
    }
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.metric, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MetricError {}
