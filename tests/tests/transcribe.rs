//! `transcribe` with times, formats and the n best, on the bundled speech and model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{fail, program, stdout, succeed};
use crate::speech::{SAMPLE_RATE, wav};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `transcribe` by the bundled model.
fn nano(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(root()).args(["transcribe", "--model", "assets/nano-whisper"]).args(args);
    command
}

fn clip(k: usize) -> String {
    format!("assets/microworld/audio/dev-000-{k}.ogg")
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bundled clips with `pause_s` of silence behind each, as one WAV file.
fn joined(folder: &Path, clips: &[usize], pause_s: f64) -> PathBuf {
    let mut samples = Vec::new();
    for &k in clips {
        let path = root().join(clip(k));
        samples.extend(audio_frontend::load(path, &Default::default()).unwrap().samples);
        let pause = (pause_s * f64::from(SAMPLE_RATE)) as usize;
        samples.resize(samples.len() + pause, 0.0);
    }
    let path = folder.join("joined.wav");
    fs::write(&path, wav(&samples)).unwrap();
    path
}

#[test]
fn a_vocabulary_without_timestamps_is_told_of() {
    for asked in [&["--timestamps"][..], &["--word-timestamps"], &["--format", "srt"]] {
        let message = fail(nano(&[&clip(0)]).args(asked));
        assert!(message.contains("assets/nano-whisper: the vocabulary has no timestamps"));
        assert!(message.contains("(hint: leave them out"), "{message}");
    }
}

#[test]
fn options_that_cannot_be_served_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let long = joined(folder.path(), &[0, 1, 2], 0.0);
    let (long, clips) = (long.to_str().unwrap(), [clip(0), clip(1)]);
    let out = folder.path().join("out").display().to_string();
    for (args, said) in [
        (&[long][..], "10.0 s, the model's window (hint: --chunked SECONDS hears it in chunks)"),
        (
            &[&clips[0], "--n-best", "3"],
            "--n-best is 3, expected at most 1 (hint: --beam 3 or more)",
        ),
        (&[long, "--n-best", "2", "--beam", "2", "--vad"], "hypotheses of several windows"),
        (&[&clips[0], "--beam", "0"], "--beam is 0, expected at least 1"),
        (&[&clips[0], &clips[1], "--format", "vtt"], "2 recordings cannot share one (hint: --out"),
        (
            &[&clips[0], &clips[0], "--format", "txt", "--out", &out],
            "two recordings are called `dev-000-0`",
        ),
        (&[long, "--chunked", "11"], "chunk_length_s is 11"),
        (&[long, "--temperature", "-1"], "temperature is -1, expected at least 0"),
    ] {
        let message = fail(&mut nano(args));
        assert!(message.contains(said), "{said:?} is not in\n{message}");
    }
    let mut bert = Command::new(program());
    bert.current_dir(root()).args(["transcribe", "--model", "assets/nano-bert", &clips[0]]);
    let message = fail(&mut bert);
    assert!(
        message.contains(
            "folder holds a BERT model, expected Whisper (hint: `encode` takes this one)"
        ),
        "{message}"
    );
}

#[test]
fn files_hold_what_is_printed_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/out");
    let clips = [clip(0), clip(1), clip(2)];
    let clips: Vec<&str> = clips.iter().map(String::as_str).collect();
    let printed = succeed(&mut nano(&clips));
    let stderr = String::from_utf8_lossy(&printed.stderr);
    assert!(stderr.contains("3 utterances") && stderr.contains("real-time factor"), "{stderr}");
    let printed = lines(&stdout(&printed));
    for format in ["txt", "json"] {
        let files = ["--format", format, "--out", out.to_str().unwrap(), "--batch", "2"];
        let output = succeed(nano(&clips).args(files));
        assert_eq!(stdout(&output), "");
    }
    assert_eq!(printed.len(), 3);
    for line in &printed {
        let (id, text) = (line["id"].as_str().unwrap(), line["hypothesis"].as_str().unwrap());
        assert!(text.len() > 20, "{text}");
        let file = |format| fs::read_to_string(out.join(format!("{id}.{format}"))).unwrap();
        assert_eq!(file("txt"), format!("{text}\n"));
        let json: Value = serde_json::from_str(&file("json")).unwrap();
        assert_eq!(json["language"], "en");
        assert_eq!(json["segments"][0]["text"].as_str().unwrap().trim(), text);
        assert!(json["segments"][0]["avg_logprob"].as_f64().unwrap() < 0.0);
    }
}

#[test]
fn the_best_of_n_is_the_transcript_and_scores_fall() {
    let args = [&clip(0), "--beam", "4", "--n-best", "3"];
    let line = lines(&stdout(&succeed(&mut nano(&args)))).remove(0);
    let n_best = line["n_best"].as_array().unwrap();
    assert_eq!(n_best.len(), 3);
    assert_eq!(n_best[0]["text"], line["hypothesis"]);
    let scores: Vec<f64> = n_best.iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_ne!(n_best[0]["text"], n_best[1]["text"]);
}

#[test]
fn speech_between_silences_is_heard_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = joined(folder.path(), &[1, 2], 4.0);
    let args = [path.to_str().unwrap(), "--vad", "--temperature", "0", "--format", "json"];
    let heard = lines(&stdout(&succeed(&mut nano(&args)))).remove(0);
    let segments = heard["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2, "{heard}");
    let time = |k: usize, key: &str| segments[k][key].as_f64().unwrap();
    assert!(time(0, "end") + 2.0 < time(1, "start"), "{heard}");

    fs::write(&path, wav(&vec![0.0; 40_000])).unwrap();
    let silent = lines(&stdout(&succeed(&mut nano(&[path.to_str().unwrap(), "--vad"]))));
    assert_eq!(silent[0]["hypothesis"], "");
}

