//! What each command says of a folder, a file or an option that it cannot take: where, what,
//! expected, got, and a hint.

use std::collections::BTreeMap;
use std::fs;

use model_zoo::llama::LlamaConfig;
use model_zoo::whisper::WhisperConfig;
use serde_json::{Value, json};
use tensor_core::{DType, SafeTensors, Tensor, save_safetensors};

use crate::program::fail;
use crate::speech::wav;
use crate::world::World;

const SOUND: &str = "audio/u01.wav";

/// A folder of each family: `teacher` (Whisper), `student` (BERT), `model` (LLaMA), `speech`
/// (HuBERT).
fn world() -> World {
    let world = World::new();
    world.save_bert("student", 3);
    world.save_llama("model", 5, DType::F32);
    world.save_hubert("speech", 7);
    world
}

/// The message of a command on the folder `dir`, which must hold `said`.
#[track_caller]
fn assert_refused(world: &World, command: &str, dir: &str, said: &str) {
    let (name, rest) = command.split_once(' ').unwrap();
    let rest = rest.split(' ');
    let message = fail(world.command(&[name, "--model", dir]).args(rest));
    assert!(message.contains(said), "{command} of {dir}: {said:?} is not in\n{message}");
}

const TRANSCRIBE: &str = "transcribe audio/u01.wav";
const GENERATE: &str = "generate --prompt red";
const ENCODE_TEXT: &str = "encode --text red --output e";
const ENCODE_SOUND: &str = "encode --input audio/u01.wav --output e";

#[test]
fn a_folder_of_another_family_is_named_with_the_command_that_takes_it() {
    let world = world();
    fs::create_dir(world.path("gpt2")).unwrap();
    world.write_json("gpt2/config.json", &json!({ "model_type": "gpt2" }));
    fs::create_dir(world.path("empty")).unwrap();
    let none = "(hint: a model folder holds config.json, model.safetensors and tokenizer.json)";
    for (command, dir, said) in [
        (
            GENERATE,
            "teacher",
            "teacher: folder holds a Whisper model, expected LLaMA (hint: `transcribe` and \
             `encode` take this one)",
        ),
        (GENERATE, "student", "student: folder holds a BERT model, expected LLaMA (hint: `encode`"),
        (GENERATE, "speech", "speech: folder holds a HuBERT model, expected LLaMA (hint: `encode`"),
        (
            TRANSCRIBE,
            "model",
            "model: folder holds a LLaMA model, expected Whisper (hint: `generate` and `encode` \
             take this one)",
        ),
        (TRANSCRIBE, "speech", "speech: folder holds a HuBERT model, expected Whisper (hint: "),
        (
            ENCODE_TEXT,
            "teacher",
            "teacher: folder holds a Whisper model, which hears sound; --text is for BERT and LLaMA \
             (hint: --input FILE)",
        ),
        (
            ENCODE_SOUND,
            "model",
            "audio/u01.wav:1: no text, expected one, which this text model encodes (hint: --text",
        ),
        (
            GENERATE,
            "gpt2",
            "gpt2/config.json: model_type is `gpt2`, expected one of `whisper`, `bert`, `llama`, \
             `hubert`, `wav2vec2` (hint: is this the folder you mean)",
        ),
        (GENERATE, "empty", &format!("empty: folder has no `config.json` {none}")),
        (
            ENCODE_TEXT,
            "absent",
            &format!("absent: is not a folder, expected one that holds `config.json` {none}"),
        ),
    ] {
        assert_refused(&world, command, dir, said);
    }
    assert!(!world.path("e").exists(), "nothing was written");
}

/// The tensors of a folder, changed and written again.
fn edit(world: &World, dir: &str, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
    let path = world.path(dir).join("model.safetensors");
    let file = SafeTensors::open(&path).unwrap();
    let mut tensors: BTreeMap<String, Tensor> =
        file.names().into_iter().map(|name| (name.clone(), file.tensor(&name).unwrap())).collect();
    change(&mut tensors);
    let tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    save_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
}

