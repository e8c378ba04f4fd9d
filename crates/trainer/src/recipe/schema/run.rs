//! `[train]`, `[checkpoint]`, `[eval]` and `[output]`: the loop and what it writes.

use serde::{Deserialize, Serialize};

use super::choice::choice;

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
    /// Every this many steps, also compute the parts of the loss that compare two sides with the
    /// other side of another item, as `shuffled.PART` beside `probe.PART` in the metrics; 0 never.
    pub probe_every: u64,
    /// CPU threads; 0 takes all cores.
    pub threads: usize,
    /// Recompute activations in the backward pass instead of keeping them.
    pub grad_checkpoint: bool,
    /// Stop after this many skipped steps in a row.
    pub max_bad_steps: u32,
    /// Skip a step whose loss or gradient norm is this many standard deviations high; 0 never.
    pub guard_z: f64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            freeze: Vec::new(),
            unfreeze: Vec::new(),
            eval_every: 200,
            log_every: 10,
            probe_every: 0,
            threads: 0,
            grad_checkpoint: false,
            max_bad_steps: 10,
            guard_z: 8.0,
        }
    }
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

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every: 200, keep_last: 2, keep_best: 1, metric: "-dev.loss".into() }
    }
}

impl Checkpoint {
    /// Name of the score in `checkpoint.metric`, and whether lower is better.
    pub fn score(&self) -> (&str, bool) {
        match self.metric.strip_prefix('-') {
            Some(name) => (name, true),
            None => (&self.metric, false),
        }
    }
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
    /// Manifest fields that linear probes of `speech-llm` tell from averages of the encoder's states and
    /// of the projector's vectors, such as `gender`.
    pub probe_fields: Vec<String>,
}

impl Default for Eval {
    fn default() -> Self {
        Self { batch_items: 16, max_new_tokens: 224, baseline: false, probe_fields: Vec::new() }
    }
}

/// `[output]`: where a run is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Folder of the run; "" takes `runs/NAME`.
    pub dir: String,
    /// Number format of the exported model folder; checkpoints are always f32.
    pub weights: Weights,
    /// Also write `merged`, a Hugging Face folder of the model with its adapter added to it.
    pub merge: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self { dir: String::new(), weights: Weights::F32, merge: false }
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
        /// As trained; weights that an adapter was merged into, as they were stored.
        F32 = "f32",
        /// Half the size; rounds to 11 significant bits.
        F16 = "f16",
        /// Half the size; rounds to 8 significant bits.
        Bf16 = "bf16",
    }
}
