//! `generate`: what it writes is what the library computes, and what it cannot serve it says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model_zoo::decoding::{GenerateOptions, Hypothesis, Strategy};
use model_zoo::llama::{Llama, LlamaConfig, LlamaInput, PaddingSide};
use model_zoo::{Builder, LoadOptions, Tokenizer};
use serde_json::Value;
use tensor_core::{Context, DType, Device};

use crate::program::{fail, stdout, succeed};
use crate::world::World;

/// `generate` by a LLaMA of random weights.
fn llama(world: &World, args: &[&str]) -> Command {
    let mut command = world.command(&["generate", "--model", "model"]);
    command.args(args);
    command
}

/// One JSON line.
fn line(world: &World, args: &[&str]) -> Value {
    let output = succeed(llama(world, args).args(["--format", "json"]));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn world() -> World {
    let world = World::new();
    world.save_llama("model", 5, DType::F32);
    world
}

/// What the library continues `prompt` with, greedily.
fn expected(dir: &Path, prompt: &str, max_new_tokens: usize) -> Hypothesis {
    let model = Llama::open(dir, LoadOptions::default()).unwrap();
    let ids = Tokenizer::open(dir).unwrap().encode(prompt, true).unwrap();
    let input = LlamaInput::from_ids(&[ids], PaddingSide::Left, Device::Cpu).unwrap();
    let options = GenerateOptions {
        strategy: Strategy::Greedy,
        max_new_tokens,
        eos_token_ids: model.generation.eos_token_ids().to_vec(),
    };
    model.generate(&Context::eval(), &input, &[], &options).unwrap().remove(0).remove(0)
}

#[test]
fn the_likeliest_tokens_follow_each_prompt() {
    let world = world();
    let prompts = ["red green", "yes no", "three"];
    let output = succeed(&mut llama(
        &world,
        &[
            "--max-new-tokens",
            "9",
            "--prompt",
            prompts[0],
            "--prompt",
            prompts[1],
            "--prompt",
            prompts[2],
        ],
    ));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("prefill ") && stderr.contains(" tokens/s; decode "), "{stderr}");
    let texts = stdout(&output);

    let tokenizer = Tokenizer::open(&world.path("model")).unwrap();
    let mut all = String::new();
    for prompt in prompts {
        let found = expected(&world.path("model"), prompt, 9);
        let json = line(&world, &["--max-new-tokens", "9", "--prompt", prompt]);
        assert_eq!(json["tokens"], serde_json::json!(found.ids));
        assert_eq!(json["ended"], found.ended);
        assert_eq!(json["prompt"], prompt);
        assert!((json["sum_logprob"].as_f64().unwrap() - found.sum_logprob).abs() < 1e-9);
        assert_eq!(json["text"], tokenizer.decode(&found.ids, true).unwrap());
        all += &format!("{prompt}{}\n", json["text"].as_str().unwrap());
    }
    assert_eq!(texts, all);

    // A file of prompts, and the same on standard input.
    fs::write(world.path("prompts.txt"), prompts.join("\n\n")).unwrap();
    let from_file = ["--max-new-tokens", "9", "--prompts", "prompts.txt"];
    assert_eq!(stdout(&succeed(&mut llama(&world, &from_file))), texts);
    let mut child = llama(&world, &["--max-new-tokens", "9", "--prompts", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(prompts.join("\n").as_bytes()).unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), texts);
}

