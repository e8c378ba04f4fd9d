//! The keys of a recipe: one struct per section, one documented field per key.
//!
//! Every field has a default, so that a recipe file holds only what it decides; `--print-config`
//! shows the rest. There are no optional keys: "off" is a value of the key (`0`, `""`, `[]`),
//! documented on it, so that the resolved recipe always lists every key.
//!
//! Paths are looked for below the current folder first and below the workspace root second
//! ([`crate::recipe::resolve_path`]), so that a shipped recipe works from anywhere.

mod choice;
mod data;
mod finetune;
mod lm;
mod lora;
mod loss;
mod model;
mod optim;
mod run;
mod speech_llm;
mod sweep;

use serde::{Deserialize, Serialize};

use self::choice::choice;
pub use self::data::{Augment, Batch, Data};
pub use self::finetune::{Finetune, FinetuneKind};
pub use self::lm::Lm;
pub use self::lora::Lora;
pub use self::loss::{Crd, Loss, Objective};
pub use self::model::{Model, Pool, Teacher, TeacherLayer};
pub use self::optim::{Optim, Schedule, ScheduleKind};
pub use self::run::{Checkpoint, Eval, Output, Precision, Train, Weights};
pub use self::speech_llm::{
    Direction, Encoder, Instruct, Llm, Mixed, Pretrain, Projector, ProjectorKind, ShiftPer,
};
pub use self::sweep::Sweep;

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
    /// Documents of a language model.
    pub lm: Lm,
    /// An adapter beside frozen weights.
    pub lora: Lora,
    /// The speech encoder of `speech-llm`.
    pub encoder: Encoder,
    /// What maps its states to vectors of the language model.
    pub projector: Projector,
    /// The language model.
    pub llm: Llm,
    /// What the projector learns first.
    pub pretrain: Pretrain,
    /// Sequences of speech and text in turn.
    pub mixed: Mixed,
    /// Fine-tuning on spoken tasks.
    pub instruct: Instruct,
    /// Runs that are compared.
    pub sweep: Sweep,
    /// Where a run is written.
    pub output: Output,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: String::new(),
            task: Task::TeachWhisper,
            seed: 1,
            model: Model::default(),
            teacher: Teacher::default(),
            data: Data::default(),
            batch: Batch::default(),
            augment: Augment::default(),
            loss: Loss::default(),
            optim: Optim::default(),
            schedule: Schedule::default(),
            train: Train::default(),
            checkpoint: Checkpoint::default(),
            eval: Eval::default(),
            finetune: Finetune::default(),
            lm: Lm::default(),
            lora: Lora::default(),
            encoder: Encoder::default(),
            projector: Projector::default(),
            llm: Llm::default(),
            pretrain: Pretrain::default(),
            mixed: Mixed::default(),
            instruct: Instruct::default(),
            sweep: Sweep::default(),
            output: Output::default(),
        }
    }
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
        /// Speech recognition by CTC: a HuBERT model on waveforms and transcripts.
        Ctc = "ctc",
        /// A LLaMA language model on documents made of manifest lines.
        Lm = "lm",
        /// Speech for a frozen LLaMA: a projector pretrained by contrast and fine-tuned on spoken
        /// tasks, arXiv 2412.15712.
        SpeechLlm = "speech-llm",
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
        "projector.kind" => Some(ProjectorKind::NAMES),
        "pretrain.direction" => Some(Direction::NAMES),
        "pretrain.shift_per" => Some(ShiftPer::NAMES),
        _ => None,
    }
}
