//! The packages of the workspace, as their `Cargo.toml` files tell.

use std::fs;
use std::path::Path;

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in `[package]`.
    pub name: String,
    /// Whether it has a `src/lib.rs`.
    pub has_library: bool,
}

/// The packages of the workspace: `crates/*` and the other folders of the root.
pub fn members(root: &Path) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for parent in [root.join("crates"), root.to_path_buf()] {
        let entries =
            fs::read_dir(&parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        for dir in entries.flatten().map(|entry| entry.path()) {
            let Ok(text) = fs::read_to_string(dir.join("Cargo.toml")) else { continue };
            if let Some(name) = parse(&text).name {
                members.push(Member { name, has_library: dir.join("src/lib.rs").is_file() });
            }
        }
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// The parts of a `Cargo.toml` that the rules look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its name in `[package]`; a virtual manifest has none.
    pub name: Option<String>,
    /// Entries of every dependency table.
    pub dependencies: Vec<Dependency>,
}

/// One entry of a dependency table.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The package's own name, also where the entry renames it.
    pub package: String,
    /// Line from 1.
    pub line: usize,
    /// Whether only tests, examples and benches see it.
    pub dev: bool,
}

/// Reads the tables by line: this is as much TOML as our own manifests use.
pub fn parse(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut section = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split('#').next().unwrap_or_default().trim();
            section = header.trim_end_matches(']').trim().to_owned();
            // [dependencies.name] is an entry by itself.
            if let Some((name, dev)) = table(&section).and_then(|(entry, dev)| Some((entry?, dev)))
            {
                manifest.dependencies.push(Dependency { package: name, line: at + 1, dev });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if line.starts_with('#') {
            continue;
        }
        let (key, value) = (key.trim(), value.trim());
        if section == "package" && key == "name" {
            manifest.name = Some(value.trim_matches('"').to_owned());
        }
        match table(&section) {
            Some((None, dev)) => {
                let entry = key.split('.').next().unwrap_or(key).trim_matches('"');
                let package = renamed(value).unwrap_or(entry).to_owned();
                manifest.dependencies.push(Dependency { package, line: at + 1, dev });
            }
            Some((Some(_), _)) if key == "package" => {
                if let Some(last) = manifest.dependencies.last_mut() {
                    last.package = value.trim_matches('"').to_owned();
                }
            }
            _ => {}
        }
    }
    manifest
}

/// For a dependency table: the entry that its header names, if any, and whether it is for tests.
fn table(section: &str) -> Option<(Option<String>, bool)> {
    const KINDS: [(&str, bool); 3] =
        [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
    if section.starts_with("workspace") {
        return None;
    }
    KINDS.into_iter().find_map(|(kind, dev)| {
        // The kind stands at the start or after `target.'cfg(...)'.`, never inside a word.
        let at = section
            .match_indices(kind)
            .map(|(at, _)| at)
            .find(|&at| at == 0 || section[..at].ends_with('.'))?;
        match &section[at + kind.len()..] {
            "" => Some((None, dev)),
            rest => {
                let entry = rest.strip_prefix('.')?.trim_matches('"');
                Some((Some(entry.to_owned()), dev))
            }
        }
    })
}

/// `package = "name"` of an inline table.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.strip_prefix('{')?.split_once("package")?;
    rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(body: &str) -> Vec<(String, bool)> {
        let dependencies = parse(body).dependencies;
        dependencies.into_iter().map(|used| (used.package, used.dev)).collect()
    }

    #[test]
    fn every_spelling_of_a_dependency_is_read() {
        for body in [
            "[dependencies]\na.workspace = true\n",
            "[dependencies] # why\na = \"1\"\n",
            "[build-dependencies]\na = { path = \"x\" }\n",
            "[target.'cfg(unix)'.dependencies]\na = { path = \"x\" }\n",
            "[dependencies]\nother = { path = \"x\", package = \"a\" }\n",
            "[dependencies.a]\nversion = \"1\"\n",
            "[dependencies.other]\npackage = \"a\"\n",
        ] {
            assert_eq!(uses(body), [("a".to_owned(), false)], "{body}");
        }
        assert_eq!(uses("[dev-dependencies]\na = \"1\"\n"), [("a".to_owned(), true)]);
        assert_eq!(uses("[workspace.dependencies]\na = \"1\"\n[features]\nb = []\n"), []);
    }

    #[test]
    fn this_package_is_a_member_without_a_library() {
        let members = members(&crate::workspace::root()).unwrap();
        assert!(members.contains(&Member { name: "xtask".into(), has_library: false }));
        assert!(members.contains(&Member { name: "trainer".into(), has_library: true }));
    }
}
