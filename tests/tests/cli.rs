//! Each command of the program does what it says.

use std::fs;

use audio_frontend::LogMel;
use model_zoo::bert::{Bert, BertInput};
use model_zoo::hubert::{Hubert, HubertInput, Preprocessor};
use model_zoo::llama::{Llama, LlamaConfig, LlamaInput, PaddingSide};
use model_zoo::whisper::{EncoderInput, Whisper};
use model_zoo::{Builder, LoadOptions, Tokenizer};
use serde_json::Value;
use tensor_core::{Context, DType, Device, SafeTensors, Tensor};
use trainer::recipe::Recipe;

use crate::folder::{files, read_json};
use crate::program::{fail, stdout, succeed};
use crate::world::World;

#[test]
fn a_printed_recipe_is_toml_that_loads_to_the_same_recipe() {
    let world = World::new();
    let sets = ["optim.lr=3e-3".to_owned(), "name=\"a \\\"b\\\"\"".to_owned()];
    let mut names = vec![world.asr_recipe(), world.teach_recipe()];
    names.extend(["nano-whisper", "teach-whisper-nano", "finetune-text"].map(str::to_owned));
    for name in names {
        let mut command = world.command(&["train", &name, "--print-config"]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        let printed = stdout(&succeed(&mut command));
        let loaded = Recipe::load(&name, &sets).unwrap();
        assert_eq!(Recipe::from_text(&printed).unwrap(), loaded.recipe, "{name}");
        let line = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line("lr ").contains("--set"), "{}", line("lr "));
        assert!(line("task ").contains(".toml:"), "{}", line("task "));
        assert!(line("keep_last ").contains("default"), "{}", line("keep_last "));
    }
    assert!(!world.path("runs").exists());
}

#[test]
fn a_dry_run_trains_and_leaves_nothing_behind() {
    let world = World::new();
    let (asr, teach) = (world.asr_recipe(), world.teach_recipe());
    fs::create_dir(world.path("tmp")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let before = files(&world.path(""));
    for recipe in [asr, teach] {
        let mut command = world.command(&["train", &recipe, "--dry-run"]);
        command.env("TMPDIR", world.path("tmp")).env("CONSONANCE_CACHE", elsewhere.path());
        let output = succeed(&mut command);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("dry run: all of it loads and trains"), "{stderr}");
        assert!(stderr.contains(" 2/2 ") && !stderr.contains(" 3/"), "{stderr}");
        let after = files(&world.path(""));
        let added: Vec<&String> = after.keys().filter(|k| !before.contains_key(*k)).collect();
        assert!(after == before, "{added:?}");
    }
    // What went wrong leaves nothing either.
    let broken = ["train", &world.asr_recipe(), "--dry-run", "--set", "model.tokenizer=audio"];
    fail(world.command(&broken).env("TMPDIR", world.path("tmp")));
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}

#[test]
fn runs_without_a_folder_of_their_own_are_numbered() {
    let world = World::new();
    let recipe = world.asr_recipe();
    for expected in ["runs/asr", "runs/asr-2"] {
        let sets = ["--quiet", "--set", "schedule.max_steps=2"];
        succeed(world.command(&["train", &recipe]).args(sets));
        for file in ["summary.json", "report.html", "recipe.toml", "metrics.jsonl", "model"] {
            assert!(world.path(expected).join(file).exists(), "{expected}/{file}");
        }
    }
}

/// Fails unless two tensors have the same shape and bits.
#[track_caller]
fn assert_same(got: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let bits = |t: &Tensor| -> Vec<u64> {
        t.to_vec_f64().unwrap().into_iter().map(f64::to_bits).collect()
    };
    assert!(bits(got) == bits(expected), "{what}");
}

