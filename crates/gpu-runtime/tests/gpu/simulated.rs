//! Machines that lack something, played by the interpreter's drop-in driver: what a user reads.
//!
//! On a real GPU there is nothing to play, and these tests pass without a word.

use std::process::Command;

use crate::common;

/// What the doctor prints with these variables set, on the interpreter.
fn doctor(variables: &[(&str, &str)]) -> Option<String> {
    let device = common::device()?;
    if !device.facts().name.starts_with("Emulated") {
        return None;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-doctor"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success());
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_driver_without_a_device_says_so() {
    let Some(text) = doctor(&[("PTX_EMU_DEVICES", "0")]) else { return };
    assert!(text.contains("no CUDA-capable device"), "{text}");
    assert!(text.contains("fix: "), "{text}");
    assert!(!text.contains("CUDA can be used here"), "{text}");
}

#[test]
fn an_old_driver_is_told_what_is_needed() {
    let Some(text) = doctor(&[("PTX_EMU_DRIVER_VERSION", "12040")]) else { return };
    assert!(text.contains("12.4"), "{text}");
    assert!(text.contains("update NVIDIA's driver"), "{text}");
    assert!(!text.contains("CUDA can be used here"), "{text}");
}

#[test]
fn a_machine_without_a_driver_trains_on() {
    let Some(text) = doctor(&[("LD_LIBRARY_PATH", "/nowhere")]) else { return };
    assert!(text.contains("libcuda"), "{text}");
    assert!(text.contains("fix: "), "{text}");
}

#[test]
fn a_whole_machine_can_be_used() {
    let Some(text) = doctor(&[]) else { return };
    assert!(text.trim_end().ends_with("CUDA can be used here"), "{text}");
}
