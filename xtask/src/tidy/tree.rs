//! The list of files, and the rules that need nothing but it: sizes, golden folders, attributes.

use std::collections::BTreeSet;
use std::fs;
use std::iter::successors;
use std::path::Path;
use std::process::Command;

use super::Fault;

/// Largest file outside `assets/`, in bytes.
const MAX_FILE: u64 = 1_500_000;
/// Largest sum of the files in `assets/`, in bytes.
const MAX_ASSETS: u64 = 25_000_000;

/// One file of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Path from the root, with `/`.
    pub path: String,
    /// Size in bytes.
    pub len: u64,
}

/// The files of the workspace, without what git ignores.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<File>,
    dirs: BTreeSet<String>,
}

impl Tree {
    /// Lists the files below `root`: by git where it answers, else by walking the folders.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(root, "", &mut paths)?;
                paths
            }
        };
        paths.sort();
        paths.dedup();
        let with_size = paths.into_iter().filter_map(|path| {
            // A file that git knows and that was deleted since has no size and is left out.
            let meta = fs::metadata(root.join(&path)).ok().filter(|meta| meta.is_file())?;
            Some((path, meta.len()))
        });
        Ok(Self::new(with_size))
    }

    /// A tree of the given paths and sizes.
    pub fn new(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        let files: Vec<File> = files.into_iter().map(|(path, len)| File { path, len }).collect();
        let mut dirs = BTreeSet::new();
        for file in &files {
            let mut dir = parent(&file.path);
            while !dir.is_empty() {
                dirs.insert(dir.to_owned());
                dir = parent(dir);
            }
        }
        Self { files, dirs }
    }

    /// Every file, in order of path.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Whether `path` is a file or a folder of the tree; the empty path is the root.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.dirs.contains(path) || self.files.iter().any(|f| f.path == path)
    }

    /// Names of the files that lie directly in `dir`.
    fn names_in(&self, dir: &str) -> impl Iterator<Item = &str> {
        self.files.iter().filter(move |file| parent(&file.path) == dir).map(|file| name(&file.path))
    }
}

/// Faults of sizes and golden folders.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut assets = 0;
    for file in tree.files() {
        if file.path.starts_with("assets/") {
            assets += file.len;
        } else if file.len > MAX_FILE {
            let what = format!("{} bytes, expected at most {MAX_FILE}", file.len);
            let hint = "large data belongs in assets/, or is made by a script";
            faults.push(Fault::new(&file.path, 0, what, hint));
        }
    }
    if assets > MAX_ASSETS {
        let what = format!("{assets} bytes in all, expected at most {MAX_ASSETS}");
        faults.push(Fault::new("assets", 0, what, "leave out or compress the largest files"));
    }
    faults.extend(golden(tree));
    faults
}

/// Golden data has the script that made it, and the versions it was made with, beside it.
fn golden(tree: &Tree) -> Vec<Fault> {
    let mut judged = BTreeSet::new();
    let mut faults = Vec::new();
    for file in tree.files() {
        let Some(top) = golden_top(&file.path) else { continue };
        let name = name(&file.path);
        let is_data = !name.ends_with(".py") && !name.ends_with(".md") && name != "versions.json";
        let dir = parent(&file.path);
        if !is_data || !judged.insert(dir) {
            continue;
        }
        let mut above =
            successors(Some(dir), |dir| Some(parent(dir))).take_while(|dir| dir.len() >= top.len());
        let explained = above.any(|dir| {
            tree.names_in(dir).any(|name| name.starts_with("make_") && name.ends_with(".py"))
                && tree.names_in(dir).any(|name| name == "versions.json")
        });
        if !explained {
            let what = "golden data without a make_*.py and a versions.json beside it";
            let hint = "commit the script that made it and the versions of the libraries it used";
            faults.push(Fault::new(dir, 0, what, hint));
        }
    }
    faults
}

/// The golden folder that must explain the file: `crates/X/tests/golden` or `tests/golden/TOPIC`.
fn golden_top(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["crates", name, "tests", "golden", _, ..] => Some(format!("crates/{name}/tests/golden")),
        ["tests", "golden", topic, _, ..] => Some(format!("tests/golden/{topic}")),
        // A file with no topic folder can be explained by nothing but its own folder.
        ["tests", "golden", _] => Some("tests/golden".into()),
        _ => None,
    }
}

/// The path without its last part; empty at the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    // Without its own .git, the folder may lie inside some other repository that ignores it.
    root.join(".git").exists().then_some(())?;
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> Result<(), String> {
    const SKIPPED: [&str; 4] = [".git", "target", "runs", "__pycache__"];
    let dir = root.join(below);
    let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !SKIPPED.contains(&name.as_str()) => {
                walk(root, &path, paths)?;
            }
            Ok(kind) if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u64)]) -> Tree {
        Tree::new(files.iter().map(|&(path, len)| (path.to_owned(), len)))
    }

    fn paths(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.path.as_str()).collect()
    }

    #[test]
    fn a_large_file_is_welcome_in_assets_only() {
        let found = faults(&tree(&[("assets/a.ogg", 9_000_000), ("crates/x/a.bin", 1_500_001)]));
        assert_eq!(paths(&found), ["crates/x/a.bin"]);
        let found = faults(&tree(&[("assets/a", 20_000_000), ("assets/b", 5_000_001)]));
        assert_eq!(paths(&found), ["assets"]);
    }

    #[test]
    fn golden_data_needs_its_script_and_versions() {
        let whole = [
            ("crates/x/tests/golden/a.json", 1),
            ("crates/x/tests/golden/deep/b.json", 1),
            ("crates/x/tests/golden/make_a.py", 1),
            ("crates/x/tests/golden/versions.json", 1),
            ("tests/golden/topic/case.json", 1),
            ("tests/golden/topic/make_topic.py", 1),
            ("tests/golden/topic/versions.json", 1),
            ("tests/golden/README.md", 1),
        ];
        assert_eq!(faults(&tree(&whole)), []);
        for missing in [2, 3, 5, 6] {
            let mut broken = whole.to_vec();
            broken.remove(missing);
            assert!(!faults(&tree(&broken)).is_empty(), "without {:?}", whole[missing]);
        }
    }

    #[test]
    fn one_topic_does_not_explain_another() {
        let found = faults(&tree(&[
            ("tests/golden/a/make_a.py", 1),
            ("tests/golden/a/versions.json", 1),
            ("tests/golden/b/case.json", 1),
            ("tests/golden/loose.json", 1),
        ]));
        assert_eq!(paths(&found), ["tests/golden/b", "tests/golden"]);
    }

    #[test]
    fn folders_and_the_root_are_part_of_the_tree() {
        let tree = tree(&[("a/b/c.md", 1)]);
        for (path, expected) in [("", true), ("a", true), ("a/b/", true), ("a/b/c.md", true)] {
            assert_eq!(tree.has(path), expected, "{path}");
        }
        assert!(!tree.has("a/c.md"));
    }
}