#[test]
fn encode_writes_what_the_whisper_encoder_computes() {
    let world = World::new();
    let args = ["encode", "--model", "teacher", "--layers", "all", "--features"];
    let out = ["--input", "manifest.jsonl#split=test", "--output", "out.safetensors"];
    succeed(world.command(&args).args(out));
    let file = SafeTensors::open(world.path("out.safetensors")).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(
        names,
        [
            "encoder_lengths",
            "hidden_states.0",
            "hidden_states.1",
            "hidden_states.2",
            "input_features",
            "lengths",
        ]
    );
    let (config, encoder, _) =
        Whisper::open_encoder(&world.path("teacher"), LoadOptions::default()).unwrap();
    let lengths: Vec<i64> = file.tensor("lengths").unwrap().to_vec().unwrap();
    let positions: Vec<i64> = file.tensor("encoder_lengths").unwrap().to_vec().unwrap();
    assert_eq!(lengths.len(), 6);
    for item in 0..lengths.len() {
        let path = world.path(&format!("audio/u{:02}.wav", 5 * item + 4));
        let options =
            audio_frontend::LoadOptions { sample_rate: 16_000, offset_s: 0.0, duration_s: None };
        let samples = audio_frontend::load(&path, &options).unwrap().samples;
        let features = LogMel::new(config.num_mel_bins).compute(&samples);
        let shape = [1, features.n_mels, features.n_frames];
        let features = Tensor::from_vec(features.data, &shape, Device::Cpu).unwrap();
        let input = EncoderInput { output_hidden_states: true, ..EncoderInput::new(&features) };
        let output = encoder.forward(&Context::eval(), &input).unwrap();
        assert_eq!(lengths[item] as usize, samples.len().div_ceil(320));
        assert_eq!(positions[item] as usize, output.last_hidden_state.dim(1).unwrap());
        // Rows beyond an item's own are padding.
        let rows = |name: &str, dim: usize, count: usize| {
            let item = file.tensor(name).unwrap().narrow(0, item, 1).unwrap();
            let rest = item.dim(dim as isize).unwrap() - count;
            let padding = item.narrow(dim as isize, count, rest).unwrap().to_vec_f64().unwrap();
            assert!(padding.iter().all(|&value| value == 0.0), "{name}");
            item.narrow(dim as isize, 0, count).unwrap()
        };
        assert_same(&rows("input_features", 2, shape[2]), &features, "input_features");
        for (layer, states) in output.hidden_states.iter().enumerate() {
            let name = format!("hidden_states.{layer}");
            assert_same(&rows(&name, 1, positions[item] as usize), states, &name);
        }
    }

    let one = ["encode", "--model", "teacher", "--input", "audio/u04.wav", "--output", "one"];
    succeed(&mut world.command(&one));
    let one = SafeTensors::open(world.path("one")).unwrap();
    let (alone, first) = (
        one.tensor("hidden_states.2").unwrap(),
        file.tensor("hidden_states.2").unwrap().narrow(0, 0, 1).unwrap(),
    );
    let count = alone.dim(1).unwrap();
    assert_same(&alone, &first.narrow(1, 0, count).unwrap(), "a file alone, its last layer");
}

