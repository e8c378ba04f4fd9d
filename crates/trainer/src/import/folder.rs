//! The files of a corpus that comes in parts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// `source` itself, or where it is a folder its files that end in one of `endings`, by name.
///
/// # Errors
///
/// When the folder cannot be read or has no such file.
pub(super) fn parts(source: &Path, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if !source.is_dir() {
        return Ok(vec![source.to_path_buf()]);
    }
    let cannot = || format!("{}: cannot read folder", source.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(source).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    ensure!(
        !found.is_empty(),
        "{}: no {} there, expected some",
        source.display(),
        endings.join(" or ")
    );
    Ok(found)
}