#[test]
fn beams_and_samples_come_best_first_with_scores() {
    let world = world();
    let beams = ["--prompt", "red", "--num-beams", "4", "--num-return-sequences", "3"];
    let samples = ["--prompt", "red", "--do-sample", "--seed", "3", "--num-return-sequences", "3"];
    for args in [&beams[..], &samples] {
        let found = line(&world, &[args, &["--max-new-tokens", "6"]].concat());
        let n_best = found["n_best"].as_array().unwrap();
        assert_eq!(n_best.len(), 3, "{found}");
        assert_eq!(n_best[0]["text"], found["text"]);
        let scores: Vec<f64> = n_best.iter().map(|one| one["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert_ne!(n_best[0]["tokens"], n_best[1]["tokens"]);
        assert_eq!(line(&world, &[args, &["--max-new-tokens", "6"]].concat()), found, "once more");
        let text = stdout(&succeed(llama(&world, args).args(["--max-new-tokens", "6"])));
        assert!(text.starts_with(&format!("# 1: score {:.4}\nred", scores[0])), "{text}");
    }
    let other = ["--prompt", "red", "--sample", "--seed", "4", "--max-new-tokens", "6"];
    assert_ne!(line(&world, &other)["tokens"], line(&world, &samples)["tokens"], "another seed");
    // Among one token there is nothing to choose.
    let one = ["--prompt", "red", "--do-sample", "--top-k", "1", "--max-new-tokens", "6"];
    let greedy = line(&world, &["--prompt", "red", "--max-new-tokens", "6"]);
    assert_eq!(line(&world, &one)["tokens"], greedy["tokens"]);
}

#[test]
fn rules_and_forms_of_weights_change_what_is_written_as_they_should() {
    let world = world();
    let args = |more: &[&'static str]| {
        line(&world, &[&["--prompt", "red", "--max-new-tokens", "20"], more].concat())
    };
    let plain = args(&[]);
    // An f32 file is the same as stored.
    assert_eq!(args(&["--weights", "f32"]), plain);
    assert!(args(&["--weights", "int8"])["sum_logprob"].as_f64().unwrap() < 0.0);
    let distinct = |found: &Value| {
        let mut ids: Vec<u64> =
            found["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        (n, ids.len())
    };
    let (n, kinds) = distinct(&plain);
    assert!(kinds < n, "the model repeats itself: {plain}");
    for rule in [&["--no-repeat-ngram-size", "1"][..], &["--repetition-penalty", "1000"]] {
        let (n, kinds) = distinct(&args(rule));
        assert_eq!(kinds, n, "{rule:?}");
    }
}

#[test]
fn a_question_is_put_into_the_chat_format() {
    let world = World::new();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("assets/nano-llama");
    let config = LlamaConfig::open(&assets).unwrap();
    let root = Builder::random(2, DType::F32, Device::Cpu);
    Llama::new(&root, &config).unwrap().save_hf_folder(&world.path("model"), None).unwrap();
    fs::copy(assets.join("tokenizer.json"), world.path("model/tokenizer.json")).unwrap();
    let chat = line(&world, &["--chat", "--system", "Be brief.", "--prompt", "Who is there?"]);
    let written = "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
                   <|start_header_id|>user<|end_header_id|>\n\nWho is there?<|eot_id|>\
                   <|start_header_id|>assistant<|end_header_id|>\n\n";
    assert_eq!(line(&world, &["--prompt", written])["tokens"], chat["tokens"]);
    let answer = ["--chat", "--prompt", "Who is there?"];
    let text = stdout(&succeed(&mut llama(&world, &answer)));
    assert_eq!(text, format!("{}\n", line(&world, &answer)["text"].as_str().unwrap()));

    let message = fail(&mut llama(&world, &["--chat", "--prompt", "<audio> What is said?"]));
    assert!(message.contains("prompt 1: prompt has a place for speech, `<audio>`"), "{message}");
}

#[test]
fn what_cannot_be_served_is_refused_with_a_hint() {
    let world = world();
    let long = "red green blue ".repeat(20);
    for (args, said) in [
        (&["--prompt", "a", "--num-beams", "0"][..], "--num-beams is 0, expected at least 1"),
        (&["--prompt", "a", "--max-new-tokens", "0"], "--max-new-tokens is 0, expected at least 1"),
        (
            &["--prompt", "a", "--num-return-sequences", "2"],
            "is 2, expected 1 where the likeliest token is taken (hint: --num-beams 2 or more",
        ),
        (
            &["--prompt", "a", "--num-beams", "2", "--num-return-sequences", "3"],
            "is 3, expected at most 2, the beams (hint: --num-beams 3 or more, or --do-sample)",
        ),
        (
            &["--prompt", "a", "--do-sample", "--temperature", "0"],
            "--temperature is 0, expected above 0 (hint: without --do-sample",
        ),
        (&["--prompt", "a", "--do-sample", "--top-p", "1.5"], "--top-p is 1.5, expected above 0"),
        (&["--prompt", "a", "--do-sample", "--min-p", "1"], "--min-p is 1, expected at least 0"),
        (
            &["--prompt", "a", "--repetition-penalty", "-2"],
            "--repetition-penalty is -2, expected above 0 (hint: 1 changes nothing",
        ),
        (
            &["--prompt", "a", "--chat"],
            "model: --chat: chat: no token `<|begin_of_text|>`, expected one for the chat format \
             (hint: the format is that of Llama-3.1-Instruct)",
        ),
        (
            &["--prompt", "a", "--prompt", &long],
            "tokens, expected fewer than 48, the positions of the model (hint: shorten it",
        ),
        (&["--prompts", "absent.txt"], "absent.txt: cannot read"),
    ] {
        let message = fail(&mut llama(&world, args));
        assert!(message.contains(said), "{said:?} is not in\n{message}");
    }
    // A tokenizer that puts nothing before a text.
    let path = world.path("model/tokenizer.json");
    let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    file["post_processor"] = Value::Null;
    fs::write(&path, file.to_string()).unwrap();
    let message = fail(&mut llama(&world, &["--prompt", "a", "--prompt", ""]));
    let said = "prompt 2: prompt is empty, expected at least 1 token (hint: this tokenizer puts";
    assert!(message.contains(said), "{message}");
    for args in [&["--num-beams", "2"][..], &["--prompt", "a", "--temperature", "1"]] {
        assert_eq!(llama(&world, args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn stories_go_on() {
    let data = std::env::var_os("CONSONANCE_DATA").map(PathBuf::from);
    let Some(data) = data.filter(|dir| dir.join("models/stories260K").is_dir()) else {
        eprintln!("skipped stories_go_on: set CONSONANCE_DATA");
        return;
    };
    let world = World::new();
    let model = data.join("models/stories260K").display().to_string();
    let args = ["generate", "--model", &model, "--prompt", "Once upon a time"];
    let text = stdout(&succeed(world.command(&args).args(["--max-new-tokens", "12"])));
    assert!(text.starts_with("Once upon a time, there was a little girl named Lily"), "{text}");
}
