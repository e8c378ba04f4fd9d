//! A SpeechLLM on the small world: pretraining and fine-tuning that are killed and resumed, and what
//! is said of data and settings that it cannot take.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tensor_core::DType;

use crate::folder::{files, read_json};
use crate::program::{fail, succeed};
use crate::speech::wav;
use crate::world::World;

/// A world with an encoder, a language model, a manifest with translations and questions, and the
/// recipe `llm.toml`.
pub fn world() -> World {
    let world = World::new();
    world.save_hubert("speech", 7);
    world.save_llama("lm", 5, DType::F32);
    let manifest = fs::read_to_string(world.path("manifest.jsonl")).unwrap();
    let mut told = String::new();
    for line in manifest.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["text_de"] = line["text"].as_str().unwrap().replace("one", "eins").into();
        line["question"] = "mood?".into();
        line["answer"] = line["mood"].clone();
        writeln!(told, "{line}").unwrap();
    }
    fs::write(world.path("told.jsonl"), told).unwrap();
    let recipe = r#"
        task = "speech-llm"
        [encoder]
        dir = "speech"
        [projector]
        window_size = 25
        num_query_tokens = 2
        hidden_size = 8
        num_hidden_layers = 1
        num_attention_heads = 2
        intermediate_size = 16
        [llm]
        dir = "lm"
        system = ""
        [data]
        train = ["told.jsonl#split=train"]
        dev = ["told.jsonl#split=dev"]
        test = ["told.jsonl#split=test"]
        [pretrain]
        objective = "contr-wasser-all+asr"
        layers = [0, 2]
        cached_items = 3
        [batch]
        max_items = 4
        bucket_count = 2
        accumulate = 2
        [optim]
        lr = 1e-2
        [schedule]
        warmup_steps = 2
        max_steps = 16
        [train]
        eval_every = 8
        log_every = 1
        [checkpoint]
        every = 3
        [instruct]
        tasks = ["asr", "st-de", "sqa"]
        fractions = [0.5, 1.0]
        steps = 12
        batch_items = 4
        asr_prompts = ["say", "write"]
        st_prompts = ["to {target}"]
        sqa_prompts = ["{question}"]
        [eval]
        batch_items = 4
        max_new_tokens = 4
    "#;
    fs::write(world.path("llm.toml"), recipe).unwrap();
    world
}

