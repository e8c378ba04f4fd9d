//! Text files of corpora.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// A whole text file, without a byte order mark.
///
/// # Errors
///
/// Names the file that cannot be read and the line that is not UTF-8.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        anyhow::anyhow!("{}:{line}: not UTF-8 text (hint: convert the file)", path.display())
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The error of JSON that is not as `corpus` has it.
pub(super) fn json_error(path: &Path, error: &serde_json::Error, corpus: &str) -> anyhow::Error {
    let detail = error.to_string();
    let detail = detail.split(" at line ").next().unwrap_or_default();
    let (place, line, column) = (path.display(), error.line(), error.column());
    anyhow::anyhow!(
        "{place}:{line}: not as {corpus} has it: {detail} at column {column} (hint: is the download \
         complete)"
    )
}
