//! `tidy`: the house rules as code. Every fault is `path:line: what (hint)`.
//!
//! Each rule is a function from a path and a text, or from the list of files, to faults, so that
//! its tests need no folder on disk.

mod hygiene;
mod layers;
mod markdown;
mod ptx;
mod rust_rules;
mod rust_source;
mod tree;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use self::tree::Tree;
use crate::{Result, cli, workspace};

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Path from the root, with `/`.
    path: String,
    /// Line from 1; 0 when the fault is of the whole file.
    line: usize,
    what: String,
    hint: String,
}

impl Fault {
    fn new(path: &str, line: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {} (hint: {})", self.path, self.what, self.hint),
            line => write!(f, "{}:{line}: {} (hint: {})", self.path, self.what, self.hint),
        }
    }
}

/// Checks the workspace and fails when a rule is broken.
pub fn run(args: &[String]) -> Result {
    cli::no_arguments("tidy", args)?;
    let tidy = check(&workspace::root())?;
    Ok(if tidy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints every fault and warning below `root`; true when there is no fault.
pub fn check(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    let mut faults = tree::faults(&tree);
    let mut warnings = Vec::new();
    let mut manifests = Vec::new();
    let mut registries = ptx::Registries::default();
    for file in tree.files() {
        let path = file.path.as_str();
        if !hygiene::is_source(path) && !ptx::is_kernel(path) {
            continue;
        }
        let bytes = fs::read(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
        let text = match hygiene::decode(path, &bytes) {
            Ok(text) => text,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        faults.extend(hygiene::faults(path, text));
        if path.ends_with(".rs") {
            faults.extend(rust_rules::faults(path, text));
            warnings.extend(rust_rules::length_warning(path, text));
            registries.take(path, text);
        } else if path.ends_with(".md") {
            faults.extend(markdown::faults(path, text, &tree));
        } else if ptx::is_kernel(path) {
            faults.extend(ptx::faults(path, text, &tree));
        } else if path.ends_with("Cargo.toml") {
            manifests.push((path.to_owned(), text.to_owned()));
        }
    }
    faults.extend(layers::faults(&manifests));
    faults.extend(ptx::folder_faults(&tree, &registries));
    faults.sort();
    warnings.sort();
    for warning in &warnings {
        println!("warning: {warning}");
    }
    for fault in &faults {
        println!("{fault}");
    }
    println!(
        "tidy: {} files, {} faults, {} warnings",
        tree.files().len(),
        faults.len(),
        warnings.len()
    );
    Ok(faults.is_empty())
}