fn train(world: &World, sets: &[&str]) -> Command {
    let mut command = world.command(&["train", "llm.toml", "--quiet", "--out", "run"]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    command
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_at_either_stage_resumes_to_the_same_bytes() {
    use crate::folder::assert_same_files;
    use crate::resume::{kill_at, summary};

    let world = world();
    succeed(&mut world.command(&["train", "llm.toml", "--quiet", "--out", "whole"]));
    let whole = summary(&world.path("whole"));
    assert_eq!(whole["objective"], "contr-wasser-all+asr");
    let shares = whole["finetune"].as_object().unwrap();
    // Three questions about each of 18 utterances.
    assert_eq!((&shares["50"]["examples"], &shares["100"]["examples"]), (&json!(27), &json!(54)));
    for (round, (stage, step)) in
        [("pretrain", 5), ("finetune-50", 7), ("finetune-100", 4)].into_iter().enumerate()
    {
        let out = format!("broken-{round}");
        kill_at(&world, "llm.toml", &out, &format!("{stage}/metrics.jsonl"), step, "2");
        let resume = ["train", "llm.toml", "--quiet", "--out", &out, "--resume"];
        succeed(world.command(&resume).env("RAYON_NUM_THREADS", "1"));
        for below in [
            "pretrain/checkpoints",
            "model",
            "finetune-50/checkpoints",
            "finetune-100/checkpoints",
            "finetune-100/model",
        ] {
            assert_same_files(&world.path(&out).join(below), &world.path("whole").join(below));
        }
        assert_eq!(summary(&world.path(&out)), whole);
        let answers =
            |run: &str| fs::read(world.path(run).join("finetune-100/test_answers.jsonl")).unwrap();
        assert!(answers(&out) == answers("whole"));
    }
}

/// Changes one line of `told.jsonl`.
fn edit(world: &World, number: usize, change: impl FnOnce(&mut Value)) {
    let path = world.path("told.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut lines[number - 1]);
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[track_caller]
fn assert_refused(world: &World, sets: &[&str], said: &str) {
    let message = fail(&mut train(world, sets));
    assert!(message.contains(said), "{sets:?}: {said:?} is not in\n{message}");
    let _ = fs::remove_dir_all(world.path("run"));
}

#[test]
fn settings_that_do_not_fit_the_models_or_the_data_are_named() {
    let world = world();
    world.save_bert("text", 3);
    for (set, said) in [
        (
            "llm.max_length=12",
            "told.jsonl:5: clip of 0.3 s gives 4 vectors beside 11 tokens, expected at most 12 \
             together (hint: data.max_duration_s, or llm.max_length)",
        ),
        (
            "instruct.tasks=['st-tlh']",
            "language `tlh` has no name for a prompt, expected one of ar",
        ),
        ("instruct.st_prompts=[]", "instruct.st_prompts is [], expected at least one prompt"),
        ("encoder.layer=3", "encoder.layer: state 3, expected 0 to 2"),
        ("pretrain.layers=[0, 3]", "pretrain.layers: hidden state 3, expected 0 to 2"),
        ("pretrain.objective=contr-cos-7", "pretrain.objective: hidden state 7, expected 0 to 2"),
        (
            "encoder.dir=text",
            "encoder.dir: text holds a text model, expected HuBERT, wav2vec 2.0 or Whisper",
        ),
        ("encoder.dir=lm", "encoder.dir: lm holds a text model, expected HuBERT"),
        ("encoder.dir=", "encoder.dir is empty, expected a folder with a HuBERT or Whisper model"),
        ("llm.dir=", "llm.dir is empty, expected a folder with a LLaMA model"),
    ] {
        assert_refused(&world, &[set], said);
    }
    assert_refused(
        &world,
        &["pretrain.objective=mixed-nwp", "pretrain.cached_items=0"],
        "told.jsonl:1: no word_ends, expected the end of each word in seconds (hint: `data align`",
    );
}

#[test]
fn a_line_that_cannot_be_learned_from_is_named() {
    let world = world();
    let manifest = fs::read(world.path("told.jsonl")).unwrap();
    // Pretraining alone: fine-tuning would pass over a line without the fields of a task.
    let pretrain = ["instruct.steps=0", "schedule.max_steps=2"];
    let change = |change: fn(&mut Value), said: &str| {
        fs::write(world.path("told.jsonl"), &manifest).unwrap();
        edit(&world, 2, change);
        assert_refused(&world, &pretrain, said);
    };
    change(|line| line["text"] = " ".into(), "told.jsonl:2: text is empty, expected words");
    change(|line| line["duration"] = 9.0.into(), "told.jsonl:2: clip of 9.0 s gives ");
    change(|line| line["duration"] = 0.001.into(), "told.jsonl:2: clip of 0.00 s gives no vector");
    change(
        |line| drop(line.as_object_mut().unwrap().remove("audio")),
        "told.jsonl:2: utterance `u01` has no audio",
    );

    let fields = ["pretrain.objective=none", "instruct.fractions=[1.0]", "instruct.steps=2"];
    fs::write(world.path("told.jsonl"), &manifest).unwrap();
    edit(&world, 3, |line| line["text_de"] = "".into());
    assert_refused(
        &world,
        &fields,
        "told.jsonl:3: an answer of task st-de is empty, expected a text",
    );
}

#[test]
fn a_stage_that_is_left_out_leaves_no_folder_and_is_not_reported() {
    let world = world();
    let short = ["schedule.max_steps=2", "instruct.fractions=[1.0]", "checkpoint.every=0"];
    for (set, there, absent) in [
        ("pretrain.objective=none", "finetune-100", "pretrain"),
        ("instruct.steps=0", "pretrain", "finetune-100"),
    ] {
        succeed(train(&world, &short).args(["--set", set]));
        assert!(world.path("run/report.html").exists() && world.path("run/model").exists());
        assert!(world.path("run").join(there).exists() && !world.path("run").join(absent).exists());
        fs::remove_dir_all(world.path("run")).unwrap();
    }
}

#[test]
fn recordings_of_several_sample_rates_are_heard_at_one() {
    let world = world();
    let sound = wav(&vec![0.1; 3_200]);
    let mut slow = sound;
    // The same samples, said to be of 8 kHz: twice as long.
    slow[24..28].copy_from_slice(&8_000u32.to_le_bytes());
    slow[28..32].copy_from_slice(&16_000u32.to_le_bytes());
    fs::write(world.path("audio/slow.wav"), slow).unwrap();
    edit(&world, 1, |line| {
        line["audio"] = "audio/slow.wav".into();
        line["duration"] = 0.4.into();
    });
    let short = ["schedule.max_steps=3", "instruct.steps=0", "checkpoint.every=0"];
    succeed(&mut train(&world, &short));
    assert_eq!(read_json(&world.path("run/summary.json"))["pretrain"]["steps"], 3);
    assert!(files(&world.path("run/model")).keys().any(|name| name.starts_with("projector/")));
}
