//! The keys of a recipe: one struct per section, one documented field per key.
//!
//! Every field has a default, so that a recipe file holds only what it decides; `--print-config`
//! shows the rest. There are no optional keys: "off" is a value of the key (`0`, `""`, `[]`),
//! documented on it, so that the resolved recipe always lists every key.
//!
//! Paths are looked for below the current folder first and below the workspace root second
//! ([`crate::recipe::resolve_path`]), so that a shipped recipe works from anywhere.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares an enum whose variants are the fixed strings a key accepts.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// The strings a recipe may write, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The string a recipe writes for this variant.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

choice! {
    /// What a recipe trains.
    Task {
        /// Speech recognition: a Whisper model on audio and transcripts.
        Asr = "asr",
        /// A BERT student taught by a frozen Whisper encoder, arXiv 2311.07014.
        TeachWhisper = "teach-whisper",
        /// A BERT encoder with a task head on labelled text.
        FinetuneText = "finetune-text",
    }
}

choice! {
    /// Which teacher frames are averaged into the utterance vector.
    Pool {
        /// Only frames that cover real audio: `ceil(n_samples / 320)` of them.
        Speech = "speech",
        /// Every frame of the padded 30 s window.
        All = "all",
    }
}

choice! {
    /// Training objective of `teach-whisper`.
    Objective {
        /// Masked language modelling alone: the baseline.
        Mlm = "mlm",
        /// MLM + gamma * MMD between activations, Gaussian kernel.
        NstGauss = "nst_gauss",
        /// MLM + gamma * MMD between activations, kernel `(x y)^2`.
        NstPoly = "nst_poly",
        /// MLM + gamma * MMD between dimensions over all tokens of the batch.
        NstGram = "nst_gram",
        /// MLM + gamma * contrastive distillation with in-batch negatives.
        Crd = "crd",
        /// MLM + gamma * contrastive distillation with a memory bank.
        CrdBank = "crd_bank",
    }
}

choice! {
    /// Shape of the learning rate over the steps; see [`crate::schedule`].
    ScheduleKind {
        /// Warm-up, then the peak.
        Constant = "constant",
        /// Warm-up, then a straight line down.
        Linear = "linear",
        /// Warm-up, then half a cosine down.
        Cosine = "cosine",
        /// Warm-up, stable at the peak, then a straight line down.
        Wsd = "wsd",
        /// Warm-up, hold, exponential decay.
        TriStage = "tri-stage",
        /// Warm-up, then `1 / sqrt(step)`.
        Noam = "noam",
    }
}

choice! {
    /// Number format of the forward and backward pass.
    Precision {
        /// 32-bit floats throughout.
        F32 = "f32",
        /// bfloat16 compute on f32 master weights, f32 reductions.
        Bf16 = "bf16",
    }
}

choice! {
    /// Number format of exported weights.
    Weights {
        /// As trained.
        F32 = "f32",
        /// Half the size; rounds to 11 significant bits.
        F16 = "f16",
        /// Half the size; rounds to 8 significant bits.
        Bf16 = "bf16",
    }
}

choice! {
    /// What a task head predicts.
    FinetuneKind {
        /// One of `finetune.classes`.
        Classification = "classification",
        /// One real number.
        Regression = "regression",
        /// Any subset of `finetune.classes`.
        MultiLabel = "multi-label",
    }
}

/// Which hidden state of the teacher is distilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeacherLayer {
    /// The encoder's output, after its final layer norm.
    Last,
    /// Entry of `hidden_states`: 0 is the input of the first block, k the output of block k.
    Index(usize),
}

impl Serialize for TeacherLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Last => serializer.serialize_str("last"),
            Self::Index(index) => serializer.serialize_u64(index as u64),
        }
    }
}

