//! What is wrong with a PTX text, and where.

use std::fmt;

use crate::syntax::ast::Span;

/// A PTX text that cannot be read: the place, the fault, and often what to write instead.
///
/// It displays as `file:line:column: message (hint: ...)`, which editors turn into a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtxError {
    file: String,
    span: Span,
    message: String,
    hint: Option<String>,
}

impl PtxError {
    pub(crate) fn new(file: &str, span: Span, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), span, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The name the text was parsed under.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line of the fault, from 1.
    pub fn line(&self) -> u32 {
        self.span.line
    }

    /// Column of the fault in characters, from 1.
    pub fn column(&self) -> u32 {
        self.span.column
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to try, where the parser knows.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for PtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.span.line, self.span.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PtxError {}
