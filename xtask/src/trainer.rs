//! `train`, `sweep`, `eval`, `encode`, `transcribe`, `generate`, `data`, `inspect`, `recipe`: run by the
//! release trainer.
//!
//! The current folder stays the user's, so that relative paths mean what they say; only the
//! manifest is named by its full path.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Result, spawn, workspace};

/// How the release trainer stands before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Never built here.
    Missing,
    /// A source is newer than the program, or gone.
    Stale,
    /// Nothing to do.
    Fresh,
}

/// Runs `trainer <command> <args>`, building it first where needed.
pub fn run(command: &str, args: &[String]) -> Result {
    let root = workspace::root();
    let program = format!("trainer{}", std::env::consts::EXE_SUFFIX);
    let build = state(&workspace::target_dir(&root).join("release").join(program));
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

/// Compares a program with the sources that cargo lists beside it, in a file that ends in `.d`.
fn state(program: &Path) -> Build {
    let Some(built) = modified(program) else { return Build::Missing };
    let listed = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let changed = |source: &PathBuf| modified(source).is_none_or(|time| time > built);
    if sources(&listed).iter().any(changed) { Build::Stale } else { Build::Fresh }
}

/// The files behind `program: ` in the form of `make`, where a space in a name is `\ `.
fn sources(listed: &str) -> Vec<PathBuf> {
    let files = listed.lines().next().and_then(|line| line.split_once(": "));
    // No name holds a null character.
    let files = files.map_or("", |(_, files)| files).replace("\\ ", "\0");
    files.split_whitespace().map(|file| file.replace('\0', " ").into()).collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sources_are_listed_as_for_make() {
        let expected = ["/w/a b/lib.rs", "/w/c.toml"].map(PathBuf::from);
        assert_eq!(sources("/t/trainer: /w/a\\ b/lib.rs /w/c.toml\n\n/w/c.toml:\n"), expected);
        assert!(sources("").is_empty());
    }

    #[test]
    fn a_newer_or_missing_source_makes_the_program_stale() {
        let dir = std::env::temp_dir().join(format!("xtask-state-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (program, source) = (dir.join("trainer"), dir.join("a b.rs"));
        assert_eq!(state(&program), Build::Missing);
        fs::write(&program, "").unwrap();
        assert_eq!(state(&program), Build::Fresh, "nothing is known against it");
        let name = source.display().to_string().replace(' ', "\\ ");
        fs::write(dir.join("trainer.d"), format!("trainer: {name}\n")).unwrap();
        assert_eq!(state(&program), Build::Stale);
        let built = modified(&program).unwrap();
        let file = fs::File::create(&source).unwrap();
        for (seconds_later, expected) in [(0, Build::Fresh), (1, Build::Stale)] {
            file.set_modified(built + Duration::from_secs(seconds_later)).unwrap();
            assert_eq!(state(&program), expected);
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
