//! Cases run by a second process, since the driver is told once where counters go.

use std::process::Command;

use consonance_benches::device::{Counts, read};
use gpu_runtime::Device;

/// What one case came to, by kernel; `None` where nothing counts.
pub fn counted(op: &str, shape: &str) -> Option<Vec<(String, Counts)>> {
    if !std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        println!("skipped: no GPU asked for");
        return None;
    }
    let device = Device::cuda(0).unwrap_or_else(|error| panic!("{error}"));
    if !device.facts().name.starts_with("Emulated") {
        println!("skipped: a GPU does not count");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder for the counters");
    let path = folder.path().join("counters.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_roofline"))
        .args(["--op", op, "--shape", shape])
        .env("PTX_EMU_COUNTERS", &path)
        .output()
        .expect("roofline starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (counts, _) = read(&path, 0).unwrap_or_else(|error| panic!("{error:#}"));
    Some(counts.into_iter().collect())
}

/// No bank conflicts, and sectors that are used whole: lanes ask for nearly all that moves.
pub fn expect_thrift(kernels: &[(String, Counts)]) {
    assert!(!kernels.is_empty());
    for (name, counts) in kernels {
        assert_eq!(counts.conflicts, 0.0, "{name}: bank conflicts");
        assert!(
            counts.bytes <= 1.1 * counts.useful_bytes,
            "{name}: {} bytes move, lanes ask for {}",
            counts.bytes,
            counts.useful_bytes
        );
    }
}
