//! Errors: a status, and often a sentence on what happened.
//!
//! The driver API has room for a number alone. The sentence is kept where a caller finds it.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use ptx_emu::{Fault, FaultKind};

pub(crate) use crate::code;

/// The result of the body of an exported function.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

/// A failure, and whether the context is lost by it.
pub(crate) type Failure = (Error, bool);

/// A status that is not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: u32,
    /// What happened. It stays in memory for good, as callers may keep the pointer to it.
    pub(crate) story: Option<&'static CStr>,
}

impl From<u32> for Error {
    fn from(code: u32) -> Error {
        Error { code, story: None }
    }
}

thread_local! {
    /// What the thread was told last. It needs no destructor, so that a call which comes while the
    /// thread ends still finds it.
    static LAST: Cell<Option<Error>> = const { Cell::new(None) };
}

/// The last fault of a kernel, of any thread.
static LAST_FAULT: Mutex<Option<&'static CStr>> = Mutex::new(None);

impl Error {
    pub(crate) fn with(code: u32, story: impl Display) -> Error {
        Error { code, story: Some(keep(&story.to_string())) }
    }

    /// An error of a host call on memory.
    pub(crate) fn memory(fault: &Fault) -> Error {
        Error::with(code::INVALID_VALUE, fault)
    }

    /// An error of a launch, and whether the context is lost by it.
    pub(crate) fn launch(fault: &Fault) -> (Error, bool) {
        let status = match fault.kind {
            FaultKind::Launch => return (Error::with(code::INVALID_VALUE, fault), false),
            FaultKind::OutOfBounds | FaultKind::UseAfterFree => code::ILLEGAL_ADDRESS,
            FaultKind::Misaligned => code::MISALIGNED_ADDRESS,
            FaultKind::Unsupported => code::ILLEGAL_INSTRUCTION,
            FaultKind::Limit => code::LAUNCH_TIMEOUT,
            _ => code::LAUNCH_FAILED,
        };
        (Error::with(status, fault), true)
    }

    /// Tells the user, once, of a fault that costs the context.
    ///
    /// A program that only looks at the number would otherwise never learn the line.
    pub(crate) fn announce(&self) {
        if let Some(story) = self.story {
            *LAST_FAULT.lock().unwrap_or_else(PoisonError::into_inner) = Some(story);
            // Nobody can be told that standard error is closed.
            let _ = writeln!(std::io::stderr(), "ptx-emu: {}", story.to_string_lossy());
        }
    }
}

/// Keeps a text for good. One that was kept before is found again, so that a call which fails the
/// same way for ever does not fill the memory.
pub(crate) fn keep(text: &str) -> &'static CStr {
    static KEPT: Mutex<Vec<&'static CStr>> = Mutex::new(Vec::new());
    let text = text.replace('\0', "?");
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = kept.iter().find(|kept| kept.to_bytes() == text.as_bytes()) {
        return found;
    }
    let new: &'static CStr = Box::leak(CString::new(text).unwrap_or_default().into_boxed_c_str());
    kept.push(new);
    new
}

/// Keeps what a thread is told, for `cuGetErrorString`.
pub(crate) fn remember(error: Error) {
    LAST.set(Some(error));
}

/// What the thread was told last.
pub(crate) fn remembered() -> Option<Error> {
    LAST.get()
}

/// The last fault of a kernel, of any thread.
pub(crate) fn last_fault() -> Option<&'static CStr> {
    *LAST_FAULT.lock().unwrap_or_else(PoisonError::into_inner)
}
