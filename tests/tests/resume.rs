//! A run that is killed and resumed ends with the bytes of an unbroken one.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use model_zoo::hubert::HubertCtc;
use model_zoo::llama::{Llama, LlamaInput, PaddingSide};
use model_zoo::lora::LoraConfig;
use model_zoo::{LoadOptions, WeightForm};
use serde_json::Value;
use tensor_core::{Context, DType, Device, Philox};

use crate::folder::{assert_same_files, read_json};
use crate::program::{fail, succeed};
use crate::world::World;

/// Signals that may come after the end of a run; more, and runs are too short for this machine.
const MAX_LATE: usize = 10;

/// Starts a run in `out` and kills it with SIGKILL once its metrics show `step` or a later one.
pub fn kill_at(world: &World, recipe: &str, out: &str, metrics: &str, step: u64, threads: &str) {
    let status = end_at(world, recipe, out, metrics, step, threads, Child::kill);
    assert_eq!(status.signal(), Some(9));
}

/// Ends a run by `end`, again from the start when that came after the run's own end.
fn end_at(
    world: &World,
    recipe: &str,
    out: &str,
    metrics: &str,
    step: u64,
    threads: &str,
    end: fn(&mut Child) -> std::io::Result<()>,
) -> ExitStatus {
    for _ in 0..MAX_LATE {
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
        end(&mut child).unwrap();
        let status = child.wait().unwrap();
        if !status.success() {
            return status;
        }
    }
    panic!("{recipe}: ended before step {step} was seen, {MAX_LATE} times");
}

/// The last step of a metrics file; 0 when there is none.
fn last_step(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
    text.lines().rev().find_map(step).unwrap_or(0)
}

/// A summary without the seconds and the memory it took.
pub fn summary(run: &Path) -> Value {
    fn without_use(value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.remove("train_seconds");
            fields.remove("peak_memory_mib");
            fields.values_mut().for_each(without_use);
        }
    }
    let mut summary = read_json(&run.join("summary.json"));
    without_use(&mut summary);
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
            assert_same_files(&world.path(&out).join(&below), &world.path("whole").join(&below));
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

#[test]
fn recognition_by_ctc_resumes_to_the_same_bytes_and_leaves_a_model() {
    let world = World::new();
    let recipe = world.ctc_recipe();
    check(&world, &recipe, "", 3);
    let model = HubertCtc::open(&world.path("whole/model"), LoadOptions::default()).unwrap();
    assert_eq!(model.hubert.config.vocab_size, 29);
    let test = read_json(&world.path("whole/summary.json"))["test"]["all"].clone();
    assert_eq!(test["utterances"], 6);
    assert!(test["wer"].as_f64().is_some() && test["wer_beam"].as_f64().is_some(), "{test}");
}

#[test]
fn a_blend_resumes_to_the_same_bytes_and_only_with_the_same_weights() {
    let world = World::new();
    let (recipe, manifest) = (world.ctc_recipe(), world.text("manifest.jsonl"));
    let text = fs::read_to_string(&recipe).unwrap();
    let spec = |who: &str| format!("{manifest}#split=train{who}");
    let (whole, parts) =
        (format!("{:?}", [spec("")]), [",speaker=ann|cyd", ",speaker=bob"].map(spec));
    assert!(text.contains(&whole));
    fs::write(&recipe, text.replace(&whole, &format!("{parts:?}\nweights = [1, 3]"))).unwrap();
    check(&world, &recipe, "", 6);
    let resume = ["train", &recipe, "--out", "whole", "--resume", "--set", "data.weights=[3, 1]"];
    let message = fail(&mut world.command(&resume));
    assert!(message.contains("data.weights: saved [1.0, 3.0], now [3.0, 1.0]"), "{message}");
}

