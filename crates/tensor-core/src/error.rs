//! The crate's one error type: which call, what kind, and the numbers involved.

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An operand has the wrong rank or extent.
    Shape,
    /// An operand has a dtype that the operator does not take.
    DType,
    /// The device is absent or does not hold the operand.
    Device,
    /// A scalar option or an index is outside its documented range.
    Option,
    /// A weights file is damaged or does not fit.
    Weights,
    /// The operating system refused to read or write.
    Io,
    /// The gradient graph cannot be walked, for example a second time.
    Graph,
}

/// A failed tensor call.
#[derive(Debug, Clone)]
pub struct Error {
    op: String,
    kind: ErrorKind,
    detail: String,
    hint: Option<String>,
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` in `op`; `detail` says what was expected and what was got.
    pub fn new(kind: ErrorKind, op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { op: op.into(), kind, detail: detail.into(), hint: None }
    }

    /// A [`Shape`](ErrorKind::Shape) error.
    pub fn shape(op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, op, detail)
    }

    /// A [`DType`](ErrorKind::DType) error.
    pub fn dtype(op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::DType, op, detail)
    }

    /// An [`Option`](ErrorKind::Option) error.
    pub fn option(op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Option, op, detail)
    }

    /// The same error with advice for the user.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.op, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
