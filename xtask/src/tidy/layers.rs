//! Who may depend on whom, checked against every `Cargo.toml`.

use std::fs;
use std::path::Path;

use super::Fault;

/// Workspace crates that each crate may use outside its tests.
const LAYERS: &[(&str, &[&str])] = &[
    ("audio-frontend", &[]),
    ("speech-metrics", &[]),
    ("tensor-core", &[]),
    ("model-zoo", &["tensor-core"]),
    ("trainer", &["audio-frontend", "model-zoo", "speech-metrics", "tensor-core"]),
    ("xtask", &[]),
    (
        "consonance-tests",
        &["audio-frontend", "model-zoo", "speech-metrics", "tensor-core", "trainer"],
    ),
    (
        "consonance-benches",
        &["audio-frontend", "model-zoo", "speech-metrics", "tensor-core", "trainer"],
    ),
];
/// Packages at the top, which nobody uses, in tests or otherwise.
const TOPS: [&str; 3] = ["consonance-benches", "consonance-tests", "xtask"];
/// Packages that use nothing at all.
const ALONE: [&str; 2] = ["speech-metrics", "xtask"];
/// The only package that may use `cudarc`.
const CUDA_PACKAGE: &str = "gpu-runtime";

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

/// Faults of all manifests, given as path and text.
pub fn faults(manifests: &[(String, String)]) -> Vec<Fault> {
    let parsed: Vec<(&str, Manifest)> =
        manifests.iter().map(|(path, text)| (path.as_str(), parse(text))).collect();
    let ours: Vec<&str> =
        parsed.iter().filter_map(|(_, manifest)| manifest.name.as_deref()).collect();
    let mut faults = Vec::new();
    for (path, manifest) in &parsed {
        // The root is a virtual manifest and depends on nothing.
        let Some(name) = manifest.name.as_deref() else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == name) else {
            let hint = "say what it may use, in LAYERS of xtask/src/tidy/layers.rs";
            faults.push(Fault::new(path, 1, format!("package `{name}` has no layer"), hint));
            continue;
        };
        for dependency in &manifest.dependencies {
            let used = dependency.package.as_str();
            if let Some((what, hint)) = verdict(name, allowed, dependency, ours.contains(&used)) {
                faults.push(Fault::new(path, dependency.line, what, hint));
            }
        }
    }
    faults
}

/// What is wrong with one dependency of the package `name`, if something is.
fn verdict(
    name: &str,
    allowed: &[&str],
    dependency: &Dependency,
    is_ours: bool,
) -> Option<(String, String)> {
    let used = dependency.package.as_str();
    let what = format!("{name} uses {used}");
    if TOPS.contains(&used) {
        return Some((what, "nobody depends on tests, benches or xtask".into()));
    }
    if used == "cudarc" && name != CUDA_PACKAGE {
        return Some((what, format!("only {CUDA_PACKAGE} names cudarc; call that crate")));
    }
    if dependency.dev {
        return None;
    }
    if ALONE.contains(&name) {
        return Some((what, "this package has no dependency at all".into()));
    }
    if is_ours && !allowed.contains(&used) {
        let list = if allowed.is_empty() { "none".into() } else { allowed.join(", ") };
        return Some((what, format!("workspace crates allowed here: {list}")));
    }
    None
}

/// The parts of a `Cargo.toml` that the rules look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Manifest {
    name: Option<String>,
    dependencies: Vec<Dependency>,
}

/// One entry of a dependency table.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    /// The package's own name, also where the entry renames it.
    package: String,
    line: usize,
    /// Whether only tests, examples and benches see it.
    dev: bool,
}

/// Reads the tables by line: this is as much TOML as our own manifests use.
fn parse(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut section = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
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

    fn manifest(name: &str, body: &str) -> (String, String) {
        (format!("crates/{name}/Cargo.toml"), format!("[package]\nname = \"{name}\"\n{body}"))
    }

    /// Faults of one manifest among neighbours that are in order.
    fn whats(name: &str, body: &str) -> Vec<String> {
        let names = LAYERS.iter().map(|(known, _)| *known).filter(|known| *known != name);
        let mut manifests: Vec<_> = names.map(|name| manifest(name, "")).collect();
        manifests.push(manifest(name, body));
        faults(&manifests).iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
    }

    #[test]
    fn the_layers_that_the_design_draws_are_in_order() {
        assert_eq!(whats("model-zoo", "[dependencies]\ntensor-core.workspace = true\n"), [""; 0]);
        let all = "[dependencies]\nanyhow = \"1\"\naudio-frontend.workspace = true\n\
                   model-zoo = { path = \"../model-zoo\" }\n\n[dependencies.tensor-core]\n\
                   workspace = true\n";
        assert_eq!(whats("trainer", all), [""; 0]);
        assert_eq!(whats("audio-frontend", "[dependencies]\nrayon = \"1\"\n"), [""; 0]);
        assert_eq!(whats("speech-metrics", "[dev-dependencies]\nproptest = \"1\"\n"), [""; 0]);
    }

    #[test]
    fn an_upward_dependency_is_found_in_every_spelling() {
        for body in [
            "[dependencies]\ntrainer.workspace = true\n",
            "[build-dependencies]\ntrainer = { path = \"x\" }\n",
            "[target.'cfg(unix)'.dependencies]\ntrainer = { path = \"x\" }\n",
            "[dependencies]\nother = { path = \"x\", package = \"trainer\" }\n",
        ] {
            assert_eq!(whats("tensor-core", body), ["4: tensor-core uses trainer"], "{body}");
        }
        let table = "[dependencies.other]\npackage = \"trainer\"\n";
        assert_eq!(whats("tensor-core", table), ["3: tensor-core uses trainer"]);
    }

    #[test]
    fn nobody_uses_the_tops_and_two_packages_use_nothing() {
        let body = "[dev-dependencies]\nconsonance-tests = { path = \"x\" }\n";
        assert_eq!(whats("trainer", body), ["4: trainer uses consonance-tests"]);
        assert_eq!(whats("xtask", "[dependencies]\nanyhow = \"1\"\n"), ["4: xtask uses anyhow"]);
        let body = "[dependencies]\nserde = \"1\"\n";
        assert_eq!(whats("speech-metrics", body), ["4: speech-metrics uses serde"]);
    }

    #[test]
    fn cudarc_and_unknown_packages_are_faults() {
        let body = "[dev-dependencies]\ncudarc = \"0.17\"\n";
        assert_eq!(whats("trainer", body), ["4: trainer uses cudarc"]);
        assert_eq!(whats("newcomer", ""), ["1: package `newcomer` has no layer"]);
    }

    #[test]
    fn the_root_manifest_lists_versions_without_using_them() {
        let root = "[workspace.dependencies]\ntrainer = { path = \"x\" }\ncudarc = \"0.17\"\n";
        assert_eq!(faults(&[("Cargo.toml".into(), root.into())]), []);
    }
}