#[test]
fn encode_writes_what_bert_computes() {
    let world = World::new();
    world.save_bert("student", 3);
    let texts = ["red green blue", "yes", ""];
    let mut command = world.command(&["encode", "--model", "student", "--layers", "2,0"]);
    command.args(["--output", "out.safetensors"]);
    command.args(texts.iter().flat_map(|text| ["--text", text]));
    succeed(&mut command);
    let file = SafeTensors::open(world.path("out.safetensors")).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(
        names,
        [
            "attention_mask",
            "hidden_states.0",
            "hidden_states.2",
            "input_ids",
            "last_hidden_state",
            "lengths",
        ]
    );
    let dir = world.path("student");
    let (model, tokenizer) =
        (Bert::open(&dir, LoadOptions::default()).unwrap(), Tokenizer::open(&dir).unwrap());
    let rows: Vec<Vec<u32>> =
        texts.iter().map(|text| tokenizer.encode(text, true).unwrap()).collect();
    let pad = tokenizer.pad_id().unwrap();
    let input = BertInput::from_ids(&rows, pad, Device::Cpu).unwrap().with_hidden_states();
    let output = model.forward(&Context::eval(), &input).unwrap();
    for layer in [0, 2] {
        let name = format!("hidden_states.{layer}");
        assert_same(&file.tensor(&name).unwrap(), &output.hidden_states[layer], &name);
    }
    assert_same(&file.tensor("last_hidden_state").unwrap(), &output.last_hidden_state, "last");
    assert_same(&file.tensor("input_ids").unwrap(), &input.input_ids, "input_ids");
    assert_same(&file.tensor("attention_mask").unwrap(), &input.attention_mask.unwrap(), "mask");
    let lengths: Vec<i64> = file.tensor("lengths").unwrap().to_vec().unwrap();
    assert_eq!(lengths, [5, 3, 2], "[CLS] and [SEP] count");

    for (args, said) in [
        (&["--text", "red", "--layers", "3"][..], "--layers: `3`, expected `last`, `all` or"),
        (&["--text", "red", "--features"][..], "--features is for Whisper"),
        (&[][..], "nothing to encode"),
    ] {
        let mut command = world.command(&["encode", "--model", "student", "--output", "e"]);
        let message = fail(command.args(args));
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn encode_writes_what_llama_computes() {
    let world = World::new();
    world.save_bert("student", 3);
    let config = LlamaConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 16,
        vocab_size: Tokenizer::open(&world.path("student")).unwrap().vocab_size(),
        ..LlamaConfig::default()
    };
    let dir = world.path("llama");
    let root = Builder::random(3, DType::F32, Device::Cpu);
    let model = Llama::new(&root, &config).unwrap();
    model.save_hf_folder(&dir, None).unwrap();
    fs::copy(world.path("student/tokenizer.json"), dir.join("tokenizer.json")).unwrap();
    let texts = ["red green blue yes no red green", "yes"];
    let mut command = world.command(&["encode", "--model", "llama", "--layers", "all"]);
    command.args(["--output", "out.safetensors"]);
    succeed(command.args(texts.iter().flat_map(|text| ["--text", text])));

    let tokenizer = model.open_tokenizer(&dir).unwrap();
    let rows: Vec<Vec<u32>> =
        texts.iter().map(|text| tokenizer.encode(text, true).unwrap()).collect();
    let input = LlamaInput::from_ids(&rows, PaddingSide::Right, Device::Cpu).unwrap();
    let output = model.forward(&Context::eval(), &input.clone().with_hidden_states()).unwrap();
    let file = SafeTensors::open(world.path("out.safetensors")).unwrap();
    for (layer, states) in output.hidden_states.iter().enumerate() {
        let name = format!("hidden_states.{layer}");
        assert_same(&file.tensor(&name).unwrap(), states, &name);
    }
    assert_same(&file.tensor("attention_mask").unwrap(), &input.attention_mask.unwrap(), "mask");
    let lengths: Vec<i64> = file.tensor("lengths").unwrap().to_vec().unwrap();
    assert_eq!(lengths, [9, 3]);
}

#[test]
fn encode_writes_what_hubert_computes() {
    let world = World::new();
    world.save_hubert("speech", 7);
    let args = ["encode", "--model", "speech", "--layers", "all", "--output", "out.safetensors"];
    succeed(world.command(&args).args(["--input", "manifest.jsonl#split=test"]));
    let file = SafeTensors::open(world.path("out.safetensors")).unwrap();
    let mut names = file.names();
    names.sort();
    let expected =
        ["hidden_states.0", "hidden_states.1", "hidden_states.2", "last_hidden_state", "lengths"];
    assert_eq!(names, expected);
    let dir = world.path("speech");
    let model = Hubert::open(&dir, LoadOptions::default()).unwrap();
    let preprocessor = Preprocessor::open(&dir).unwrap();
    let lengths: Vec<i64> = file.tensor("lengths").unwrap().to_vec().unwrap();
    assert_eq!(lengths.len(), 6);
    for (item, &length) in lengths.iter().enumerate() {
        let path = world.path(&format!("audio/u{:02}.wav", 5 * item + 4));
        let samples = audio_frontend::load(&path, &Default::default()).unwrap().samples;
        assert_eq!(length as usize, model.config.frame_length(samples.len()));
        let (values, sample_lengths) = preprocessor.batch(&[samples], Device::Cpu).unwrap();
        let input = HubertInput {
            output_hidden_states: true,
            ..HubertInput::with_lengths(&values, &sample_lengths)
        };
        let output = model.forward(&Context::eval(), &input).unwrap();
        let states = output.hidden_states.iter().enumerate();
        let last = ("last_hidden_state".to_owned(), &output.last_hidden_state);
        for (name, states) in states.map(|(k, s)| (format!("hidden_states.{k}"), s)).chain([last]) {
            let written = file.tensor(&name).unwrap().narrow(0, item, 1).unwrap();
            let rest = written.dim(1).unwrap() - length as usize;
            let padding = written.narrow(1, length as usize, rest).unwrap().to_vec_f64().unwrap();
            assert!(padding.iter().all(|&value| value == 0.0), "{name}");
            assert_same(&written.narrow(1, 0, length as usize).unwrap(), states, &name);
        }
    }
    for (args, said) in [
        (
            &["--text", "red"][..],
            "speech: folder holds a speech model, which hears sound; --text is for",
        ),
        (&["--input", "audio/u04.wav", "--features"], "--features is for Whisper"),
        (&["--input", "audio/u04.wav", "--layers", "3"], "--layers: `3`, expected `last`, `all`"),
        (&[], "--input: expected a sound file or a manifest"),
    ] {
        let mut command = world.command(&["encode", "--model", "speech", "--output", "e"]);
        let message = fail(command.args(args));
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn transcribe_writes_a_line_for_each_utterance_and_scores_them() {
    let world = World::new();
    let args = ["transcribe", "--model", "teacher", "manifest.jsonl#split=dev"];
    let output = succeed(world.command(&args).args(["--output", "out.jsonl"]));
    let written = fs::read_to_string(world.path("out.jsonl")).unwrap();
    let (printed, written): (Vec<Value>, Vec<Value>) = (
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    );
    assert_eq!(printed.len(), 6);
    for (printed, written) in printed.iter().zip(&written) {
        for key in ["id", "hypothesis"] {
            assert_eq!(printed[key], written[key]);
        }
        assert!(!written["text"].as_str().unwrap().is_empty());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("WER ") && stderr.contains("6 utterances"), "{stderr}");
}

#[test]
fn eval_gives_the_test_scores_of_the_summary() {
    let world = World::new();
    world.save_bert("student", 3);
    let short = ["--set", "schedule.max_steps=8", "--set", "eval.baseline=true"];
    let finetune = ["--set", "task=finetune-text", "--set", "model.dir=student"];
    for (out, recipe, sets, found) in [
        ("asr", world.asr_recipe(), &[][..], &[("/test", "")][..]),
        (
            "teach",
            world.teach_recipe(),
            &[][..],
            &[("/student/test", "/student"), ("/baseline/test", "/baseline")][..],
        ),
        ("finetune", world.teach_recipe(), &finetune[..], &[("/test", "")][..]),
    ] {
        let train = ["train", &recipe, "--quiet", "--out", out];
        succeed(world.command(&train).args(short).args(sets));
        let summary = read_json(&world.path(out).join("summary.json"));
        let output = succeed(&mut world.command(&["eval", out]));
        let again: Value = serde_json::from_str(&stdout(&output)).unwrap();
        for (in_summary, in_eval) in found {
            let expected = summary.pointer(in_summary).unwrap();
            assert!(expected.as_object().is_some_and(|scores| !scores.is_empty()), "{out}");
            assert_eq!(again.pointer(in_eval), Some(expected), "{out}");
        }
        let other = ["eval", out, "--data", "manifest.jsonl#split=dev"];
        let other = stdout(&succeed(&mut world.command(&other)));
        assert_ne!(serde_json::from_str::<Value>(&other).unwrap(), again, "{out}: other data");
    }
    let message = fail(&mut world.command(&["eval", "audio"]));
    assert!(message.contains("audio/recipe.toml: not there, expected a run folder"), "{message}");
}

#[test]
fn align_adds_rising_word_ends_that_splicing_takes() {
    let world = World::new();
    let (recipe, aligned) = (world.asr_recipe(), "aligned.jsonl");
    let train = ["train", &recipe, "--quiet", "--out", "run", "--set", "schedule.max_steps=3"];
    succeed(&mut world.command(&train));
    let manifest = "manifest.jsonl#split=train";
    let align = ["data", "align", "run", "--manifest", manifest, "--out"];
    succeed(world.command(&align).arg(aligned));
    let text = fs::read_to_string(world.path(aligned)).unwrap();
    let before = fs::read_to_string(world.path("manifest.jsonl")).unwrap();
    let mut with_times = 0;
    for (line, old) in text.lines().zip(before.lines()) {
        let mut fields: Value = serde_json::from_str(line).unwrap();
        let ends = fields.as_object_mut().unwrap().remove("word_ends");
        assert_eq!(fields, serde_json::from_str::<Value>(old).unwrap());
        let is_train = fields["split"] == "train";
        let Some(ends) = ends else {
            assert!(!is_train, "{line}");
            continue;
        };
        let ends: Vec<f64> = serde_json::from_value(ends).unwrap();
        assert_eq!(ends.len(), fields["text"].as_str().unwrap().split(' ').count());
        assert!(is_train && ends.is_sorted() && ends[0] > 0.0, "{line}");
        assert!(*ends.last().unwrap() <= fields["duration"].as_f64().unwrap() + 0.02, "{line}");
        with_times += 1;
    }
    assert_eq!((text.lines().count(), with_times > 0), (before.lines().count(), true));

    let spliced = ["train", &recipe, "--quiet", "--out", "spliced", "--set", "augment.splice=1"];
    let data = ["--set", "schedule.max_steps=3", "--set"];
    let data_train = "data.train=[\"aligned.jsonl#split=train\"]";
    succeed(world.command(&spliced).args(data).arg(data_train));
    let message =
        fail(&mut world.command(&["train", &recipe, "--out", "o", "--set", "augment.splice=1"]));
    assert!(message.contains("no line of data.train has word_ends"), "{message}");
    let message = fail(world.command(&align).arg("audio/aligned.jsonl"));
    assert!(message.contains("another folder than that of manifest.jsonl"), "{message}");
}

#[test]
fn shipped_recipes_are_listed_and_copied_but_nothing_is_overwritten() {
    let world = World::new();
    let listed = stdout(&succeed(&mut world.command(&["recipe", "ls"])));
    for name in ["nano-whisper", "teach-whisper-nano", "teach-whisper-tiny", "finetune-text"] {
        assert!(listed.lines().any(|line| line.starts_with(name)), "{listed}");
    }
    succeed(&mut world.command(&["recipe", "cp", "nano-whisper", "mine.toml"]));
    let (mine, shipped) =
        (Recipe::load(&world.text("mine.toml"), &[]), Recipe::load("nano-whisper", &[]));
    assert_eq!(mine.unwrap().recipe, shipped.unwrap().recipe);
    let message = fail(&mut world.command(&["recipe", "cp", "finetune-text", "mine.toml"]));
    assert!(message.contains("mine.toml: file exists"), "{message}");
}

#[test]
fn data_validate_tells_by_its_status_whether_training_can_start() {
    let world = World::new();
    let validate = ["data", "validate", "manifest.jsonl"];
    let page = stdout(&succeed(&mut world.command(&validate)));
    assert!(page.ends_with("30 lines, 30 sound files, 0 errors, 0 warnings\n"), "{page}");
    let page = stdout(&succeed(&mut world.command(&["data", "describe", "manifest.jsonl"])));
    assert!(page.contains("30"), "{page}");

    fs::write(world.path("audio/u07.wav"), b"not sound").unwrap();
    fs::remove_file(world.path("audio/u08.wav")).unwrap();
    let output = world.command(&validate).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let page = stdout(&output);
    assert!(page.contains("manifest.jsonl:8: audio: "), "{page}");
    assert!(
        page.contains("manifest.jsonl:9: audio is ") && page.contains("no such file"),
        "{page}"
    );
    assert!(page.contains("2 errors"), "{page}");
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let world = World::new();
    for args in [&["trian"][..], &["train", "--epochs", "3"], &["encode"]] {
        let output = world.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: "), "{args:?}");
    }
}