#[test]
fn a_language_model_resumes_to_the_same_bytes_and_learns() {
    let world = World::new();
    let recipe = world.lm_recipe();
    check(&world, &recipe, "", 4);
    let model = Llama::open(&world.path("whole/model"), LoadOptions::default()).unwrap();
    assert_eq!(model.config.vocab_size, 280);
    let summary = read_json(&world.path("whole/summary.json"));
    let loss = |template: &str| summary["test"][template]["loss"].as_f64().unwrap();
    // A uniform guess costs ln 280.
    assert!(loss("template_1") < 0.8 * 280_f64.ln() && loss("template_2") < 0.8 * 280_f64.ln());
    assert!(summary["test"]["template_1"]["exact"].is_null(), "it has no answer");
    assert!(summary["test"]["template_2"]["exact"].as_f64().is_some());
}

#[test]
fn an_adapter_resumes_to_the_same_bytes_and_leaves_its_base_as_it_was() {
    let world = World::new();
    let recipe = world.lora_recipe();
    let base = world.path("base");
    let before = fs::read(base.join("model.safetensors")).unwrap();
    check(&world, &recipe, "", 5);
    assert!(fs::read(base.join("model.safetensors")).unwrap() == before);
    assert_same_files(&world.path("broken-1/merged"), &world.path("whole/merged"));
    let summary = read_json(&world.path("whole/summary.json"));
    // Of two layers: 3 (16 + 16) at q_proj, 3 (16 + 8) at v_proj, 3 (16 + 32) at each of the others.
    assert_eq!(summary["parameters"], 2 * 3 * (32 + 24 + 48 + 48));
    let metrics = fs::read_to_string(world.path("whole/metrics.jsonl")).unwrap();
    let dev: Vec<f64> = metrics
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["dev.loss"].as_f64())
        .collect();
    assert!(dev.len() == 3 && dev[2] < dev[0], "it learns: {dev:?}");

    // The folder that PEFT reads, on the base as it is stored, and the merged one compute the same
    // but for the rounding of merged weights to bf16.
    let adapter = world.path("whole/model");
    let config = LoraConfig::open(&adapter).unwrap();
    assert_eq!(config.base_model_name_or_path.as_deref(), Some("base"));
    let options = LoadOptions { weights: WeightForm::AsStored, ..LoadOptions::default() };
    let (model, lora) = Llama::open_with_lora(&base, options, &config).unwrap();
    let input = LlamaInput::from_ids(&[vec![5, 6, 7]], PaddingSide::Left, Device::Cpu).unwrap();
    let logits = |model: &Llama| {
        let state = model.forward(&Context::eval(), &input).unwrap().last_hidden_state;
        model.logits(&Context::eval(), &state).unwrap().to_vec::<f32>().unwrap()
    };
    let difference = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max)
    };
    let fresh = logits(&model);
    lora.load(&adapter).unwrap();
    let adapted = logits(&model);
    let merged = Llama::open(&world.path("whole/merged"), LoadOptions::default()).unwrap();
    let moved = difference(&adapted, &fresh);
    assert!(difference(&adapted, &logits(&merged)) < 0.05 * moved, "{moved}");

    // Beside other weights the adapter means nothing.
    world.save_llama("base", 7, DType::BF16);
    let resume = ["train", &recipe, "--quiet", "--out", "whole", "--resume"];
    let message = fail(&mut world.command(&resume));
    assert!(message.contains("model.dir: weights are fnv1a64:"), "{message}");
    assert!(message.contains("as at the checkpoint (hint: an adapter goes on"), "{message}");
}

#[test]
fn a_run_that_is_asked_to_stop_saves_first_and_resumes_to_the_same_bytes() {
    let world = World::new();
    let recipe = world.asr_recipe();
    succeed(&mut world.command(&["train", &recipe, "--quiet", "--out", "whole"]));
    let ask = |child: &mut Child| {
        Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().map(drop)
    };
    let status = end_at(&world, &recipe, "run", "metrics.jsonl", 4, "2", ask);
    assert_eq!(status.code(), Some(130), "as shells report it");
    let last = last_step(&world.path("run/metrics.jsonl"));
    let saved = world.path("run/checkpoints").join(format!("step-{last:08}"));
    assert!(saved.exists(), "the step it stopped after is saved: {}", saved.display());
    succeed(&mut world.command(&["train", &recipe, "--quiet", "--out", "run", "--resume"]));
    for folder in ["checkpoints", "model"] {
        assert_same_files(&world.path("run").join(folder), &world.path("whole").join(folder));
    }
}