impl<'de> Deserialize<'de> for TeacherLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Name(String),
            Index(usize),
        }
        match Written::deserialize(deserializer)? {
            Written::Name(name) if name == "last" => Ok(Self::Last),
            Written::Name(name) => Err(serde::de::Error::custom(format!(
                "layer is `{name}`, expected \"last\" or an index"
            ))),
            Written::Index(index) => Ok(Self::Index(index)),
        }
    }
}

/// A resolved recipe: everything that decides what a run computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the run, used for the run folder; "" takes the recipe file's stem.
    pub name: String,
    /// What is trained.
    pub task: Task,
    /// Seed of every random choice: initial weights, dropout, masks, batch order.
    pub seed: u64,
    /// The model being trained.
    pub model: Model,
    /// The frozen teacher of `teach-whisper`.
    pub teacher: Teacher,
    /// Manifests and which of their lines are used.
    pub data: Data,
    /// How utterances become batches.
    pub batch: Batch,
    /// Random changes to the training audio.
    pub augment: Augment,
    /// What is minimised.
    pub loss: Loss,
    /// AdamW.
    pub optim: Optim,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// The loop.
    pub train: Train,
    /// When checkpoints are written and which are kept.
    pub checkpoint: Checkpoint,
    /// Evaluation on held-out utterances.
    pub eval: Eval,
    /// Text-only fine-tuning.
    pub finetune: Finetune,
    /// Where a run is written.
    pub output: Output,
}

/// `[model]`: the model being trained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Hugging Face folder whose weights training starts from; "" starts from scratch.
    pub dir: String,
    /// Folder with the `config.json` of a model from scratch; read only when `model.dir` is "".
    pub config: String,
    /// Folder with a `tokenizer.json`, or that file; "" takes `model.dir`.
    pub tokenizer: String,
    /// Dropout probability during training, in [0, 1).
    pub dropout: f64,
}

/// `[teacher]`: the frozen speech encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Hugging Face folder of the teacher.
    pub dir: String,
    /// "last" or an index into `hidden_states`.
    pub layer: TeacherLayer,
    /// Which frames are averaged.
    pub pool: Pool,
    /// Size cap of the cache of teacher features on disk, in MiB; 0 caches nothing.
    pub cache_mb: u64,
}

/// `[data]`: manifests and which of their lines are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Training manifests: one path or a list; `file.jsonl#split=train` keeps matching lines.
    pub train: Vec<String>,
    /// Manifests for evaluation during training and for choosing the best checkpoint.
    pub dev: Vec<String>,
    /// Manifests for the numbers at the end of a run.
    pub test: Vec<String>,
    /// Longer utterances are left out of training, in seconds; 0 keeps all.
    pub max_duration_s: f64,
    /// Shorter utterances are left out of training, in seconds.
    pub min_duration_s: f64,
    /// Manifest field that holds the text.
    pub text_field: String,
    /// Lower-case the text before tokenising.
    pub lowercase: bool,
    /// Use only the first this many lines of each list; 0 uses all.
    pub limit: usize,
}

/// `[batch]`: how utterances become batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Cap on seconds of audio in a micro-batch, padding included; 0 is no cap.
    pub max_seconds: f64,
    /// Cap on tokens in a micro-batch, padding included; 0 is no cap.
    pub max_tokens: usize,
    /// Cap on utterances in a micro-batch; 0 is no cap.
    pub max_items: usize,
    /// Length buckets at most; 1 mixes all lengths.
    pub bucket_count: usize,
    /// Micro-batches summed into one optimiser step, weighted by their tokens.
    pub accumulate: usize,
}

/// `[augment]`: random changes to the training audio, seeded by (seed, step).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Speed factors, one drawn per utterance; `[1.0]` leaves the speed alone.
    pub speed: Vec<f64>,
    /// SpecAugment: time masks per utterance.
    pub time_masks: usize,
    /// SpecAugment: longest time mask, in 10 ms frames.
    pub time_mask_width: usize,
    /// SpecAugment: frequency masks per utterance.
    pub freq_masks: usize,
    /// SpecAugment: widest frequency mask, in mel bands.
    pub freq_mask_width: usize,
    /// Share of the decoder's input tokens of `asr` that are replaced by random ones, in [0, 1),
    /// so that it listens rather than guesses.
    pub token_noise: f64,
}

