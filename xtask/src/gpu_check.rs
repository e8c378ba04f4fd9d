//! `gpu-check` and `gpu-bundle`: everything that a real GPU is asked, here or on another machine.
//!
//! Both make the same folder, so that what runs elsewhere is what runs here: release test programs,
//! `gpu-check` of the benches with its PTX embedded, the peers' scripts, and the interpreter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::{Result, emulate, spawn, workspace};

/// Packages whose test programs of a device go into the bundle.
const TESTED: [&str; 3] = ["align-kernels", "gpu-math", "gpu-runtime"];
/// The package with the program and the scripts.
const BENCHES: &str = "consonance-benches";
/// What a bundle may weigh, so that it travels with a working tree.
const MOST_BYTES: u64 = 60_000_000;

/// What `--help` of `gpu-check` says.
pub const CHECK_OPTIONS: &str = "options
  --minutes N      stop after so long, most important first (default: 8)
  --python NAME    interpreter with torch, jax and others for the peers (default: python3)
  --stage NAME     only this one: kernels, tests, times, peers, counters; may be repeated
  --op, --shape    only cases of these names
  --out DIR        write the record there, not into benches/record/CARD/
  --emulate        rehearse on the PTX interpreter; the record says that nothing was measured
  --dry-run        say what would be done
";
/// What `--help` of `gpu-bundle` says.
pub const BUNDLE_OPTIONS: &str =
    "makes target/gpu-bundle: copy it to a machine with a driver, and there
  sh gpu-bundle/gpu-check.sh --minutes 8 --out DIR
";

/// Makes the bundle and runs it here.
pub fn run(args: &[String]) -> Result {
    let root = workspace::root();
    let bundle = bundle(&root)?;
    let mut command = Command::new("sh");
    command.arg(bundle.join("gpu-check.sh"));
    command.arg("--records").arg(root.join("benches/record")).args(args);
    spawn::become_command(command)
}

/// Makes the bundle alone.
pub fn make(args: &[String]) -> Result {
    crate::cli::no_arguments("gpu-bundle", args)?;
    let bundle = bundle(&workspace::root())?;
    println!("{}: {:.1} MB", bundle.display(), size(&bundle)? as f64 / 1e6);
    let archive = bundle.with_extension("tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(bundle.parent().unwrap_or(&bundle));
    // Without tar the folder does as well.
    if spawn::wait(tar.arg("gpu-bundle")).is_ok_and(|status| status.success()) {
        println!("{}: {:.1} MB", archive.display(), fs::metadata(&archive)?.len() as f64 / 1e6);
    }
    Ok(ExitCode::SUCCESS)
}

/// Times the cases by events, through the same program.
pub fn times(args: &[String]) -> Result {
    let root = workspace::root();
    let record = args.iter().any(|arg| arg == "--record");
    let list = args.iter().any(|arg| arg == "--list");
    let folder = workspace::target_dir(&root).join("gpu-times");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("bundle.txt"), facts(&root))?;
    let mut cargo = release(&root, "run");
    cargo.args(["--bin", "gpu-check", "--", "--stage", "times", "--bundle"]).arg(&folder);
    let records = if record { root.join("benches/record") } else { folder };
    cargo.arg("--records").arg(records);
    if list {
        cargo.arg("--dry-run");
    }
    cargo.args(args.iter().filter(|arg| !["--record", "--list"].contains(&arg.as_str())));
    spawn::become_command(cargo)
}

/// Builds all and lays it out anew.
fn bundle(root: &Path) -> Result<PathBuf> {
    let folder = workspace::target_dir(root).join("gpu-bundle");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    for part in ["bin", "tests", "emulator", "peers/gpu", "peers/kernels"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let programs = executables(root, release(root, "build").args(["--bin", "gpu-check"]))?;
    for (_, path) in programs {
        place(&path, &folder.join("bin/gpu-check"))?;
    }
    let mut tests = workspace::cargo();
    tests.args(["test", "--release", "--no-run", "--test", &format!("{}*", emulate::PREFIX)]);
    tests.args(TESTED.iter().flat_map(|name| ["--package", name]));
    tests.env("CARGO_INCREMENTAL", "0");
    for (name, path) in executables(root, &mut tests)? {
        place(&path, &folder.join("tests").join(name))?;
    }
    // One of the driver's names is enough for every loader, and half the weight.
    place(&emulate::library(root)?.join("libcuda.so.1"), &folder.join("emulator/libcuda.so.1"))?;
    for part in ["gpu", "kernels"] {
        for entry in fs::read_dir(root.join("benches/peers").join(part))?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "py") {
                fs::copy(entry.path(), folder.join("peers").join(part).join(entry.file_name()))?;
            }
        }
    }
    fs::copy(root.join("benches/gpu-check.sh"), folder.join("gpu-check.sh"))?;
    fs::write(folder.join("bundle.txt"), facts(root))?;
    let bytes = size(&folder)?;
    if bytes > MOST_BYTES {
        let text = format!(
            "{}: {bytes} bytes, expected at most {MOST_BYTES} (hint: is `strip` on the path)",
            folder.display()
        );
        return Err(text.into());
    }
    Ok(folder)
}

