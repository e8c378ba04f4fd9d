//! Reading and writing the JSON files of a model folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ErrorKind, Result, ZooError};

/// Parses `path`; the error names the file, the line and the column.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| ZooError::io(path, e))?;
    serde_json::from_str(&text).map_err(|e| {
        let place = path.display().to_string();
        match e.is_data() {
            true => ZooError::config(place, e.to_string()),
            false => ZooError::config(place, format!("is not JSON: {e}"))
                .hint("was the file downloaded or copied as a whole"),
        }
    })
}

/// Writes `value` to `path`, indented by two spaces as `transformers` does; see [`replace`].
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| ZooError::config(path.display().to_string(), e.to_string()))?;
    text.push('\n');
    replace(path, &text)
}

/// Writes `text` to `path`, which appears complete or not at all: under another name first, then
/// synced and renamed.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| {
        // Best effort: the error that matters is the first one.
        let _ = std::fs::remove_file(&partial);
        ZooError::io(path, error)
    })
}

/// Refuses a folder that lacks `file`, naming both.
pub(crate) fn expect_file(dir: &Path, file: &str, kind: ErrorKind, hint: &str) -> Result<()> {
    if dir.join(file).is_file() {
        return Ok(());
    }
    let detail = match dir.is_dir() {
        true => format!("folder has no `{file}`"),
        false => format!("is not a folder, expected one that holds `{file}`"),
    };
    Err(ZooError::new(kind, dir.display().to_string(), detail).hint(hint))
}
