//! Where the workspace is: its root, its target folder, and the cargo that runs us.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace root: the parent of this package's folder.
///
/// The variable that `cargo run` sets wins over the path at build time, so that a moved checkout
/// with an old binary is still found.
pub fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// Cargo's target folder; a relative `CARGO_TARGET_DIR` counts from the current folder.
pub fn target_dir(root: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => env::current_dir().unwrap_or_default().join(dir),
        None => root.join("target"),
    }
}

/// A command for the cargo that started us.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