#[test]
fn weights_that_are_not_all_there_or_do_not_fit_are_named() {
    let world = world();
    // A command for each family, and a weight of each.
    let families = [
        (GENERATE, "model", "model.layers.0.mlp.up_proj.weight"),
        (ENCODE_TEXT, "model", "model.layers.1.mlp.up_proj.weight"),
        (ENCODE_TEXT, "student", "bert.encoder.layer.0.intermediate.dense.weight"),
        (TRANSCRIBE, "teacher", "model.encoder.layers.0.fc1.weight"),
        (ENCODE_SOUND, "speech", "hubert.encoder.layers.0.feed_forward.intermediate_dense.weight"),
    ];
    for (command, dir, weight) in families {
        let path = world.path(dir).join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        edit(&world, dir, |tensors| {
            let tensor = tensors.get_mut(weight).unwrap();
            *tensor = tensor.transpose(0, 1).unwrap().contiguous().unwrap();
        });
        let said = format!(
            "weights: {dir}/model.safetensors: 1 wrongly shaped: {weight} is [16, 32], expected \
             [32, 16] (hint: does config.json belong to this file)"
        );
        assert_refused(&world, command, dir, &said);

        fs::write(&path, &whole).unwrap();
        edit(&world, dir, |tensors| {
            let tensor = tensors.remove(weight).unwrap();
            tensors.insert("of.another".to_owned(), tensor);
        });
        let said = format!("1 missing: {weight}; 1 unexpected: of.another (hint: does config.json");
        assert_refused(&world, command, dir, &said);

        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let said = format!(
            "{dir}/model.safetensors: {} bytes are not a whole safetensors file: ",
            whole.len() / 2
        );
        assert_refused(&world, command, dir, &said);
        assert_refused(&world, command, dir, "(hint: is the download complete?)");

        fs::remove_file(&path).unwrap();
        let said = format!(
            "weights: {dir}: folder has neither `model.safetensors` nor \
             `model.safetensors.index.json` (hint: export pytorch_model.bin"
        );
        assert_refused(&world, command, dir, &said);

        // The same in two shards, of which the second one is lost.
        let index =
            json!({ "weight_map": { "a": "1-of-2.safetensors", "b": "2-of-2.safetensors" } });
        world.write_json(&format!("{dir}/model.safetensors.index.json"), &index);
        fs::write(world.path(dir).join("1-of-2.safetensors"), &whole).unwrap();
        let said = format!(
            "weights: {dir}/model.safetensors.index.json: shard `2-of-2.safetensors` is listed but \
             absent, expected beside the index (hint: was all of the folder downloaded)"
        );
        assert_refused(&world, command, dir, &said);
        fs::remove_file(world.path(dir).join("model.safetensors.index.json")).unwrap();
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_tokenizer_that_is_absent_or_of_another_vocabulary_is_named() {
    let world = world();
    let config = LlamaConfig::open(&world.path("model")).unwrap();
    assert_eq!(WhisperConfig::open(&world.path("teacher")).unwrap().vocab_size, config.vocab_size);
    // A vocabulary with one token more than the models have.
    let text = fs::read_to_string(world.path("whisper/tokenizer.json")).unwrap();
    let mut larger: Value = serde_json::from_str(&text).unwrap();
    let mut token = larger["added_tokens"][0].clone();
    token["id"] = json!(280);
    token["content"] = json!("<|one_more|>");
    larger["added_tokens"].as_array_mut().unwrap().push(token);
    for (command, dir, vocab_size, hint) in [
        (GENERATE, "model", 280, "(hint: do tokenizer.json and config.json belong to the same"),
        (ENCODE_TEXT, "model", 280, "(hint: do tokenizer.json and config.json belong to the same"),
        (ENCODE_TEXT, "student", 60, "(hint: do tokenizer.json and config.json belong to the same"),
        (TRANSCRIBE, "teacher", 280, "(hint: do tokenizer.json and config.json belong to the same"),
    ] {
        let file = format!("{dir}/tokenizer.json");
        world.write_json(&file, &larger);
        let said = format!("largest id is 280, expected below vocab_size {vocab_size} {hint}");
        assert_refused(&world, command, dir, &said);
        assert_refused(&world, command, dir, &format!("{dir}/tokenizer.json: "));
        fs::write(world.path(&file), "{\"version\": ").unwrap();
        let said = format!("{file}: not a tokenizer as the tokenizers library writes it: EOF");
        assert_refused(&world, command, dir, &said);
        assert_refused(
            &world,
            command,
            dir,
            "(hint: was the file downloaded or copied as a whole)",
        );
        fs::remove_file(world.path(&file)).unwrap();
        let said = format!("{dir}: folder has no `tokenizer.json` (hint: transformers writes it");
        assert_refused(&world, command, dir, &said);
    }
    world.copy("student/config.json", "student/whole.json");
    fs::write(world.path("student/config.json"), "{\"model_type\": \"bert\",").unwrap();
    let said = "student/config.json: is not JSON: EOF while parsing a value at line 1 column 22 \
                (hint: was the file downloaded or copied as a whole)";
    assert_refused(&world, ENCODE_TEXT, "student", said);
}

#[test]
fn text_that_is_longer_than_the_positions_of_a_model_is_named() {
    let world = world();
    for (dir, longest) in [("student", 16), ("model", 48)] {
        let text = "red ".repeat(60);
        let message = fail(
            world
                .command(&["encode", "--model", dir, "--output", "e", "--text", "red", "--text"])
                .arg(text),
        );
        assert!(message.contains("error: text 2 has "), "{message}");
        let said = format!(
            "tokens, expected at most {longest}, the positions of the model (hint: split it)"
        );
        assert!(message.contains(&said), "{message}");
    }
}

#[test]
fn sound_that_a_model_cannot_hear_at_once_is_named_with_a_way_out() {
    let world = world();
    fs::write(world.path("long.wav"), wav(&vec![0.1; 40_000])).unwrap();
    fs::write(world.path("short.wav"), wav(&[0.1; 100])).unwrap();
    let at =
        "long.wav:1: utterance `long`: clip has 2.5 s, expected at most 2.0 s, the model's window";
    for (command, dir, said) in [
        ("transcribe long.wav", "teacher", format!("{at} (hint: --chunked SECONDS hears it")),
        (
            "encode --input long.wav --output e",
            "teacher",
            format!("{at} (hint: offset and duration of a manifest line cut it)"),
        ),
        (
            "transcribe long.wav --chunked 3",
            "teacher",
            "chunk_length_s is 3 with strides of 50 and 50 frames, expected at most 2 and shorter \
             strides (hint: the model's window bounds a chunk)"
                .to_owned(),
        ),
        (
            "encode --input short.wav --output e",
            "speech",
            "short.wav:1: utterance `short`: ".to_owned(),
        ),
    ] {
        assert_refused(&world, command, dir, &said);
    }
}

#[test]
fn options_of_transcribe_out_of_range_are_named() {
    let world = world();
    for (options, said) in [
        ("--beam 0", "--beam is 0, expected at least 1 (hint: leave it out)"),
        ("--beam 2 --n-best 0", "--n-best is 0, expected at least 1"),
        ("--temperature 1 --best-of 0", "--best-of is 0, expected at least 1"),
        ("--max-new-tokens 0", "--max-new-tokens is 0, expected at least 1"),
        ("--n-best 2", "--n-best is 2, expected at most 1 (hint: --beam 2 or more)"),
        ("--beam 2 --n-best 2 --vad", "expected 1 with --vad and --chunked: hypotheses of several"),
    ] {
        assert_refused(&world, &format!("transcribe {SOUND} {options}"), "teacher", said);
    }

    let said = "error: teacher: whisper prompt: language is `xx`, expected a code that the vocabulary has as \
                `<|xx|>` (hint: codes are those of ISO 639-1, such as `en` and `de`)";
    assert_refused(&world, &format!("transcribe {SOUND} --language xx"), "teacher", said);
}
