//! `train`, `eval`, `encode`, `transcribe`, `data`, `recipe`: run by the release trainer.
//!
//! The current folder stays the user's, so that relative paths mean what they say; only the
//! manifest is named by its full path.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::{Result, spawn, workspace};

/// How the release trainer stands before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Never built here.
    Missing,
    /// A source is newer than the program.
    Stale,
    /// Nothing to do.
    Fresh,
}

/// Runs `trainer <command> <args>`, building it first where needed.
pub fn run(command: &str, args: &[String]) -> Result {
    let root = workspace::root();
    let program = format!("trainer{}", std::env::consts::EXE_SUFFIX);
    let built = modified(&workspace::target_dir(&root).join("release").join(program));
    let build = state(built, newest_source(&root));
    match build {
        Build::Missing => {
            eprintln!("building the release trainer (first time: a few minutes)");
        }
        Build::Stale => eprintln!("rebuilding the release trainer (its sources changed)"),
        Build::Fresh => {}
    }
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--package", "trainer", "--manifest-path"]);
    cargo.arg(root.join("Cargo.toml"));
    // While there is something to build, cargo's progress is worth more than a quiet terminal.
    if build == Build::Fresh {
        cargo.arg("--quiet");
    }
    cargo.arg("--").arg(command).args(args);
    spawn::become_command(cargo)
}

fn state(program: Option<SystemTime>, source: Option<SystemTime>) -> Build {
    match (program, source) {
        (None, _) => Build::Missing,
        (Some(program), Some(source)) if source > program => Build::Stale,
        (Some(_), _) => Build::Fresh,
    }
}

/// When the youngest file that goes into the trainer was changed.
fn newest_source(root: &Path) -> Option<SystemTime> {
    let mut newest = modified(&root.join("Cargo.lock"));
    let crates = fs::read_dir(root.join("crates")).ok()?;
    for entry in crates.flatten() {
        newest = newest.max(modified(&entry.path().join("Cargo.toml")));
        newest = newest.max(newest_below(&entry.path().join("src")));
    }
    newest
}

fn newest_below(dir: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(dir).ok()?;
    let ages = entries.flatten().map(|entry| match entry.path() {
        path if path.is_dir() => newest_below(&path),
        path => modified(&path),
    });
    ages.max().flatten()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_newer_source_makes_the_program_stale() {
        let early = Some(SystemTime::UNIX_EPOCH);
        let late = early.map(|time| time + Duration::from_secs(1));
        assert_eq!(state(None, early), Build::Missing);
        assert_eq!(state(early, late), Build::Stale);
        assert_eq!(state(late, early), Build::Fresh);
        assert_eq!(state(early, early), Build::Fresh);
        assert_eq!(state(early, None), Build::Fresh);
    }

    #[test]
    fn this_workspace_has_sources() {
        assert!(newest_source(&workspace::root()).is_some());
    }
}
