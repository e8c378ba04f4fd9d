//! The doctor's program, with and without a driver.

use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-doctor"));
    command.args(arguments);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn it_ends_well_whatever_it_finds_unless_a_gpu_is_required() {
    let output = doctor(&[]).output().unwrap();
    assert!(output.status.success());
    let usable = text(&output).trim_end().ends_with("CUDA can be used here");
    let output = doctor(&["--require"]).output().unwrap();
    assert_eq!(output.status.success(), usable, "{}", text(&output));
    assert_eq!(doctor(&["--frobnicate"]).output().unwrap().status.code(), Some(2));
}

/// A `libcuda.so` that is some other library: present, and without a single function of ours.
#[cfg(target_os = "linux")]
#[test]
fn a_library_without_our_functions_is_an_error_and_no_panic() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let library = maps
        .split_whitespace()
        .find(|word| word.starts_with('/') && word.contains(".so") && !word.contains("cuda"))
        .expect("a test program links the C library dynamically");
    let folder = std::env::temp_dir().join(format!("gpu-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(library, folder.join("libcuda.so")).unwrap();
    let output = doctor(&[]).env("LD_LIBRARY_PATH", &folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("the library has no `cuDeviceGet`"), "{text}");
    assert!(text.contains("fix: update the driver"), "{text}");
}
