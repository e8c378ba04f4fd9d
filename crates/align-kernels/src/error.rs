//! The one error of this crate.

use std::borrow::Cow;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An operand has the wrong rank, extent or offsets.
    Shape,
    /// A scalar option is outside its documented range.
    Option,
    /// A value of an input is not allowed, such as a negative weight.
    Value,
    /// A device, or the driver, refused or failed.
    Device,
}

/// A failed kernel call: which one, what kind, and the numbers involved.
#[derive(Debug)]
pub struct KernelError {
    op: &'static str,
    kind: ErrorKind,
    detail: String,
    hint: Option<Cow<'static, str>>,
}

/// A result whose error is a [`KernelError`].
pub type Result<T> = std::result::Result<T, KernelError>;

impl KernelError {
    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The call that failed.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// What was expected and what was got.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Advice, where there is some.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn shape(op: &'static str, detail: String) -> Self {
        Self { op, kind: ErrorKind::Shape, detail, hint: None }
    }

    pub(crate) fn option(op: &'static str, detail: String, hint: &'static str) -> Self {
        Self { op, kind: ErrorKind::Option, detail, hint: Some(hint.into()) }
    }

    pub(crate) fn value(op: &'static str, detail: String) -> Self {
        Self { op, kind: ErrorKind::Value, detail, hint: None }
    }

    /// Keeps what the device's side said, hint included.
    #[cfg(feature = "cuda")]
    pub(crate) fn device(op: &'static str, error: &impl Failure) -> Self {
        let (place, detail, hint) = error.parts();
        let hint = hint.map(|hint| hint.to_owned().into());
        Self { op, kind: ErrorKind::Device, detail: format!("{place}: {detail}"), hint }
    }
}

/// What the crates below say of a failure on a device.
#[cfg(feature = "cuda")]
pub(crate) trait Failure {
    /// Place, detail and hint.
    fn parts(&self) -> (&str, &str, Option<&str>);
}

#[cfg(feature = "cuda")]
impl Failure for gpu_runtime::GpuError {
    fn parts(&self) -> (&str, &str, Option<&str>) {
        (self.place(), self.detail(), self.hint_text())
    }
}

#[cfg(feature = "cuda")]
impl Failure for gpu_math::MathError {
    fn parts(&self) -> (&str, &str, Option<&str>) {
        (self.place(), self.detail(), self.hint_text())
    }
}

impl std::fmt::Display for KernelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.op, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for KernelError {}

/// Refuses everything but finite numbers above 0, NaN included.
pub(crate) fn positive(op: &'static str, name: &str, value: f64, hint: &'static str) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(KernelError::option(op, format!("{name} is {value}, expected finite and > 0"), hint))
}
