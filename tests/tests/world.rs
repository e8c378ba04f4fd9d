//! A folder with everything a run needs: sound, a manifest, tokenizers, models and recipes, all
//! made here and small.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model_zoo::Builder;
use model_zoo::bert::{BertConfig, MaskedLm};
use model_zoo::whisper::{Whisper, WhisperConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor_core::{DType, Device};

/// The words of the world; each sounds as a sweep of its own.
const WORDS: [&str; 8] = ["red", "green", "blue", "one", "two", "three", "yes", "no"];
const SAMPLE_RATE: u32 = 16_000;
/// Samples of a word.
const WORD_SAMPLES: usize = 2_400;
const UTTERANCES: usize = 30;

/// The folder; it goes when this is dropped.
pub struct World {
    folder: TempDir,
}

impl World {
    /// Sound, manifest and tokenizers; configs of models from scratch; a frozen teacher.
    pub fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(world.path("audio")).unwrap();
        let mut manifest = String::new();
        for k in 0..UTTERANCES {
            let words = words(k);
            fs::write(world.path(&format!("audio/u{k:02}.wav")), wav(&sound(&words, k))).unwrap();
            let (split, speaker) =
                (["train", "train", "train", "dev", "test"][k % 5], ["ann", "bob", "cyd"][k % 3]);
            let line = json!({
                "id": format!("u{k:02}"),
                "audio": format!("audio/u{k:02}.wav"),
                "duration": (words.len() * WORD_SAMPLES) as f64 / f64::from(SAMPLE_RATE),
                "text": words.join(" "),
                "split": split,
                "speaker": speaker,
                "mood": if words.contains(&"yes") { "good" } else { "bad" },
            });
            writeln!(manifest, "{line}").unwrap();
        }
        fs::write(world.path("manifest.jsonl"), manifest).unwrap();
        world.tokenizer("bpe", "280", "whisper");
        world.tokenizer("wordpiece", "60", "bert");
        world.write_json("whisper/config.json", &whisper_config());
        world.write_json("bert/config.json", &bert_config());
        world.save_whisper("teacher", 11);
        world
    }

    /// A path below the folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// The same as text.
    pub fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }

    /// A Whisper folder with random weights, made without the program.
    pub fn save_whisper(&self, name: &str, seed: u64) {
        let config = WhisperConfig::open(&self.path("whisper")).unwrap();
        let root = Builder::random(seed, DType::F32, Device::Cpu);
        Whisper::new(&root, &config).unwrap().save_hf_folder(&self.path(name), None).unwrap();
        self.copy("whisper/tokenizer.json", &format!("{name}/tokenizer.json"));
        self.write_json(
            &format!("{name}/preprocessor_config.json"),
            &json!({
                "feature_size": 80, "sampling_rate": 16000, "n_fft": 400, "hop_length": 160,
                "pad_to_window": false,
            }),
        );
    }

    /// A BERT folder with random weights, made without the program.
    pub fn save_bert(&self, name: &str, seed: u64) {
        let config = BertConfig::open(&self.path("bert")).unwrap();
        let root = Builder::random(seed, DType::F32, Device::Cpu);
        MaskedLm::new(&root, &config).unwrap().save_hf_folder(&self.path(name), None).unwrap();
        self.copy("bert/tokenizer.json", &format!("{name}/tokenizer.json"));
    }

    /// A recipe file of speech recognition from scratch; returns its path.
    pub fn asr_recipe(&self) -> String {
        self.recipe(
            "asr.toml",
            "task = \"asr\"",
            "whisper",
            "
            [augment]
            speed = [0.9, 1.0, 1.1]
            time_masks = 1
            time_mask_width = 5
            freq_masks = 1
            [loss]
            ctc_weight = 0.3
            label_smoothing = 0.1
            [checkpoint]
            every = 3
            metric = \"-dev.wer\"
            [eval]
            batch_items = 4
            max_new_tokens = 12
        ",
        )
    }

    /// A recipe file of teaching with a memory bank; returns its path.
    pub fn teach_recipe(&self) -> String {
        let rest = format!(
            "
            [teacher]
            dir = {:?}
            [loss]
            objective = \"crd_bank\"
            mlm_probability = 0.3
            crd = {{ dim = 8, negatives = 6, temperature = 0.2 }}
            [checkpoint]
            every = 3
            [finetune]
            label_field = \"mood\"
            classes = [\"bad\", \"good\"]
            steps = 4
            lr = 1e-2
            batch_items = 5
        ",
            self.text("teacher")
        );
        self.recipe("teach.toml", "task = \"teach-whisper\"", "bert", &rest)
    }

    fn recipe(&self, name: &str, head: &str, model: &str, rest: &str) -> String {
        let (manifest, model) = (self.text("manifest.jsonl"), self.text(model));
        let text = format!(
            "
            {head}
            [model]
            config = {model:?}
            tokenizer = {model:?}
            dropout = 0.1
            [data]
            train = [\"{manifest}#split=train\"]
            dev = [\"{manifest}#split=dev\"]
            test = [\"{manifest}#split=test\"]
            [batch]
            max_items = 4
            bucket_count = 2
            accumulate = 2
            [optim]
            lr = 1e-2
            [schedule]
            warmup_steps = 2
            max_steps = 24
            [train]
            eval_every = 8
            log_every = 1
            {rest}
        "
        );
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn tokenizer(&self, kind: &str, vocab_size: &str, out: &str) {
        let (manifest, out) = (self.text("manifest.jsonl"), self.text(out));
        let args = ["data", "tokenizer", "--kind", kind, "--vocab-size", vocab_size];
        succeed(self.command(&args).args(["--manifest", &manifest, "--out", &out]));
    }

    /// The program with `args`, in this folder and with a cache in it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("CONSONANCE_CACHE", self.path("cache"))
            .env("RAYON_NUM_THREADS", "2");
        command
    }

    /// Writes a JSON file.
    pub fn write_json(&self, below: &str, value: &Value) {
        fs::write(self.path(below), serde_json::to_string_pretty(value).unwrap()).unwrap();
    }

    /// Copies a file.
    pub fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }
}

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_trainer-under-test")
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must fail with one message; the message.
#[track_caller]
pub fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    let at = stderr.find("error: ").unwrap_or_else(|| panic!("{command:?}: {stderr}"));
    stderr[at..].trim_end().to_owned()
}

/// What a command printed on its standard output, as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A JSON file.
#[track_caller]
pub fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

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
    let differing: Vec<&String> =
        names.filter(|name| got.get(*name) != expected.get(*name)).collect();
    assert!(differing.is_empty(), "differ: {differing:?}");
    assert!(!expected.is_empty());
}

