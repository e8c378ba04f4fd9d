//! From manifest lines to model inputs.

pub mod audio;
pub mod text;

use std::path::PathBuf;

/// Folder of what can be made again: `CONSONANCE_CACHE`, else `consonance` in the user's cache
/// folder, else `runs/cache`.
pub fn cache_dir() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    from("CONSONANCE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("consonance")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache").join("consonance")))
        .unwrap_or_else(|| PathBuf::from("runs").join("cache"))
}
