//! Who may depend on whom, checked against every `Cargo.toml`.

use super::Fault;
use crate::packages::{Dependency, Manifest, parse};

/// Workspace crates that each crate of `crates/` may use outside its tests.
const LAYERS: &[(&str, &[&str])] = &[
    ("audio-frontend", &[]),
    ("speech-metrics", &[]),
    ("align-kernels", &["cpu-math", "gpu-math", "gpu-runtime"]),
    ("cpu-math", &[]),
    ("gpu-math", &["gpu-runtime"]),
    ("gpu-runtime", &[]),
    ("ptx-emu", &[]),
    ("ptx-emu-cuda", &["ptx-emu"]),
    ("tensor-core", &["cpu-math"]),
    ("model-zoo", &["tensor-core"]),
    ("trainer", &["align-kernels", "audio-frontend", "model-zoo", "speech-metrics", "tensor-core"]),
];
/// Packages at the top: they may use any crate, and nobody uses them, in tests or otherwise.
const TOPS: [&str; 3] = ["consonance-benches", "consonance-tests", "xtask"];
/// Packages that use nothing at all.
const ALONE: [&str; 2] = ["speech-metrics", "xtask"];
/// The only package that may use `cudarc`.
pub const CUDA_PACKAGE: &str = "gpu-runtime";

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
        let layer = LAYERS.iter().find(|(known, _)| *known == name).map(|(_, allowed)| *allowed);
        if layer.is_none() && !TOPS.contains(&name) {
            let hint = "say what it may use, in LAYERS of xtask/src/tidy/layers.rs";
            faults.push(Fault::new(path, 1, format!("package `{name}` has no layer"), hint));
            continue;
        }
        for dependency in &manifest.dependencies {
            let used = dependency.package.as_str();
            if let Some((what, hint)) = verdict(name, layer, dependency, ours.contains(&used)) {
                faults.push(Fault::new(path, dependency.line, what, hint));
            }
        }
    }
    faults
}

/// What is wrong with one dependency of the package `name`, if something is; `layer` is what it may
/// use, `None` for any crate.
fn verdict(
    name: &str,
    layer: Option<&[&str]>,
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
    if let Some(allowed) = layer.filter(|allowed| is_ours && !allowed.contains(&used)) {
        let list = if allowed.is_empty() { "none".into() } else { allowed.join(", ") };
        return Some((what, format!("workspace crates allowed here: {list}")));
    }
    None
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
        assert_eq!(whats("consonance-tests", all), [""; 0]);
    }

    #[test]
    fn an_upward_dependency_is_found_where_it_stands() {
        let body = "[dependencies]\nanyhow = \"1\"\ntrainer.workspace = true\n";
        assert_eq!(whats("tensor-core", body), ["5: tensor-core uses trainer"]);
        let table = "[dependencies.other]\npackage = \"trainer\"\n";
        assert_eq!(whats("tensor-core", table), ["3: tensor-core uses trainer"]);
        assert_eq!(whats("tensor-core", "[dev-dependencies]\ntrainer = \"1\"\n"), [""; 0]);
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
