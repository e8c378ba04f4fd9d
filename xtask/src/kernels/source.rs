//! The PTX files of `kernels/`, and the few facts that are read off their text: version, target and
//! entry names.
//!
//! Not a parser: the assembler is one. It finds three directives outside comments, each with its
//! line, so that the rules can point at them.

use std::fs;
use std::path::Path;

/// The folder of the kernels, below the root.
pub const FOLDER: &str = "kernels";

/// What a `.target` of ours is assembled for.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The word in the file.
    pub name: &'static str,
    /// The architectures that must take the file: the driver compiles it for each of them.
    pub architectures: &'static [&'static str],
    /// The newest `.version` allowed: a newer one shuts out drivers that could run the kernel.
    pub newest_version: Version,
}

/// The targets that kernels are written for. `sm_90a` code runs on that architecture alone.
pub const TARGETS: &[Target] = &[
    Target { name: "sm_80", architectures: &["sm_80", "sm_90", "sm_100"], newest_version: (7, 8) },
    Target { name: "sm_90a", architectures: &["sm_90a"], newest_version: (8, 0) },
];

/// Major and minor number of a PTX version.
pub type Version = (u32, u32);

/// A word of the text and its line, from 1.
pub type Placed<T> = (usize, T);

/// What the text of a PTX file says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `.version`, where it is two numbers.
    pub version: Option<Placed<Version>>,
    /// First word after `.target`.
    pub target: Option<Placed<String>>,
    /// Names of the `.entry` functions.
    pub entries: Vec<Placed<String>>,
}

impl Facts {
    /// Reads the facts; a directive without its operand is left out.
    pub fn of(text: &str) -> Self {
        let mut facts = Self::default();
        let mut awaited: Option<String> = None;
        for (at, line) in without_comments(text).lines().enumerate() {
            let is_edge = |c: char| c.is_whitespace() || "(){}[],;".contains(c);
            for word in line.split(is_edge).filter(|word| !word.is_empty()) {
                match awaited.take().as_deref() {
                    Some(".version") => facts.version = version(word).map(|v| (at + 1, v)),
                    Some(".target") => facts.target = Some((at + 1, word.to_owned())),
                    Some(".entry") => facts.entries.push((at + 1, word.to_owned())),
                    _ if [".version", ".target", ".entry"].contains(&word) => {
                        awaited = Some(word.to_owned());
                    }
                    _ => {}
                }
            }
        }
        facts
    }

    /// The target of ours that the file names, if it is one.
    pub fn known_target(&self) -> Option<&'static Target> {
        let (_, name) = self.target.as_ref()?;
        TARGETS.iter().find(|target| target.name == name)
    }
}

fn version(word: &str) -> Option<Version> {
    let (major, minor) = word.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The text with comments blanked and its lines kept.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        let (before, comment) = rest.split_at(at);
        let length = match comment.starts_with("//") {
            true => comment.find('\n'),
            false => comment[2..].find("*/").map(|end| end + 4),
        };
        let (comment, after) = comment.split_at(length.unwrap_or(comment.len()));
        code.push_str(before);
        code.push(' ');
        code.extend(comment.matches('\n'));
        rest = after;
    }
    code.push_str(rest);
    code
}

/// One file of `kernels/<op>/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The kernels of the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Every PTX file, in order of path.
    pub files: Vec<Source>,
    /// Folders of operations that have none.
    pub empty: Vec<String>,
}

impl Sources {
    /// Reads `kernels/*/*.ptx` below `root`; no folder, no kernels.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut sources = Self::default();
        let folder = root.join(FOLDER);
        if !folder.exists() {
            return Ok(sources);
        }
        for op in names(&folder)? {
            let dir = folder.join(&op);
            if !dir.is_dir() {
                continue;
            }
            let before = sources.files.len();
            for name in names(&dir)?.into_iter().filter(|name| name.ends_with(".ptx")) {
                let path = format!("{FOLDER}/{op}/{name}");
                let bytes =
                    fs::read(dir.join(&name)).map_err(|error| format!("{path}: {error}"))?;
                // Bytes outside UTF-8 are left to the assembler and to tidy.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                sources.files.push(Source { path, text });
            }
            if sources.files.len() == before {
                sources.empty.push(format!("{FOLDER}/{op}"));
            }
        }
        Ok(sources)
    }
}

/// Names in a folder, in order.
fn names(dir: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_with_their_lines_and_not_in_comments() {
        let text = "// .version 1.0\n/* .entry no\n.target no */.version 7.8\n.target sm_80, debug\n\
                    .visible .entry a_v1(\n) { ret; }\n.entry\n    b_v1 { ret; } // .entry c\n";
        let expected = Facts {
            version: Some((3, (7, 8))),
            target: Some((4, "sm_80".into())),
            entries: vec![(5, "a_v1".into()), (8, "b_v1".into())],
        };
        assert_eq!(Facts::of(text), expected);
        assert_eq!(expected.known_target().unwrap().architectures, ["sm_80", "sm_90", "sm_100"]);
    }

    #[test]
    fn open_ends_and_odd_versions_are_survived() {
        for text in ["", "/*", "//", ".entry", ".version\n", ".version 9", ".version x.y", "/*/ a"]
        {
            assert_eq!(Facts::of(text), Facts::default(), "{text}");
        }
        assert_eq!(Facts::of(".target sm_75\n").known_target(), None);
    }

    #[test]
    fn code_for_one_architecture_is_assembled_for_that_one() {
        let target = Facts::of(".target sm_90a").known_target().unwrap();
        assert_eq!(target.architectures, ["sm_90a"]);
    }
}
