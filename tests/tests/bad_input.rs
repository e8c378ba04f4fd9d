//! What the program says to bad input: one clear message, no panic, nothing broken behind it.

use std::fs;
use std::process::Command;

use serde_json::Value;

#[cfg(unix)]
use crate::folder::assert_same_files;
use crate::folder::{files, read_json};
#[cfg(unix)]
use crate::program::program;
use crate::program::{fail, stdout, succeed};
#[cfg(unix)]
use crate::resume::kill_at;
use crate::speech::wav;
use crate::world::World;

/// Trains by `recipe` with changes.
fn train(world: &World, recipe: &str, sets: &[&str]) -> Command {
    let mut command = world.command(&["train", recipe, "--quiet", "--out", "run"]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    command
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in\n{message}");
    }
}

#[test]
fn sound_that_cannot_be_decoded_names_line_file_position_and_cause() {
    let world = World::new();
    let whole = fs::read(world.path("audio/u01.wav")).unwrap();
    let noise: Vec<u8> =
        (0..20_000u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (bytes, said) in [
        (noise, "not a known sound file"),
        (whole[..30].to_vec(), "at byte 30: file ends inside its Wav header"),
        (whole[..5_000].to_vec(), "file is cut short, expected 7200 samples a channel, got 2478"),
        (Vec::new(), "u01.wav: "),
    ] {
        fs::write(world.path("audio/u01.wav"), bytes).unwrap();
        let place = ["manifest.jsonl:2: utterance `u01`: ", "audio/u01.wav: ", said];
        for recipe in [world.asr_recipe(), world.teach_recipe()] {
            assert_says(&fail(&mut train(&world, &recipe, &[])), &place);
            fs::remove_dir_all(world.path("run")).unwrap();
        }
        let transcribe = ["transcribe", "--model", "teacher", "audio/u01.wav"];
        assert_says(&fail(&mut world.command(&transcribe)), &["audio/u01.wav: ", said]);
        let encode = ["encode", "--model", "teacher", "--input", "audio/u01.wav", "--output", "e"];
        assert_says(&fail(&mut world.command(&encode)), &["audio/u01.wav: ", said]);
        assert!(!world.path("e").exists());
    }
    fs::remove_file(world.path("audio/u01.wav")).unwrap();
    let message = fail(&mut train(&world, &world.asr_recipe(), &[]));
    assert_says(&message, &["manifest.jsonl:2: utterance `u01`: ", "u01.wav: cannot open"]);
}

#[test]
fn a_clip_longer_than_the_models_window_is_named() {
    let world = World::new();
    fs::write(world.path("long.wav"), wav(&vec![0.1; 40_000])).unwrap();
    let message = fail(&mut world.command(&["transcribe", "--model", "teacher", "long.wav"]));
    assert_says(
        &message,
        &["long.wav", "clip has 2.5 s, expected at most 2.0 s, the model's window"],
    );
}

/// A manifest of 9,000 lines whose line 8,812 is `bad`.
fn long_manifest(world: &World, bad: &str) {
    let line = |at: usize| match at {
        8_812 => format!("{bad}\n"),
        _ => format!("{{\"id\": \"i{at}\", \"text\": \"red green\"}}\n"),
    };
    fs::write(world.path("long.jsonl"), (1..=9_000).map(line).collect::<String>()).unwrap();
}

#[test]
fn a_bad_line_of_a_manifest_is_named_by_its_number() {
    let world = World::new();
    for (bad, said) in [
        ("{\"id\": \"x\", \"text\": }", "long.jsonl:8812: not JSON: expected value at column 21"),
        ("[1, 2]", "long.jsonl:8812: line is a list, expected a JSON object"),
        ("{\"id\": \"x\"}", "long.jsonl:8812: line has neither audio nor text"),
        ("{\"text\": \"a\", \"duration\": -1}", "long.jsonl:8812: duration is -1, expected > 0"),
        ("{\"id\": \"i7\", \"text\": \"a\"}", "long.jsonl:8812: id is `i7`, expected a new one"),
    ] {
        long_manifest(&world, bad);
        for recipe in [world.asr_recipe(), world.teach_recipe()] {
            let message = fail(&mut train(&world, &recipe, &["data.train=long.jsonl"]));
            assert_says(&message, &[said]);
            fs::remove_dir_all(world.path("run")).unwrap();
        }
        let output = world.command(&["data", "validate", "long.jsonl"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_says(&stdout(&output), &[said, "1 errors"]);
    }
}

#[test]
fn a_manifest_without_what_was_asked_for_says_what_it_has() {
    let world = World::new();
    let recipe = world.asr_recipe();
    for (set, said) in [
        ("data.train=manifest.jsonl#split=trian", "no line has split=trian"),
        ("data.train=manifest.jsonl#split=trian", "split is one of dev, test, train"),
        ("data.train=absent.jsonl", "absent.jsonl"),
        ("data.text_field=text_de", "manifest.jsonl:1: no field `text_de`"),
        ("data.min_duration_s=20", "no utterance is between 20 s and 30 s"),
    ] {
        assert_says(&fail(&mut train(&world, &recipe, &[set])), &[said]);
        fs::remove_dir_all(world.path("run")).unwrap();
    }
}

#[test]
fn documents_and_labels_that_cannot_be_made_name_their_line() {
    let world = World::new();
    let lm = world.lm_recipe();
    let long = format!("lm.templates=['{}']", "{text}".repeat(40));
    for (set, said) in [
        ("lm.templates=[]", "lm.templates is [], expected at least one template"),
        ("lm.templates=['{text']", "lm.templates: template `{text`: a lone `{`, expected {field}"),
        ("lm.templates=['{answer}']", "manifest.jsonl:1: no field `answer`, which the template"),
        (&long, "tokens, expected at most 48 (hint: max_position_embeddings"),
    ] {
        assert_says(&fail(&mut train(&world, &lm, &[set])), &[said]);
    }
    let message = fail(&mut train(&world, &world.ctc_recipe(), &["data.text_field=id"]));
    assert_says(&message, &["manifest.jsonl:1: ", "no label for ['0'"]);
}

#[test]
fn an_unknown_recipe_key_is_refused_with_the_nearest_one() {
    let world = World::new();
    let message = fail(&mut train(&world, &world.asr_recipe(), &["optim.lrr=1"]));
    assert_says(&message, &["no key optim.lrr (hint: did you mean optim.lr)"]);
    let text = "task = \"asrr\"\n\n[optim]\nbeta = [0.9, 0.9]\nlr = -1.0\n";
    fs::write(world.path("bad.toml"), text).unwrap();
    assert_says(
        &fail(&mut train(&world, "bad.toml", &[])),
        &[
            "bad.toml:1: task is `asrr`, expected one of asr, teach-whisper, finetune-text, ctc, lm, \
         speech-llm (hint: did you mean asr)",
            "bad.toml:4: recipe: no key optim.beta (hint: did you mean optim.betas)",
        ],
    );
    let message = fail(&mut train(&world, "teach-whisper-nan", &[]));
    assert_says(&message, &["`teach-whisper-nan`", "did you mean teach-whisper-nano"]);
    assert!(!world.path("run").exists(), "nothing was begun");
}

/// Changes the header and the data of a folder's `model.safetensors`.
fn edit_weights(world: &World, folder: &str, edit: impl FnOnce(&mut Value, &mut [u8])) {
    let path = world.path(folder).join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let mut data = bytes[end..].to_vec();
    edit(&mut header, &mut data);
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&length[..], &header, &data].concat()).unwrap();
}

const WHISPER_WEIGHT: &str = "model.encoder.layers.0.fc1.weight";
const BERT_WEIGHT: &str = "bert.encoder.layer.0.intermediate.dense.weight";

#[test]
fn weights_that_do_not_fit_are_listed_by_name_and_shape() {
    let world = World::new();
    world.save_bert("student", 5);
    let flip = |weight: &'static str| {
        move |header: &mut Value, _: &mut [u8]| {
            header[weight]["shape"].as_array_mut().unwrap().reverse();
        }
    };
    edit_weights(&world, "teacher", flip(WHISPER_WEIGHT));
    edit_weights(&world, "student", flip(BERT_WEIGHT));
    let whisper = format!(
        "teacher/model.safetensors: 1 wrongly shaped: {WHISPER_WEIGHT} is [16, 32], expected [32, 16]"
    );
    let bert = format!(
        "student/model.safetensors: 1 wrongly shaped: {BERT_WEIGHT} is [16, 32], expected [32, 16]"
    );
    let hint = "(hint: does config.json belong to this file)";
    let (asr, teach) = (world.asr_recipe(), world.teach_recipe());
    for (recipe, set, said) in [
        (&asr, "model.dir=teacher", &whisper),
        (&teach, "model.dir=student", &bert),
        (&teach, "teacher.dir=teacher", &whisper),
    ] {
        assert_says(&fail(&mut train(&world, recipe, &[set])), &[said, hint]);
        fs::remove_dir_all(world.path("run")).unwrap();
    }
    let encode = ["encode", "--model", "student", "--text", "red", "--output", "e"];
    assert_says(&fail(&mut world.command(&encode)), &[&bert]);

    // Half a file, as an interrupted download leaves it.
    let path = world.path("teacher/model.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = fail(&mut train(&world, &asr, &["model.dir=teacher"]));
    assert_says(&message, &["model.safetensors", "are not a whole safetensors file"]);
}

#[test]
fn a_missing_tokenizer_is_named_with_the_folder() {
    let world = World::new();
    let (asr, teach) = (world.asr_recipe(), world.teach_recipe());
    for recipe in [&asr, &teach] {
        for (set, said) in [
            ("model.tokenizer=audio", "audio: folder has no `tokenizer.json` (hint: "),
            ("model.tokenizer=", "recipe: model.tokenizer is empty and so is model.dir"),
        ] {
            assert_says(&fail(&mut train(&world, recipe, &[set])), &[said]);
            fs::remove_dir_all(world.path("run")).unwrap();
        }
    }
    // A vocabulary of the other family.
    let message = fail(&mut train(&world, &asr, &["model.tokenizer=bert"]));
    assert_says(&message, &["no `<|startoftranscript|>`"]);
    fs::remove_dir_all(world.path("run")).unwrap();
    let message = fail(&mut train(&world, &teach, &["model.tokenizer=whisper"]));
    assert_says(&message, &["no [MASK] token"]);
}

#[test]
fn weights_that_are_not_numbers_are_caught_by_the_guard() {
    let world = World::new();
    world.save_bert("student", 5);
    let spoil = |weight: &'static str| {
        move |header: &mut Value, data: &mut [u8]| {
            let start = header[weight]["data_offsets"][0].as_u64().unwrap() as usize;
            data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
    };
    edit_weights(&world, "teacher", spoil(WHISPER_WEIGHT));
    edit_weights(&world, "student", spoil(BERT_WEIGHT));
    for (recipe, set, checkpoints) in [
        (world.asr_recipe(), "model.dir=teacher", "run/checkpoints"),
        (world.teach_recipe(), "model.dir=student", "run/student/checkpoints"),
    ] {
        let sets = [set, "train.max_bad_steps=4", "checkpoint.every=0"];
        let message = fail(&mut train(&world, &recipe, &sets));
        assert_says(
            &message,
            &[
                "step 4: loss is NaN, expected a number, 4 steps in a row were unusable (hint: lower \
             optim.lr or raise schedule.warmup_steps; the last good state is saved)",
            ],
        );
        assert!(world.path(checkpoints).join("step-00000004/state.json").exists());
        fs::remove_dir_all(world.path("run")).unwrap();
    }
}

#[test]
fn a_folder_that_holds_a_run_is_never_overwritten() {
    let world = World::new();
    let recipe = world.asr_recipe();
    let short = ["schedule.max_steps=3"];
    succeed(&mut train(&world, &recipe, &short));
    let before = files(&world.path("run"));
    let message = fail(&mut train(&world, &recipe, &short));
    assert_says(&message, &["run: holds a run already (hint: --resume continues it)"]);
    assert!(files(&world.path("run")) == before);
}

#[test]
fn a_run_is_not_resumed_under_another_recipe_or_on_other_data() {
    let world = World::new();
    let recipe = world.asr_recipe();
    succeed(&mut train(&world, &recipe, &["schedule.max_steps=3"]));
    let before = files(&world.path("run/checkpoints"));
    let other = ["schedule.max_steps=6", "optim.lr=0.5"];
    let message = fail(train(&world, &recipe, &other).arg("--resume"));
    assert_says(
        &message,
        &[
            "checkpoint at step 3: cannot resume under another recipe:",
            "optim.lr: saved 0.01, now 0.5",
            "schedule.max_steps: saved 3, now 6",
            "(hint: --allow-change optim.lr if that is what you want)",
        ],
    );
    assert!(files(&world.path("run/checkpoints")) == before);
    let allowed =
        ["--resume", "--allow-change", "optim.lr", "--allow-change", "schedule.max_steps"];
    succeed(train(&world, &recipe, &other).args(allowed));
    let summary = read_json(&world.path("run/summary.json"));
    assert_eq!(summary["steps"], 6);

    let manifest = fs::read_to_string(world.path("manifest.jsonl")).unwrap();
    fs::write(world.path("manifest.jsonl"), manifest.replacen("red", "blue", 1)).unwrap();
    let message = fail(train(&world, &recipe, &other).arg("--resume"));
    assert_says(&message, &["data: hash of the manifests differs", "--allow-change data"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_earlier_checkpoints_whole_and_the_run_resumable() {
    let world = World::new();
    let recipe = world.asr_recipe();
    succeed(&mut world.command(&["train", &recipe, "--quiet", "--out", "whole"]));
    kill_at(&world, &recipe, "run", "metrics.jsonl", 7, "2");
    let before = files(&world.path("run/checkpoints"));
    // A limit on the size of files stands for the full disk: logs fit, weights do not. The signal
    // that comes with it is ignored, as the program would see an error from a real disk.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let resume = ["train", &recipe, "--quiet", "--out", "run", "--resume"];
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh", program()]).args(resume);
    limited.current_dir(world.path("")).env("CONSONANCE_CACHE", world.path("cache"));
    assert_says(
        &fail(&mut limited),
        &[
            "not saved; earlier checkpoints are whole (hint: free disk space, then continue with \
         --resume)",
            "model.safetensors: cannot write",
            "(hint: is the disk full?)",
        ],
    );
    let after = files(&world.path("run/checkpoints"));
    let drafts = |name: &&String| name.starts_with('.');
    assert_eq!(after.keys().find(drafts), None, "no draft is left");
    let kept = before.iter().filter(|(name, _)| !drafts(name));
    assert!(kept.clone().count() > 0);
    for (name, bytes) in kept {
        assert!(after.get(name) == Some(bytes), "{name}");
    }
    succeed(&mut world.command(&resume));
    for folder in ["checkpoints", "model"] {
        assert_same_files(&world.path("run").join(folder), &world.path("whole").join(folder));
    }
}