/// A release build of the benches, whole as users build it.
fn release(root: &Path, verb: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args([verb, "--release", "--package", BENCHES]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).env("CARGO_INCREMENTAL", "0");
    cargo
}

/// The programs that a build made: `PACKAGE.PROGRAM` and the file.
fn executables(root: &Path, cargo: &mut Command) -> Result<Vec<(String, PathBuf)>> {
    cargo.args(["--message-format", "json-render-diagnostics"]).current_dir(root);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("gpu-bundle: the build failed".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<_> = text.lines().filter_map(executable).collect();
    if found.is_empty() {
        return Err("gpu-bundle: the build named no program, expected some".into());
    }
    Ok(found)
}

/// Package, program and file of one of cargo's messages, if it is of a program. The messages are JSON
/// with strings that hold nothing to unescape but on Windows, where the interpreter is not built either.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let after = |text: &str, key: &str| -> Option<String> {
        let start = text.find(key)? + key.len();
        Some(text[start..].split('"').next()?.to_owned())
    };
    let file = after(line, "\"executable\":\"")?;
    let manifest = after(line, "\"manifest_path\":\"")?;
    let package = Path::new(&manifest).parent()?.file_name()?.to_string_lossy().into_owned();
    let target = &line[line.find("\"target\":{")?..];
    // Programs that a test starts are built with it.
    if package != "benches" && !target.starts_with("\"target\":{\"kind\":[\"test\"]") {
        return None;
    }
    Some((format!("{package}.{}", after(target, "\"name\":\"")?), file.into()))
}

/// Copies a program without its symbols, where there is a `strip`.
fn place(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-unneeded").arg(to).stderr(Stdio::null());
    if !strip.status().is_ok_and(|status| status.success()) {
        println!("gpu-bundle: {} keeps its symbols, there is no `strip`", to.display());
    }
    Ok(())
}

/// `bundle.txt`: what it was made from.
fn facts(root: &Path) -> String {
    let first_line = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(root).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let commit = first_line("git", &["rev-parse", "HEAD"]).unwrap_or_else(unknown);
    let changed =
        first_line("git", &["status", "--porcelain"]).is_some_and(|line| !line.is_empty());
    let changed = if changed { " with changes" } else { "" };
    let made = first_line("date", &["-u", "+%Y-%m-%dT%H:%MZ"]).unwrap_or_else(unknown);
    let rustc = first_line("rustc", &["--version"]).unwrap_or_else(unknown);
    format!("commit {commit}{changed}\nmade {made}\nrustc {rustc}\n")
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/crates/gpu-math#0.1.0","manifest_path":"/w/crates/gpu-math/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"gpu","src_path":"/w/crates/gpu-math/tests/gpu/main.rs"},"profile":{},"filenames":["/w/target/release/deps/gpu-1"],"executable":"/w/target/release/deps/gpu-1","fresh":true}"#;
        let (name, path) = executable(line).unwrap();
        assert_eq!(
            (name.as_str(), path.to_str()),
            ("gpu-math.gpu", Some("/w/target/release/deps/gpu-1"))
        );
        assert_eq!(
            executable(
                &line.replace("\"/w/target/release/deps/gpu-1\",\"fresh\"", "null,\"fresh\"")
            ),
            None
        );
    }

    #[test]
    fn a_folder_weighs_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("gpu-bundle-test-{}", std::process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::write(folder.join("a/b"), "123").unwrap();
        fs::write(folder.join("c"), "4").unwrap();
        assert_eq!(size(&folder).unwrap(), 4);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_commit_is_the_first_fact() {
        assert!(facts(&workspace::root()).starts_with("commit "));
    }
}
