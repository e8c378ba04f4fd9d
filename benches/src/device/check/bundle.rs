//! Where programs, scripts and the interpreter lie: a folder that holds all that a check needs.
//!
//! `cargo xtask gpu-bundle` makes it: `bin/gpu-check`, `tests/PACKAGE.PROGRAM`, `peers/`,
//! `emulator/libcuda.so.1`, and `bundle.txt` with what it was made from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A bundle that was found.
#[derive(Debug)]
pub(super) struct Bundle {
    root: PathBuf,
}

/// A test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestProgram {
    /// Package and program.
    pub(super) name: String,
    /// Its file.
    pub(super) path: PathBuf,
}

impl Bundle {
    /// The folder that is named, or else the one above the folder of this program.
    pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        let root = match named {
            Some(root) => root.to_path_buf(),
            None => {
                let own = std::env::current_exe().context("where is this program")?;
                own.ancestors().nth(2).context("this program lies in no folder")?.to_path_buf()
            }
        };
        ensure!(
            root.join("bundle.txt").is_file(),
            "{}: no bundle (hint: cargo xtask gpu-bundle makes one in target/gpu-bundle)",
            root.display()
        );
        Ok(Self { root: root.canonicalize()? })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Test programs by name.
    pub(super) fn tests(&self) -> anyhow::Result<Vec<TestProgram>> {
        let folder = self.root.join("tests");
        let entries =
            fs::read_dir(&folder).with_context(|| format!("{}: no tests", folder.display()))?;
        let mut tests = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            tests.push(TestProgram { name, path: entry.path() });
        }
        tests.sort_by(|a, b| a.name.cmp(&b.name));
        ensure!(!tests.is_empty(), "{}: no tests, expected some", folder.display());
        Ok(tests)
    }

    /// Folder of the drop-in driver.
    pub(super) fn emulator(&self) -> PathBuf {
        self.root.join("emulator")
    }

    /// The script that times other libraries.
    pub(super) fn peers(&self) -> PathBuf {
        self.root.join("peers/gpu/time_peers.py")
    }

    /// This program.
    pub(super) fn program(&self) -> anyhow::Result<PathBuf> {
        std::env::current_exe().context("where is this program")
    }

    /// What it was made from: the line of `bundle.txt` that begins with `key`.
    pub(super) fn fact(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join("bundle.txt")).ok()?;
        let fact = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        Some(fact.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_lists_its_tests_and_facts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Bundle::find(Some(folder.path())).unwrap_err().to_string().contains("gpu-bundle"));
        fs::write(folder.path().join("bundle.txt"), "commit abc\nmade 2026-01-02\n").unwrap();
        let bundle = Bundle::find(Some(folder.path())).unwrap();
        assert!(bundle.tests().is_err());
        fs::create_dir(folder.path().join("tests")).unwrap();
        for name in ["b.gpu", "a.gpu"] {
            fs::write(folder.path().join("tests").join(name), "").unwrap();
        }
        let names: Vec<_> = bundle.tests().unwrap().into_iter().map(|test| test.name).collect();
        assert_eq!(names, ["a.gpu", "b.gpu"]);
        assert_eq!(bundle.fact("commit").as_deref(), Some("abc"));
        assert_eq!(bundle.fact("com"), None);
    }
}
