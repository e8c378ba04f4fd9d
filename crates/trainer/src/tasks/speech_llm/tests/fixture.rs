//! A SpeechLLM of the golden files, whose frames are given, not heard.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model_zoo::hubert::{Hubert, HubertConfig, Preprocessor};
use model_zoo::projector::Projector;
use model_zoo::q_former::{QFormer, QFormerConfig};
use model_zoo::{Builder, LoadOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor_core::{Context, DType, Device, Gradients, SafeTensors, Tensor, Var};

use super::super::data::{Clips, MixedBatch, Piece};
use super::super::model::SpeechLlm;
use super::super::pretrain::{PretrainBatch, PretrainTask};
use super::super::states::collate;
use crate::recipe::Recipe;
use crate::tasks::{BatchSource, Task};

/// The golden folder; `make_speech_llm.py` in it says what it holds.
pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/speech_llm")
}

/// The golden files, and a folder with what they leave out: an encoder, and a manifest of their
/// texts.
pub struct Fixture {
    folder: TempDir,
    pub file: SafeTensors,
}

impl Fixture {
    pub fn new() -> Self {
        let file = SafeTensors::open(golden_dir().join("cases.safetensors")).unwrap();
        let own = Self { folder: tempfile::tempdir().unwrap(), file };
        own.write_encoder();
        let line = |(k, text): (usize, &Value)| {
            let text = text["text"].as_str().unwrap();
            let word_ends: Vec<usize> = (1..=text.split(' ').count()).collect();
            let id = k.to_string();
            let line =
                json!({ "id": id, "audio": "none.wav", "text": text, "word_ends": word_ends });
            format!("{line}\n")
        };
        let texts = own.remark("texts");
        let manifest: String = texts.as_array().unwrap().iter().enumerate().map(line).collect();
        fs::write(own.folder.path().join("manifest.jsonl"), manifest).unwrap();
        own
    }

