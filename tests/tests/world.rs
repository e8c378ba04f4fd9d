//! A folder with everything a run needs: sound, a manifest, tokenizers, models and recipes, all
//! made here and small.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use model_zoo::Builder;
use model_zoo::bert::{BertConfig, MaskedLm};
use model_zoo::ctc::CtcVocabulary;
use model_zoo::hubert::{HubertConfig, HubertCtc, Preprocessor};
use model_zoo::llama::{Llama, LlamaConfig};
use model_zoo::whisper::{Whisper, WhisperConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor_core::{DType, Device};

use crate::program::{program, succeed};
use crate::speech::{SAMPLE_RATE, WORD_SAMPLES, sound, wav, words};

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
        fs::create_dir(world.path("hubert")).unwrap();
        world.write_json("hubert/config.json", &hubert_config());
        CtcVocabulary::from_characters('a'..='z').unwrap().save(&world.path("hubert")).unwrap();
        fs::create_dir(world.path("llama")).unwrap();
        world.write_json("llama/config.json", &llama_config());
        world.copy("whisper/tokenizer.json", "llama/tokenizer.json");
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

    /// A LLaMA folder with random weights, made without the program.
    pub fn save_llama(&self, name: &str, seed: u64, dtype: DType) {
        let config = LlamaConfig::open(&self.path("llama")).unwrap();
        let root = Builder::random(seed, DType::F32, Device::Cpu);
        let model = Llama::new(&root, &config).unwrap();
        model.save_hf_folder(&self.path(name), Some(dtype)).unwrap();
        self.copy("llama/tokenizer.json", &format!("{name}/tokenizer.json"));
    }

    /// A HuBERT folder with random weights, made without the program.
    pub fn save_hubert(&self, name: &str, seed: u64) {
        let config = HubertConfig::open(&self.path("hubert")).unwrap();
        let root = Builder::random(seed, DType::F32, Device::Cpu);
        HubertCtc::new(&root, &config).unwrap().save_hf_folder(&self.path(name), None).unwrap();
        Preprocessor::default().save(&self.path(name)).unwrap();
        self.copy("hubert/vocab.json", &format!("{name}/vocab.json"));
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

    /// A recipe file of recognition by CTC from scratch; returns its path.
    pub fn ctc_recipe(&self) -> String {
        self.recipe(
            "ctc.toml",
            "task = \"ctc\"",
            "hubert",
            "
            [augment]
            speed = [0.9, 1.0, 1.1]
            [checkpoint]
            every = 3
            [eval]
            batch_items = 4
        ",
        )
    }

    /// A recipe file of a language model from scratch; returns its path.
    pub fn lm_recipe(&self) -> String {
        self.recipe(
            "lm.toml",
            "task = \"lm\"",
            "llama",
            "
            [lm]
            templates = [\"{text}<|endoftext|>\", \"{text}: the mood is {mood}<|endoftext|>\"]
            answer_after = \" the mood is\"
            [checkpoint]
            every = 3
            [eval]
            batch_items = 4
            max_new_tokens = 4
        ",
        )
    }

    /// A recipe file of an adapter beside a language model in halves; returns its path.
    pub fn lora_recipe(&self) -> String {
        self.save_llama("base", 6, DType::BF16);
        let text = fs::read_to_string(self.lm_recipe()).unwrap();
        let text = text.replace("[model]", "[model]\ndir = \"base\"");
        let lora = "
            [lora]
            r = 3
            lora_alpha = 6.0
            lora_dropout = 0.1
            target_modules = [\"q_proj\", \"v_proj\", \"mlp.up_proj\", \"down_proj\"]
            [output]
            merge = true
        ";
        let path = self.path("lora.toml");
        fs::write(&path, text + lora).unwrap();
        path.display().to_string()
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

fn hubert_config() -> Value {
    json!({
        "architectures": ["HubertForCTC"], "model_type": "hubert",
        "vocab_size": 29, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "conv_dim": [8, 8, 16], "conv_kernel": [10, 4, 4],
        "conv_stride": [10, 4, 4], "feat_extract_norm": "layer", "do_stable_layer_norm": true,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0,
        "mask_time_prob": 0.1, "mask_time_length": 2, "pad_token_id": 0,
    })
}

fn llama_config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "vocab_size": 280, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 32, "hidden_act": "silu",
        "max_position_embeddings": 48, "initializer_range": 0.1, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true, "bos_token_id": 276, "eos_token_id": 275,
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