/// `[loss]`: what is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Objective of `teach-whisper`.
    pub objective: Objective,
    /// Weight of the distillation loss next to the MLM loss, arXiv 2311.07014.
    pub gamma: f64,
    /// Share of non-special tokens that are masked, in (0, 1).
    pub mlm_probability: f64,
    /// Put a small MLP between the student's hidden states and the distillation loss.
    pub kd_head: bool,
    /// Cut the distillation loss off from the student: it trains its own heads alone, so that
    /// it can be measured on a student taught by MLM.
    pub kd_detach: bool,
    /// Count `[CLS]` and `[SEP]` among the tokens that are distilled.
    pub include_special: bool,
    /// Label smoothing of the cross-entropy of `asr`, in [0, 1).
    pub label_smoothing: f64,
    /// Weight of a CTC loss on the encoder of `asr`; 0 leaves it out.
    pub ctc_weight: f64,
    /// Steps at the start of `asr` in which CTC alone trains, so that a small corpus is not
    /// learnt from its text before the encoder hears anything.
    pub ctc_only_steps: u64,
    /// Contrastive distillation.
    pub crd: Crd,
}

/// `[loss.crd]`: contrastive representation distillation, arXiv 1910.10699.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crd {
    /// Temperature of the scores.
    pub temperature: f64,
    /// Width of the shared space.
    pub dim: usize,
    /// Share of the old entry kept when the memory bank is updated, in [0, 1).
    pub momentum: f64,
    /// Negatives drawn from the memory bank for each anchor.
    pub negatives: usize,
}

/// `[optim]`: AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optim {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the running means of the gradient and of its square.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay; biases and norms are exempt.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global L2 norm; 0 clips nothing.
    pub clip_norm: f64,
}

/// `[schedule]`: learning rate over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of linear warm-up from 0 to `optim.lr`.
    pub warmup_steps: u64,
    /// Optimiser steps of the run.
    pub max_steps: u64,
    /// Learning rate at the end, as a share of `optim.lr`, in [0, 1].
    pub min_lr_ratio: f64,
    /// Length of the final decay of `wsd` and `tri-stage`, in steps.
    pub decay_steps: u64,
}

/// `[train]`: the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Number format of the forward and backward pass.
    pub precision: Precision,
    /// Parameters that are not trained, as patterns: `*` within one name part, `**` across parts.
    pub freeze: Vec<String>,
    /// Exceptions to `train.freeze`.
    pub unfreeze: Vec<String>,
    /// Evaluate on `data.dev` every this many steps; 0 only at the end.
    pub eval_every: u64,
    /// Write a metrics line every this many steps.
    pub log_every: u64,
    /// CPU threads; 0 takes all cores.
    pub threads: usize,
    /// Recompute activations in the backward pass instead of keeping them.
    pub grad_checkpoint: bool,
    /// Stop after this many skipped steps in a row.
    pub max_bad_steps: u32,
    /// Skip a step whose loss or gradient norm is this many standard deviations high; 0 never.
    pub guard_z: f64,
}

/// `[checkpoint]`: when checkpoints are written and which are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Save every this many steps; 0 only at the end.
    pub every: u64,
    /// Newest checkpoints kept.
    pub keep_last: usize,
    /// Best checkpoints kept, by `checkpoint.metric`.
    pub keep_best: usize,
    /// Evaluation metric that decides which is best, as it is named in `metrics.jsonl`;
    /// a leading `-` means lower is better, as in `-dev.loss`.
    pub metric: String,
}

/// `[eval]`: evaluation on held-out utterances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Utterances in an evaluation batch; scores do not depend on it.
    pub batch_items: usize,
    /// Longest decoded transcript, in tokens.
    pub max_new_tokens: usize,
    /// Train and score beside the student one with `loss.kd_detach`, which MLM alone teaches.
    pub baseline: bool,
}