    /// A random HuBERT as wide as the golden frames.
    fn write_encoder(&self) {
        let dir = self.folder.path().join("encoder");
        fs::create_dir(&dir).unwrap();
        let config = json!({
            "architectures": ["HubertModel"], "model_type": "hubert",
            "vocab_size": 29, "hidden_size": 10, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "conv_dim": [4, 6], "conv_kernel": [10, 4],
            "conv_stride": [10, 4], "feat_extract_norm": "layer", "do_stable_layer_norm": true,
            "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        });
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let config = HubertConfig::open(&dir).unwrap();
        let root = Builder::random(3, DType::F32, Device::Cpu);
        Hubert::new(&root, &config).unwrap().save_hf_folder(&dir, None).unwrap();
        Preprocessor::default().save(&dir).unwrap();
    }

    /// A remark of the golden file.
    pub fn remark(&self, name: &str) -> Value {
        serde_json::from_str(&self.file.metadata()[name]).unwrap()
    }

    /// A recipe of `objective` with the golden models.
    pub fn recipe(&self, objective: &str) -> Recipe {
        let below = |name: &str| self.folder.path().join(name).display().to_string();
        let mut recipe = Recipe::default();
        recipe.encoder.dir = below("encoder");
        recipe.encoder.cache_mb = 0;
        recipe.llm.dir = golden_dir().join("llm").display().to_string();
        let chat = self.remark("chat");
        recipe.llm.system = chat["system"].as_str().unwrap().to_owned();
        recipe.instruct.asr_prompts = vec![chat["prompt"].as_str().unwrap().to_owned()];
        recipe.data.train = vec![below("manifest.jsonl")];
        recipe.pretrain.objective = objective.to_owned();
        recipe.pretrain.layers = serde_json::from_value(self.remark("layers")).unwrap();
        // Sizes that are drawn, and then replaced by those of the golden projector.
        recipe.projector.hidden_size = 4;
        recipe.projector.num_attention_heads = 1;
        recipe.projector.num_hidden_layers = 1;
        recipe.projector.intermediate_size = 4;
        recipe
    }

    /// The task of `recipe` on the golden projector, which drops out as `dropout` says.
    pub fn task_with_dropout(&self, recipe: &Recipe, dropout: f64) -> PretrainTask {
        let mut model = SpeechLlm::new(recipe).unwrap();
        let dir = golden_dir().join("projector");
        let stored = QFormer::open(&dir, LoadOptions::default()).unwrap();
        let config = QFormerConfig {
            hidden_dropout_prob: dropout,
            attention_probs_dropout_prob: dropout,
            ..QFormerConfig::open(&dir).unwrap()
        };
        let root = Builder::random(0, DType::F32, Device::Cpu);
        let projector = QFormer::new(&root, &config).unwrap();
        for (name, var) in projector.parameters().iter() {
            var.set(&stored.parameters().get(name).unwrap().tensor()).unwrap();
        }
        model.projector = Projector::QFormer(projector);
        PretrainTask::new(recipe, Arc::new(model)).unwrap()
    }

    /// The task of `recipe` without dropout.
    pub fn task(&self, recipe: &Recipe) -> PretrainTask {
        self.task_with_dropout(recipe, 0.0)
    }

    /// Frames of the golden recordings, or of stretches: `(1, F, E)` each, without padding.
    pub fn frames(&self, name: &str, lengths: &str) -> Vec<Tensor> {
        let frames = self.file.tensor(name).unwrap();
        let lengths = self.file.tensor(lengths).unwrap().to_vec::<i64>().unwrap();
        let item = |(b, &n): (usize, &i64)| {
            frames.narrow(0, b, 1).unwrap().narrow(1, 0, n as usize).unwrap()
        };
        lengths.iter().enumerate().map(item).collect()
    }

    /// Some golden recordings with their texts.
    pub fn batch(&self, task: &PretrainTask, items: &[usize]) -> PretrainBatch {
        let frames = self.frames("frames", "lengths");
        self.batch_of(task, items, &items.iter().map(|&b| frames[b].clone()).collect::<Vec<_>>())
    }

    /// Texts of golden recordings beside frames `(n_states, F, E)`.
    pub fn batch_of(
        &self,
        task: &PretrainTask,
        items: &[usize],
        frames: &[Tensor],
    ) -> PretrainBatch {
        let texts = self.remark("texts");
        let prompt = self.remark("chat")["prompt"].as_str().unwrap().to_owned();
        let text = |&b: &usize| texts[b]["text"].as_str().unwrap();
        let chat = &task.model.chat;
        let (frames, lengths) = collate(frames).unwrap();
        PretrainBatch {
            clips: Some(Clips::States(frames, lengths)),
            texts: items.iter().map(|b| chat.text(text(b)).unwrap()).collect(),
            conversations: items
                .iter()
                .map(|b| chat.conversation(&prompt, text(b)).unwrap())
                .collect(),
            mixed: None,
            shifts: vec![0; items.len()],
            seconds: 1.0,
        }
    }

    /// The golden sequences of speech and text.
    pub fn mixed(&self) -> MixedBatch {
        let (frames, lengths) = collate(&self.frames("spans", "span_lengths")).unwrap();
        let piece = |piece: &Value| match piece.as_u64() {
            Some(k) => Piece::Speech(k as usize),
            None => Piece::Text(serde_json::from_value(piece.clone()).unwrap()),
        };
        let pieces = self.remark("mixed");
        let own = |own: &Value| own.as_array().unwrap().iter().map(piece).collect();
        let pieces = pieces.as_array().unwrap().iter().map(own).collect();
        MixedBatch { clips: Clips::States(frames, lengths), pieces }
    }
}

/// Names and values of the parts of a loss, each a mean, and their sum.
pub fn loss(
    task: &mut PretrainTask,
    ctx: &Context,
    batch: &PretrainBatch,
) -> (Vec<(&'static str, f64)>, Tensor) {
    let counts = task.source().counts(batch);
    let parts = task.loss(ctx, batch).unwrap();
    assert_eq!(parts.len(), counts.len());
    let mut named = Vec::new();
    let mut total = Tensor::zeros(&[], DType::F32, Device::Cpu).unwrap();
    for (part, count) in parts.iter().zip(counts) {
        let mean = part.sum.mul_scalar(part.weight / count).unwrap();
        named.push((part.name, mean.item().unwrap()));
        total = total.add(&mean).unwrap();
    }
    (named, total)
}

/// A parameter's name and the gradient by it.
pub type Slope = (String, Vec<f64>);

/// The value of a loss and its gradients by all parameters of the task, in their order.
pub fn slopes(task: &mut PretrainTask, ctx: &Context, batch: &PretrainBatch) -> (f64, Vec<Slope>) {
    let (_, total) = loss(task, ctx, batch);
    let gradients = total.backward().unwrap();
    let of = |(name, var): (&str, &Var)| (name.to_owned(), gradient(&gradients, var));
    (total.item().unwrap(), task.parameters().iter().map(of).collect())
}

fn gradient(gradients: &Gradients, var: &Var) -> Vec<f64> {
    match gradients.get(var) {
        Some(gradient) => gradient.to_vec_f64().unwrap(),
        None => vec![0.0; var.elem_count()],
    }
}

/// Largest value of all gradients.
pub fn largest(slopes: &[Slope]) -> f64 {
    slopes.iter().flat_map(|(_, values)| values).fold(0.0, |top, value| value.abs().max(top))
}

/// Compares gradients name by name, each on the scale of its largest value, and of at least a
/// hundredth of the largest of all.
#[track_caller]
pub fn assert_near(got: &[Slope], want: &[Slope], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let floor = largest(want) / 100.0;
    for ((name, got), (other, want)) in got.iter().zip(want) {
        assert_eq!(name, other);
        assert_eq!(got.len(), want.len(), "{name}");
        let scale = want.iter().fold(floor, |top, value| value.abs().max(top));
        let worst = got.iter().zip(want).fold(0.0, |worst: f64, (got, want)| {
            let off = (got - want).abs();
            if off.is_nan() { f64::INFINITY } else { worst.max(off) }
        });
        assert!(worst <= tolerance * scale, "{name}: off by {worst:e} on a scale of {scale:e}");
    }
}
