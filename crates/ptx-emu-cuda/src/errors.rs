//! What a status is called, and what happened: names and sentences for the caller.
//!
//! `cuGetErrorString` gives the sentence for the status that the thread got last, and
//! [`ptx_emu_last_fault`] the last one of a kernel.

use std::ffi::{CStr, c_char};

use crate::error::{Result, code, keep, last_fault, remembered};
use crate::types::{CUresult, Out, put_text};

fn row(status: CUresult) -> Result<&'static (u32, &'static str, &'static str)> {
    code::ALL.iter().find(|(number, ..)| *number == status).ok_or(code::INVALID_VALUE.into())
}

fn name(status: CUresult) -> Result<&'static CStr> {
    let (number, name, _) = row(status)?;
    let prefix = if *number == code::SUCCESS { "CUDA_" } else { "CUDA_ERROR_" };
    Ok(keep(&format!("{prefix}{name}")))
}

fn sentence(status: CUresult) -> Result<&'static CStr> {
    match remembered().filter(|last| last.code == status).and_then(|last| last.story) {
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
    let text = last_fault().map_or(&[][..], CStr::to_bytes);
    put_text(buffer, room, text);
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, remember};

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
