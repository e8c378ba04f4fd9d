//! What the kernels ask of memory, by the interpreter's count.

use std::process::Command;

use crate::case::{Case, Form};
use crate::device::stream;

/// Names the file that gets the counters of a run of [`subject`] alone.
const COUNTERS: &str = "PTX_EMU_COUNTERS";

#[test]
fn subject() {
    let Some(stream) = stream() else { return };
    if std::env::var_os(COUNTERS).is_some() {
        for form in [Form::Tight, Form::Half] {
            Case::new((256, 256, 64), form, 1).device(&stream);
        }
    }
}

#[test]
fn the_first_pass_stores_partial_sums_and_no_logits() {
    let Some(stream) = stream() else { return };
    if !stream.device().facts().name.starts_with("Emulated") {
        println!("skipped: a GPU does not count");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters.jsonl");
    let program = std::env::current_exe().unwrap();
    let mut run = Command::new(program);
    run.args(["counts::subject", "--exact"]).env(COUNTERS, &path);
    assert!(run.output().unwrap().status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    let mut passes = 0;
    for line in text.lines() {
        let launch: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = launch["kernel"].as_str().unwrap();
        let stored = launch["counters"]["store_bytes"].as_u64().unwrap();
        if name.starts_with("info_nce_lse") && stored > 0 {
            passes += 1;
            // Of 256 rows and columns in blocks of 128 at least: 8 bytes a partial sum, 4 a
            // positive, and a flag a block. The logits would be 256 KiB.
            assert!(stored <= 2 * 2 * 256 * 8 + 256 * 4 + 16, "{name}: {stored} bytes");
        }
    }
    assert_eq!(passes, 2);
}
