//! `gpu-check.sh` from a folder of its own: what it plans, what it refuses, and a rehearsal on the
//! interpreter, whose record may not be taken for a measurement.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use consonance_benches::device::is_interpreted;
use gpu_runtime::Device;

/// A bundle of the program under test and made-up test programs: name and what they print.
fn bundle(root: &Path, tests: &[(&str, &str)]) {
    for part in ["bin", "tests", "emulator"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gpu-check.sh");
    fs::copy(script, root.join("gpu-check.sh")).unwrap();
    symlink(env!("CARGO_BIN_EXE_gpu-check"), root.join("bin/gpu-check")).unwrap();
    fs::write(root.join("bundle.txt"), "commit abc\n").unwrap();
    for (name, printed) in tests {
        let path = root.join("tests").join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{printed}'\n")).unwrap();
        // As an archive may leave it: the script marks it as a program.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let paths = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let drivers = std::env::split_paths(&paths).map(|folder| folder.join("libcuda.so.1"));
    if let Some(driver) = drivers.into_iter().find(|path| path.exists()) {
        symlink(driver, root.join("emulator/libcuda.so.1")).unwrap();
    }
}

fn check(root: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.arg(root.join("gpu-check.sh")).args(args).current_dir("/");
    command.output().expect("there is a shell")
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn a_dry_run_says_what_would_be_done_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path(), &[("a.gpu", "")]);
    let output = check(folder.path(), &["--dry-run", "--minutes", "4", "--op", "sinkhorn"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for part in ["tests: at most 97 s", "a.gpu", "sinkhorn S2", "python3 torch", "ncu"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("pairwise-cost"), "{said}");
    assert!(folder.path().join("tests/a.gpu").metadata().unwrap().permissions().mode() & 1 == 1);
}

#[test]
fn a_folder_that_lacks_something_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path(), &[]);
    let said = text(&check(folder.path(), &["--dry-run"]));
    assert!(said.contains("no tests, expected some"), "{said}");
    fs::remove_file(folder.path().join("bin/gpu-check")).unwrap();
    let output = check(folder.path(), &["--dry-run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("hint: cargo xtask gpu-bundle"), "{}", text(&output));
}

#[test]
fn a_rehearsal_goes_through_every_stage_and_marks_every_row() {
    if !std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        println!("skipped: no GPU asked for");
        return;
    }
    let device = Device::cuda(0).unwrap_or_else(|error| panic!("{error}"));
    if !is_interpreted(&device.facts().name) {
        println!("skipped: a GPU is measured, not rehearsed on");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";
    let skipped = "skipped: no GPU asked for\ntest result: ok. 1 passed; 0 failed; 0 ignored";
    bundle(folder.path(), &[("a.gpu", passed), ("b.gpu", skipped)]);
    let out = folder.path().join("out");
    let words = "--emulate --minutes 5 --op pairwise-cost --shape ragged --python no-such-python";
    let mut args: Vec<&str> = words.split(' ').collect();
    args.extend(["--out", out.to_str().unwrap()]);
    let output = check(folder.path(), &args);
    let said = text(&output);
    // The skipped test is a fault, and the only one.
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("FAULT b.gpu: skipped: no GPU asked for"), "{said}");
    assert!(said.contains("== 1 faults"), "{said}");
    assert!(said.contains("no-such-python: cannot start"), "{said}");

    let file = |ending: &str| {
        let mut files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let path = files.find(|path| path.to_string_lossy().ends_with(ending)).expect(ending);
        assert!(path.to_string_lossy().contains("_interpreted-gpu-check_"), "{path:?}");
        fs::read_to_string(path).unwrap()
    };
    let times = file("_times.csv");
    assert!(times.lines().count() > 3, "{times}");
    let marked = |row: &str| row.starts_with("\"interpreted, not a measurement\",");
    assert!(times.lines().skip(1).all(marked), "{times}");
    assert!(file("_counters.csv").contains("pairwise_cost"), "{said}");
    assert!(file("_tests.log").contains("==== b.gpu"), "{said}");
    assert!(file("_summary.md").contains("no number on this page is a measurement"));
    // No parts of its making are left.
    assert_eq!(fs::read_dir(&out).unwrap().count(), 5);

    // Without --emulate the interpreter is refused before anything is written.
    let refused = check(folder.path(), &["--out", "/nonexistent/out"]);
    assert!(text(&refused).contains("hint: --emulate rehearses"), "{}", text(&refused));
}
