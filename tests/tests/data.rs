//! From a published corpus to a blend that trains: `data import`, `data validate`, `data align`.

use std::fs;

use serde_json::Value;

use crate::program::{fail, stdout, succeed};
use crate::speech::{sound, wav, words};
use crate::world::World;

/// A talk of three utterances in MuST-C's form, below `must-c`.
fn must_c(world: &World) {
    let data = world.path("must-c/en-de/data/train");
    fs::create_dir_all(data.join("txt")).unwrap();
    fs::create_dir_all(data.join("wav")).unwrap();
    let (mut samples, mut list, mut text) = (Vec::new(), String::new(), String::new());
    for k in 0..3 {
        let (words, start) = (words(k), samples.len());
        samples.extend(sound(&words, k));
        let seconds = |n: usize| n as f64 / 16_000.0;
        list += &format!(
            "- {{duration: {}, offset: {}, rW: {}, uW: 0, speaker_id: spk.1, wav: ted_1.wav}}\n",
            seconds(samples.len() - start),
            seconds(start),
            words.len()
        );
        text += &format!("{}\n", words.join(" "));
    }
    fs::write(data.join("wav/ted_1.wav"), wav(&samples)).unwrap();
    fs::write(data.join("txt/train.yaml"), list).unwrap();
    fs::write(data.join("txt/train.en"), &text).unwrap();
    fs::write(data.join("txt/train.de"), text).unwrap();
}

#[test]
fn a_corpus_is_imported_checked_blended_and_trained_on() {
    let world = World::new();
    must_c(&world);
    let import = ["data", "import", "--from", "must-c", "must-c", "--out"];
    let page = stdout(&succeed(world.command(&import).arg("talks.jsonl")));
    assert_eq!(page, "talks.jsonl: 3 utterances, 0.00 h, none left out\n");
    let validate = ["data", "validate", "talks.jsonl", "--max-duration", "0.5"];
    let page = stdout(&succeed(&mut world.command(&validate)));
    assert!(
        page.contains("warning talks.jsonl:3: lasts 0.600 s, expected at most 0.5 s"),
        "{page}"
    );
    assert!(page.contains("3 lines, 1 sound files, 0 errors, "), "{page}");

    let recipe = world.ctc_recipe();
    let train = format!("data.train=[{:?}, \"talks.jsonl\"]", "manifest.jsonl#split=train");
    let run =
        ["train", &recipe, "--quiet", "--out", "run", "--set", "schedule.max_steps=3", "--set"];
    let weights = ["--set", "data.weights=[1, 0.5]"];
    succeed(world.command(&run).arg(&train).args(weights));
    let message = fail(world.command(&run).arg(&train).args(["--set", "data.weights=[1]"]));
    assert!(
        message.ends_with(
            "--set: data.weights is 1 numbers, expected 2, one for each manifest of data.train, or none"
        ),
        "{message}"
    );
    let message = fail(world.command(&run).arg(&train).args(["--set", "data.weights=[1, 0]"]));
    assert!(message.ends_with("--set: data.weights is 0, expected > 0"), "{message}");

    let message = fail(world.command(&import).args(["t.jsonl", "--language", "fr"]));
    assert!(message.contains("must-c: no en-fr, expected one of de"), "{message}");
    fs::remove_file(world.path("must-c/en-de/data/train/wav/ted_1.wav")).unwrap();
    let message = fail(world.command(&import).arg("t.jsonl"));
    assert!(message.contains("train.yaml:1: wav is `ted_1.wav`, no such file at "), "{message}");
    assert!(!world.path("t.jsonl").exists());
}

#[test]
fn words_are_timed_by_a_ctc_folder_and_by_a_ctc_run() {
    let world = World::new();
    world.save_hubert("speech", 7);
    let recipe = world.ctc_recipe();
    let train = ["train", &recipe, "--quiet", "--out", "run", "--set", "schedule.max_steps=3"];
    succeed(&mut world.command(&train));
    for model in ["speech", "run"] {
        let out = format!("{model}.jsonl");
        let align = ["data", "align", model, "--manifest", "manifest.jsonl", "--out", &out];
        let page = stdout(&succeed(&mut world.command(&align)));
        assert_eq!(page, format!("{out}: 30 lines aligned, 0 whose text does not fit\n"));
        for line in fs::read_to_string(world.path(&out)).unwrap().lines() {
            let fields: Value = serde_json::from_str(line).unwrap();
            let ends: Vec<f64> = serde_json::from_value(fields["word_ends"].clone()).unwrap();
            assert_eq!(ends.len(), fields["text"].as_str().unwrap().split(' ').count());
            assert!(ends.is_sorted() && ends[0] > 0.0, "{line}");
            assert!(
                *ends.last().unwrap() <= fields["duration"].as_f64().unwrap() + 0.005,
                "{line}"
            );
        }
    }
    let align = |model: &str| {
        let args = ["data", "align", model, "--manifest", "manifest.jsonl", "--out", "o.jsonl"];
        fail(&mut world.command(&args))
    };
    let message = align("teacher");
    assert!(
        message.contains("teacher: folder holds a Whisper model, expected HuBERT"),
        "{message}"
    );
    fs::remove_dir_all(world.path("run/model")).unwrap();
    let message = align("run");
    assert!(message.contains("run/model: not there, expected a finished run"), "{message}");
}