#[test]
fn chunks_together_give_the_text_of_chunks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = joined(folder.path(), &[0, 1, 2], 0.5);
    let chunked = |batch: &str| {
        let args = [path.to_str().unwrap(), "--chunked", "8", "--batch", batch];
        lines(&stdout(&succeed(&mut nano(&args)))).remove(0)["hypothesis"].clone()
    };
    let alone = chunked("1");
    assert!(alone.as_str().unwrap().len() > 40, "{alone}");
    assert_eq!(chunked("3"), alone);
}

/// The folder of real models and sound.
fn data(test: &str) -> Option<PathBuf> {
    let data = std::env::var_os("CONSONANCE_DATA").map(PathBuf::from);
    let found = data.filter(|dir| dir.join("models/whisper-tiny").is_dir());
    if found.is_none() {
        eprintln!("skipped {test}: set CONSONANCE_DATA");
    }
    found
}

/// A number of a JSON object.
fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap()
}

/// Words of all segments, in order.
fn words(json: &Value) -> Vec<&Value> {
    let segments = json["segments"].as_array().unwrap().iter();
    segments.flat_map(|segment| segment["words"].as_array().unwrap()).collect()
}

#[test]
fn whisper_tiny_tells_when_words_of_chunks_and_of_each_hypothesis_are_said() {
    let Some(data) =
        data("whisper_tiny_tells_when_words_of_chunks_and_of_each_hypothesis_are_said")
    else {
        return;
    };
    let address = data.join("golden/jfk_16k.flac");
    let transcribe = |path: &Path, args: &[&str]| -> Value {
        let mut command = Command::new(program());
        command.arg("transcribe").arg("--model").arg(data.join("models/whisper-tiny"));
        let output = succeed(command.arg(path).args(["--format", "json"]).args(args));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    // Twice the address, in chunks that cut it: each word has its time once.
    let folder = tempfile::tempdir().unwrap();
    let samples = audio_frontend::load(&address, &Default::default()).unwrap().samples;
    let twice = folder.path().join("twice.wav");
    fs::write(&twice, wav(&[&samples[..], &samples].concat())).unwrap();
    let length = samples.len() as f64 / f64::from(SAMPLE_RATE);
    let alone = transcribe(&address, &["--word-timestamps"]);
    let chunked = transcribe(&twice, &["--word-timestamps", "--chunked", "18"]);
    let (alone, chunked) = (words(&alone), words(&chunked));
    assert_eq!((alone.len(), chunked.len()), (22, 44));
    assert!(chunked.is_sorted_by(|a, b| number(a, "end") <= number(b, "start") + 1e-9));
    let near = |k: usize, offset: f64| {
        let (found, expected) = (number(chunked[k], "end"), number(alone[k % 22], "end") + offset);
        assert!((found - expected).abs() < 0.5, "word {k}: {found}, expected {expected}");
    };
    (0..22).for_each(|k| near(k, 0.0));
    (22..44).for_each(|k| near(k, length));

    // Each hypothesis of a clip has its own segments and words.
    let args = ["--beam", "3", "--n-best", "3", "--word-timestamps"];
    let heard = transcribe(&address, &args);
    let n_best = heard["n_best"].as_array().unwrap();
    assert_eq!(n_best.len(), 3);
    for one in n_best {
        let said: String = words(one).iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(said.trim(), one["text"].as_str().unwrap());
        assert!(words(one).iter().all(|word| number(word, "end") <= length + 0.1));
    }
    assert_eq!(words(&n_best[0]).len(), words(&heard).len());
    let mut command = Command::new(program());
    command.arg("transcribe").arg("--model").arg(data.join("models/whisper-tiny"));
    let long = [&samples[..], &samples, &samples].concat();
    fs::write(&twice, wav(&long)).unwrap();
    let message = fail(command.arg(&twice).args(args));
    assert!(message.contains("expected at most 30.0 s, the model's window (hint: hypotheses of"));
}

#[test]
fn whisper_tiny_writes_subtitles_of_an_address() {
    let Some(data) = data("whisper_tiny_writes_subtitles_of_an_address") else { return };
    let transcribe = |args: &[&str]| {
        let mut command = Command::new(program());
        command.arg("transcribe").arg("--model").arg(data.join("models/whisper-tiny"));
        stdout(&succeed(command.arg(data.join("golden/jfk_16k.flac")).args(args)))
    };
    let srt = transcribe(&["--format", "srt", "--beam", "5"]);
    let cues: Vec<&str> = srt.trim_end().split("\n\n").collect();
    assert!(cues[0].starts_with("1\n00:00:00,"), "{srt}");
    let said: String = cues.iter().filter_map(|cue| cue.split('\n').nth(2)).collect();
    assert!(said.starts_with("And so my fellow Americans"), "{srt}");
    assert!(said.contains("what you can do for your country"), "{srt}");

    let json: Value =
        serde_json::from_str(&transcribe(&["--format", "json", "--word-timestamps"])).unwrap();
    let words = words(&json);
    assert_eq!(words.len(), 22, "{json}");
    assert!(words.is_sorted_by(|a, b| number(a, "end") <= number(b, "start") + 1e-9), "{json}");
}