/// The words of utterance `k`: two to five of them.
fn words(k: usize) -> Vec<&'static str> {
    (0..2 + k % 4).map(|at| WORDS[(k * 5 + at * (1 + k % 3)) % WORDS.len()]).collect()
}

/// A sweep for each word, a little higher or lower by speaker.
fn sound(words: &[&str], k: usize) -> Vec<f32> {
    let mut samples = Vec::with_capacity(words.len() * WORD_SAMPLES);
    for word in words {
        let index = WORDS.iter().position(|known| known == word).unwrap();
        let start = 300.0 + 350.0 * index as f64 + 20.0 * (k % 3) as f64;
        for n in 0..WORD_SAMPLES {
            let t = n as f64 / f64::from(SAMPLE_RATE);
            let phase = std::f64::consts::TAU * (start + 900.0 * t) * t;
            samples.push((0.4 * phase.sin()) as f32);
        }
    }
    samples
}

/// A WAV file of 16-bit mono samples.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let n_bytes = 2 * samples.len() as u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(SAMPLE_RATE.to_le_bytes());
    bytes.extend((2 * SAMPLE_RATE).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(n_bytes.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|x| ((x * 32767.0) as i16).to_le_bytes()));
    bytes
}

fn whisper_config() -> Value {
    json!({
        "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper",
        "vocab_size": 280, "num_mel_bins": 80, "d_model": 16,
        "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
        "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32,
        "max_source_positions": 100, "max_target_positions": 32,
        "activation_function": "gelu", "init_std": 0.2,
        "is_encoder_decoder": true, "bos_token_id": 275, "eos_token_id": 275,
        "pad_token_id": 275, "decoder_start_token_id": 276,
    })
}

fn bert_config() -> Value {
    json!({
        "architectures": ["BertForMaskedLM"], "model_type": "bert",
        "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "hidden_act": "gelu", "max_position_embeddings": 16,
        "type_vocab_size": 2, "initializer_range": 0.1, "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "tie_word_embeddings": true,
    })
}
