//! Errors: a status, and often a sentence on what happened.
//!
//! The driver API has room for a number alone. The sentence goes where a caller finds it all the
//! same: `cuGetErrorString` gives it for the status that the thread got last, and
//! [`ptx_emu_last_fault`] the last one of a kernel.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use ptx_emu::{Fault, FaultKind};

pub(crate) use crate::code;
use crate::types::{CUresult, Out, put_text};

/// The result of the body of an exported function.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

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
fn keep(text: &str) -> &'static CStr {
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

fn row(status: CUresult) -> Result<&'static (u32, &'static str, &'static str)> {
    code::ALL.iter().find(|(number, ..)| *number == status).ok_or(code::INVALID_VALUE.into())
}

fn name(status: CUresult) -> Result<&'static CStr> {
    let (number, name, _) = row(status)?;
    let prefix = if *number == code::SUCCESS { "CUDA_" } else { "CUDA_ERROR_" };
    Ok(keep(&format!("{prefix}{name}")))
}

fn sentence(status: CUresult) -> Result<&'static CStr> {
    match LAST.get().filter(|last| last.code == status).and_then(|last| last.story) {
        Some(story) => Ok(story),
        None => row(status).map(|(_, _, sentence)| keep(sentence)),
    }
}

fn put(out: Out<'_, *const c_char>, text: Result<&'static CStr>) -> Result {
    out.set(text.map_or(std::ptr::null(), CStr::as_ptr))?;
    text.map(drop)
}

exports! {
    fn cuGetErrorName(status: CUresult, out: Out<'_, *const c_char>) {
        put(out, name(status))
    }

    /// Where this thread got the status last and more is known, the whole story; else a sentence.
    fn cuGetErrorString(status: CUresult, out: Out<'_, *const c_char>) {
        put(out, sentence(status))
    }
}

/// Copies the last fault of a kernel into a buffer of `room` bytes and gives its length.
///
/// The text is cut where the buffer is full and always ended by a NUL; 0 where nothing failed yet.
///
/// # Safety
/// `buffer` is null or has `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptx_emu_last_fault(buffer: Out<'_, c_char>, room: usize) -> usize {
    let text = *LAST_FAULT.lock().unwrap_or_else(PoisonError::into_inner);
    let text = text.map_or(&[][..], CStr::to_bytes);
    put_text(buffer, room, text);
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_name_and_sentence() {
        assert_eq!(name(0).unwrap(), c"CUDA_SUCCESS");
        assert_eq!(name(700).unwrap(), c"CUDA_ERROR_ILLEGAL_ADDRESS");
        assert_eq!(name(12345), Err(code::INVALID_VALUE.into()));
        assert_eq!(sentence(500).unwrap(), c"no symbol of this name");
    }

    #[test]
    fn the_story_is_told_for_its_own_status_alone() {
        remember(Error::with(code::NOT_FOUND, "no kernel `f`"));
        assert_eq!(sentence(code::NOT_FOUND).unwrap(), c"no kernel `f`");
        assert_ne!(sentence(code::INVALID_VALUE).unwrap(), c"no kernel `f`");
        remember(code::NOT_FOUND.into());
        assert_ne!(sentence(code::NOT_FOUND).unwrap(), c"no kernel `f`");
    }

    #[test]
    fn a_story_is_kept_once() {
        let (first, again) = (Error::with(1, "same"), Error::with(2, "same"));
        assert_eq!(first.story.map(CStr::as_ptr), again.story.map(CStr::as_ptr));
        assert_eq!(keep("a\0b"), c"a?b");
    }

    #[test]
    fn the_table_rises() {
        assert!(code::ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
