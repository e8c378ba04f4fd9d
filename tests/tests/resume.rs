//! A run that is killed and resumed ends with the bytes of an unbroken one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tensor_core::Philox;

use crate::world::{World, read_json, succeed};

/// Kills that came after the end of a run; then a run was too short for this machine.
const MAX_LATE_KILLS: usize = 10;

/// Every file below a folder with its bytes.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(root, root, &mut found);
    found
}

/// Fails with the names of files that differ or are there once.
#[track_caller]
pub fn assert_same_files(got: &Path, expected: &Path) {
    let (got, expected) = (files(got), files(expected));
    let names = got.keys().chain(expected.keys());
    let differing: Vec<&String> = names.filter(|name| got.get(*name) != expected.get(*name)).collect();
    assert!(differing.is_empty(), "differ: {differing:?}");
    assert!(!expected.is_empty());
}

/// Starts a run in `out` and kills it once its metrics show `step` or a later one.
pub fn kill_at(world: &World, recipe: &str, out: &str, metrics: &str, step: u64, threads: &str) {
    for _ in 0..MAX_LATE_KILLS {
        let _ = fs::remove_dir_all(world.path(out));
        let mut child = world
            .command(&["train", recipe, "--quiet", "--out", out])
            .env("RAYON_NUM_THREADS", threads)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let path = world.path(out).join(metrics);
        while child.try_wait().unwrap().is_none() && last_step(&path) < step {
            std::thread::sleep(Duration::from_millis(1));
        }
        // A child that has ended already cannot be killed, which the status tells.
        let _ = child.kill();
        if child.wait().unwrap().signal() == Some(9) {
            return;
        }
    }
    panic!("{recipe}: ended before step {step} was seen, {MAX_LATE_KILLS} times");
}

/// The last step of a metrics file; 0 when there is none.
fn last_step(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
    text.lines().rev().find_map(step).unwrap_or(0)
}

/// A summary without the seconds it took.
fn summary(run: &Path) -> Value {
    fn without_seconds(value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.remove("train_seconds");
            fields.values_mut().for_each(without_seconds);
        }
    }
    let mut summary = read_json(&run.join("summary.json"));
    without_seconds(&mut summary);
    summary
}

/// Runs `recipe` unbroken, then killed at random steps, with other numbers of threads.
fn check(world: &World, recipe: &str, below: &str, seed: u64) {
    succeed(&mut world.command(&["train", recipe, "--quiet", "--out", "whole"]));
    let mut rng = Philox::new(seed, 0);
    for (round, threads) in ["1", "2"].into_iter().enumerate() {
        let out = format!("broken-{round}");
        let step = 1 + u64::from(rng.below(14));
        kill_at(world, recipe, &out, &format!("{below}metrics.jsonl"), step, threads);
        let resume = ["train", recipe, "--quiet", "--out", &out, "--resume"];
        succeed(world.command(&resume).env("RAYON_NUM_THREADS", "1"));
        for folder in ["checkpoints", "model"] {
            let below = format!("{below}{folder}");
            assert_same_files(
                &world.path(&out).join(&below),
                &world.path("whole").join(&below),
            );
        }
        assert_eq!(summary(&world.path(&out)), summary(&world.path("whole")));
    }
}

#[test]
fn teaching_with_a_memory_bank_resumes_to_the_same_bytes() {
    let world = World::new();
    let recipe = world.teach_recipe();
    check(&world, &recipe, "student/", 1);
    // The run that comes after it is the same too.
    for folder in ["checkpoints", "model"] {
        let below = format!("student/finetune/{folder}");
        assert_same_files(&world.path("broken-0").join(&below), &world.path("whole").join(&below));
    }
}

#[test]
fn speech_recognition_resumes_to_the_same_bytes() {
    let world = World::new();
    let recipe = world.asr_recipe();
    check(&world, &recipe, "", 2);
    let transcripts = |run: &str| fs::read(world.path(run).join("test_transcripts.jsonl")).unwrap();
    assert!(transcripts("broken-1") == transcripts("whole"));
}