/// `[finetune]`: text-only fine-tuning with a task head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// Peak learning rate.
    pub lr: f64,
    /// Optimiser steps; 0 skips fine-tuning.
    pub steps: u64,
    /// Manifest field that holds the label.
    pub label_field: String,
    /// What the head predicts.
    pub kind: FinetuneKind,
    /// Label values in the order of the head's outputs; `[]` takes those seen, sorted.
    pub classes: Vec<String>,
    /// Utterances in a batch.
    pub batch_items: usize,
}

/// `[output]`: where a run is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Folder of the run; "" takes `runs/NAME`.
    pub dir: String,
    /// Number format of the exported model folder; checkpoints are always f32.
    pub weights: Weights,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: String::new(),
            task: Task::TeachWhisper,
            seed: 1,
            model: Model { dropout: 0.1, ..Model::default() },
            teacher: Teacher {
                dir: String::new(),
                layer: TeacherLayer::Last,
                pool: Pool::Speech,
                cache_mb: 1024,
            },
            data: Data {
                train: Vec::new(),
                dev: Vec::new(),
                test: Vec::new(),
                max_duration_s: 30.0,
                min_duration_s: 0.0,
                text_field: "text".into(),
                lowercase: false,
                limit: 0,
            },
            batch: Batch {
                max_seconds: 0.0,
                max_tokens: 0,
                max_items: 16,
                bucket_count: 8,
                accumulate: 1,
            },
            augment: Augment {
                speed: vec![1.0],
                time_masks: 0,
                time_mask_width: 40,
                freq_masks: 0,
                freq_mask_width: 15,
                token_noise: 0.0,
            },
            loss: Loss {
                objective: Objective::NstGauss,
                gamma: 1.0,
                mlm_probability: 0.15,
                kd_head: false,
                kd_detach: false,
                include_special: false,
                label_smoothing: 0.0,
                ctc_weight: 0.0,
                ctc_only_steps: 0,
                crd: Crd { temperature: 0.07, dim: 128, momentum: 0.5, negatives: 4096 },
            },
            optim: Optim {
                lr: 2e-4,
                betas: [0.9, 0.98],
                eps: 1e-8,
                weight_decay: 0.01,
                clip_norm: 1.0,
            },
            schedule: Schedule {
                kind: ScheduleKind::Linear,
                warmup_steps: 100,
                max_steps: 1000,
                min_lr_ratio: 0.0,
                decay_steps: 0,
            },
            train: Train {
                precision: Precision::F32,
                freeze: Vec::new(),
                unfreeze: Vec::new(),
                eval_every: 200,
                log_every: 10,
                threads: 0,
                grad_checkpoint: false,
                max_bad_steps: 10,
                guard_z: 8.0,
            },
            checkpoint: Checkpoint {
                every: 200,
                keep_last: 2,
                keep_best: 1,
                metric: "-dev.loss".into(),
            },
            eval: Eval { batch_items: 16, max_new_tokens: 224, baseline: false },
            finetune: Finetune {
                lr: 1e-4,
                steps: 0,
                label_field: String::new(),
                kind: FinetuneKind::Classification,
                classes: Vec::new(),
                batch_items: 16,
            },
            output: Output { dir: String::new(), weights: Weights::F32 },
        }
    }
}

/// The fixed strings `key` accepts, for keys that accept only fixed strings.
pub fn choices(key: &str) -> Option<&'static [&'static str]> {
    match key {
        "task" => Some(Task::NAMES),
        "output.weights" => Some(Weights::NAMES),
        "teacher.pool" => Some(Pool::NAMES),
        "loss.objective" => Some(Objective::NAMES),
        "schedule.kind" => Some(ScheduleKind::NAMES),
        "train.precision" => Some(Precision::NAMES),
        "finetune.kind" => Some(FinetuneKind::NAMES),
        _ => None,
    }
}
