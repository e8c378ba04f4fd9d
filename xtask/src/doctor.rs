//! `doctor`: what this machine has, line by line, with a fix for what it lacks.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::{Result, cli, spawn, workspace};

/// Free space in the target folder below which a build is likely to fail, in GB.
const LEAST_DISK_GB: f64 = 3.0;
/// Free space that leaves room for release and test builds and a few run folders, in GB.
const GOOD_DISK_GB: f64 = 10.0;
/// Memory below which linking and the bundled demo become tight, in GB.
const GOOD_MEMORY_GB: f64 = 4.0;

/// How a line came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Works, but less well than it could.
    Note,
    /// Will not work.
    Bad,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    text: String,
    fix: Option<String>,
}

impl Finding {
    fn good(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, text: text.into(), fix: None }
    }

    fn note(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, text: text.into(), fix: Some(fix.into()) }
    }

    fn bad(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, text: text.into(), fix: Some(fix.into()) }
    }

    fn line(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        match &self.fix {
            Some(fix) => format!("{mark}  {} (fix: {fix})", self.text),
            None => format!("{mark}  {}", self.text),
        }
    }
}

/// Prints the report; fails when a line is bad.
pub fn run(args: &[String]) -> Result {
    cli::no_arguments("doctor", args)?;
    let root = workspace::root();
    let needed = needed_rust(&root);
    let findings = [
        rust(version_of("rustc").as_deref(), needed),
        cargo(version_of("cargo").as_deref()),
        cores(),
        memory(memory_gb()),
        disk(&workspace::target_dir(&root)),
        cpu(),
        nextest(),
    ];
    for finding in &findings {
        println!("{}", finding.line());
    }
    println!("\nGPU, which nothing needs:");
    gpu(&root)?;
    let healthy = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A version as two numbers, enough to compare Rust releases.
type Version = (u32, u32);

fn rust(found: Option<&str>, needed: Option<Version>) -> Finding {
    let fix = "rustup update stable, https://rustup.rs";
    let Some(found) = found else {
        return Finding::bad("rustc does not run", fix);
    };
    match (version(found), needed) {
        (Some(have), Some(needed)) if have < needed => {
            Finding::bad(format!("{found}, expected at least {}.{}", needed.0, needed.1), fix)
        }
        _ => Finding::good(found),
    }
}

fn cargo(found: Option<&str>) -> Finding {
    match found {
        Some(found) => Finding::good(found),
        None => Finding::bad("cargo does not run", "rustup update stable, https://rustup.rs"),
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism() {
        Ok(n) if n.get() > 1 => Finding::good(format!("{n} cores")),
        Ok(_) => Finding::note("1 core", "expect about twice the times that the README gives"),
        Err(error) => Finding::note(format!("cores unknown: {error}"), "none needed"),
    }
}

fn memory(found: Option<f64>) -> Finding {
    match found {
        Some(gb) if gb >= GOOD_MEMORY_GB => Finding::good(format!("{gb:.1} GB of memory")),
        Some(gb) => Finding::note(
            format!("{gb:.1} GB of memory, expected {GOOD_MEMORY_GB} GB"),
            "build with cargo's -j 1, and train with a smaller batch",
        ),
        None => Finding::note("memory unknown on this system", "none needed"),
    }
}

fn disk(target: &Path) -> Finding {
    let Some(gb) = free_disk_gb(target) else {
        return Finding::note("free disk unknown on this system", "none needed");
    };
    let text = format!("{gb:.1} GB free for {}", target.display());
    let fix = "cargo clean, or set CARGO_TARGET_DIR to a larger disk";
    match gb {
        gb if gb < LEAST_DISK_GB => Finding::bad(text, fix),
        gb if gb < GOOD_DISK_GB => Finding::note(text, fix),
        _ => Finding::good(text),
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu() -> Finding {
    let features = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    let names = |wanted| -> String {
        let chosen = features.iter().filter(|(_, has)| *has == wanted).map(|(name, _)| *name);
        chosen.collect::<Vec<_>>().join(" ")
    };
    let text = format!("x86-64 with {}", names(true));
    match names(false) {
        lacking if lacking.is_empty() => Finding::good(text),
        lacking => Finding::note(
            format!("{text}; without {lacking}"),
            "none needed, the portable code runs instead and is slower",
        ),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu() -> Finding {
    Finding::note(
        format!("{} processor", env::consts::ARCH),
        "none needed, the portable code runs here",
    )
}

fn nextest() -> Finding {
    let mut probe = workspace::cargo();
    match probe.args(["nextest", "--version"]).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Finding::good(text.lines().next().unwrap_or("cargo-nextest").to_owned())
        }
        _ => Finding::note(
            "cargo-nextest is not installed; tests run by cargo test",
            "cargo install --locked cargo-nextest",
        ),
    }
}

/// What the driver offers, told by a program of the crate that talks to it.
fn gpu(root: &Path) -> Result<()> {
    let mut report = workspace::cargo();
    report.args(["run", "--quiet", "--package", "gpu-runtime", "--bin", "gpu-doctor"]);
    if !spawn::wait(report.current_dir(root))?.success() {
        println!(
            "{}",
            Finding::note("gpu-doctor did not run", "cargo build -p gpu-runtime").line()
        );
    }
    Ok(())
}

/// First line of `program --version`.
fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// The first `major.minor` in a text.
fn version(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

/// The workspace's `rust-version`.
fn needed_rust(root: &Path) -> Option<Version> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).ok()?;
    let line = manifest.lines().find(|line| line.starts_with("rust-version"))?;
    version(&line.replace(['"', '='], " "))
}

/// Memory of the machine, or of the container where that is less.
fn memory_gb() -> Option<f64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let bytes = total.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1024.0;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<f64>().ok());
    Some(limit.map_or(bytes, |limit| limit.min(bytes)) / 1e9)
}

/// Free space for `path`, or for the nearest folder above it that exists.
fn free_disk_gb(path: &Path) -> Option<f64> {
    let existing = path.ancestors().find(|dir| dir.is_dir())?;
    let output = Command::new("df").arg("-Pk").arg(existing).output().ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// The fourth column, available KiB, of the only row of `df -Pk`.
fn parse_df(text: &str) -> Option<f64> {
    let kib: f64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib * 1024.0 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_compiler_is_bad_and_says_how_to_update() {
        let old = rust(Some("rustc 1.70.0 (90c541806 2023-05-31)"), Some((1, 89)));
        assert_eq!(old.verdict, Verdict::Bad);
        assert!(
            old.line().contains("expected at least 1.89 (fix: rustup update"),
            "{}",
            old.line()
        );
        assert_eq!(rust(Some("rustc 1.89.0"), Some((1, 89))).verdict, Verdict::Good);
        assert_eq!(rust(None, None).verdict, Verdict::Bad);
    }

    #[test]
    fn versions_and_free_space_are_read_from_real_texts() {
        assert_eq!(version("rustc 1.95.0-nightly (abc 2026-01-01)"), Some((1, 95)));
        assert_eq!(version("no number"), None);
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                  /dev/vda1 100000000 50000000 48828125 51% /\n";
        assert_eq!(parse_df(df), Some(50.0));
        assert_eq!(parse_df(""), None);
    }

    #[test]
    fn the_workspace_states_its_compiler() {
        assert!(needed_rust(&workspace::root()).is_some());
    }

    #[test]
    fn little_memory_is_a_note_with_a_fix() {
        assert_eq!(memory(Some(16.0)).verdict, Verdict::Good);
        assert!(memory(Some(1.0)).line().starts_with("note  1.0 GB"));
    }
}
