//! One opaque error for the whole crate: which file, where in it, what, and what to try.
//!
//! Callers branch on [`AudioError::kind`] and [`AudioError::position`]; people read the text, which is
//! `file: position: what (hint: what to try)`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = AudioError> = std::result::Result<T, E>;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system or the caller's reader refused to open, read or seek.
    Io,
    /// Not a container or codec this crate can decode.
    Unsupported,
    /// The bytes contradict themselves: a damaged packet, a failed checksum, an absurd header.
    Corrupt,
    /// The file ends before its own header says it does.
    Truncated,
    /// Zero bytes, or a valid file with zero samples.
    Empty,
    /// A sample is NaN or infinite (only float formats can hold one).
    NonFinite,
    /// The requested offset lies at or beyond the end of the sound.
    Range,
    /// An option is outside its documented range.
    Option,
}

/// A place in a sound file.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Position {
    /// An offset in bytes from the start of the file.
    Byte(u64),
    /// A decoding position: time at the file's own sample rate, and the packet being decoded.
    Packet {
        /// Seconds from the start.
        seconds: f64,
        /// Packets read before this one.
        packet: u64,
    },
    /// One sample, by its frame index at the file's own sample rate.
    Sample {
        /// Frame index from the start of the file.
        index: u64,
        /// Channel, counted from 0.
        channel: usize,
        /// The same place in seconds.
        seconds: f64,
    },
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Byte(byte) => write!(f, "at byte {byte}"),
            Position::Packet { seconds, packet } => {
                write!(f, "at {seconds:.3} s (packet {packet})")
            }
            Position::Sample { index, channel, seconds } => {
                write!(f, "at {seconds:.3} s (sample {index}, channel {channel})")
            }
        }
    }
}

/// A failed call into this crate.
///
/// ```
/// let error = audio_frontend::load_bytes(b"", &Default::default()).unwrap_err();
/// assert_eq!(error.kind(), audio_frontend::ErrorKind::Empty);
/// assert_eq!(error.to_string(), "bytes: file is empty, expected a sound file, got 0 bytes");
/// ```
#[derive(Debug)]
pub struct AudioError(Box<Detail>);

#[derive(Debug)]
struct Detail {
    kind: ErrorKind,
    origin: String,
    path: Option<PathBuf>,
    position: Option<Position>,
    what: String,
    hint: Option<&'static str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AudioError {
    /// The category, for callers that branch on it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file, when the sound came from a path.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Where in the file, when that is known.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// What to try, when there is something to try.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    pub(crate) fn new(kind: ErrorKind, origin: &Origin, what: impl Into<String>) -> Self {
        let path = match origin {
            Origin::Path(path) => Some(path.clone()),
            Origin::Named(_) => None,
        };
        let what = what.into();
        let origin = origin.to_string();
        Self(Box::new(Detail { kind, origin, path, position: None, what, hint: None, cause: None }))
    }

    /// An option of `op` that is out of range.
    pub(crate) fn option(op: &'static str, what: impl Into<String>, hint: &'static str) -> Self {
        Self::new(ErrorKind::Option, &Origin::Named(op), what).hinted(hint)
    }

    pub(crate) fn at(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    pub(crate) fn hinted(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    pub(crate) fn caused_by(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0.origin)?;
        if let Some(position) = self.0.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.0.what)?;
        match self.0.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AudioError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

/// Where a sound came from: the first words of every message about it.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A file.
    Path(PathBuf),
    /// Something without a path: `bytes`, `reader`, or the name of an operation.
    Named(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Path(path) => write!(f, "{}", path.display()),
            Origin::Named(name) => f.write_str(name),
        }
    }
}
