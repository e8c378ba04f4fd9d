//! Whole experiments: training runs, scores on the test set, `summary.json` and `report.html`.

mod asr;
mod ctc;
mod finetune_text;
mod inspect;
mod language_model;
mod present;
mod speakers;
mod speech_llm;
mod sweep;
mod teach_whisper;
mod trained;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use model_zoo::Parameters;
use serde_json::{Map, Value, json};

pub use self::inspect::{Stage, inspect_layers, inspect_plan, inspect_probes};
pub(crate) use self::present::write_transcripts;
pub(crate) use self::speech_llm::MEMORY_TO_KEEP;
pub use self::sweep::Sweep;
use crate::alignment::Aligner;
use crate::host::{Host, Stopped};
use crate::log::ProgressMode;
use crate::manifest::{Utterance, read};
use crate::recipe::{Recipe, Resolved, Task};
use crate::report::Table;
use crate::tasks::Scores;
use crate::training::{CheckpointStore, Outcome, RunOptions};

/// How an experiment is carried out.
pub struct Experiment<'a> {
    /// The resolved recipe.
    pub resolved: &'a Resolved,
    /// Folder of the run.
    pub dir: PathBuf,
    /// Continue what is there.
    pub resume: bool,
    /// Recipe keys that may differ from a checkpoint's.
    pub allow_change: Vec<String>,
    /// Train on the first this many micro-batches alone; 0 trains on all.
    pub overfit: u64,
    /// Train on the heaviest micro-batch alone, and say in the summary how much memory a run keeps.
    pub dry_run: bool,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Told what takes long; says when to stop.
    pub host: Host<'a>,
}

/// What an experiment came to.
pub enum Ending {
    /// All of it is done; the tables of the report, for the terminal.
    Done(Vec<Table>),
    /// The user stopped it; `--resume` continues.
    Stopped,
}

impl Experiment<'_> {
    /// Runs the system that the recipe names.
    ///
    /// # Errors
    ///
    /// Whatever stops a run; what is in the run folder stays whole.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let ending = match self.resolved.recipe.task {
            Task::Asr => asr::run(self),
            Task::TeachWhisper => teach_whisper::run(self),
            Task::FinetuneText => finetune_text::run(self),
            Task::Ctc => ctc::run(self),
            Task::Lm => language_model::run(self),
            Task::SpeechLlm => speech_llm::run(self),
        };
        match ending {
            Err(error) if error.is::<Stopped>() => Ok(Ending::Stopped),
            ending => ending,
        }
    }

    /// Options of one training run in a folder below the experiment's, or in the folder itself.
    fn options<'b>(
        &'b self,
        dir: &'b Path,
        label: &'b str,
        recipe_text: &'b str,
    ) -> RunOptions<'b> {
        RunOptions {
            dir,
            label,
            recipe_text,
            resume: self.resume,
            allow_change: &self.allow_change,
            overfit: self.overfit,
            heaviest: self.dry_run,
            progress: self.progress,
            interrupt: self.host.interrupt(),
        }
    }
}

/// Scores the exported model of a run folder on `recipe.data.test`.
///
/// # Errors
///
/// When the folder holds no finished run, or a test utterance cannot be read.
pub fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    match recipe.task {
        Task::Asr => asr::evaluate(run, recipe),
        Task::TeachWhisper => teach_whisper::evaluate(run, recipe),
        Task::FinetuneText => finetune_text::evaluate(run, recipe),
        Task::Ctc => ctc::evaluate(run, recipe),
        Task::Lm => language_model::evaluate(run, recipe),
        Task::SpeechLlm => speech_llm::evaluate(run, recipe),
    }
}

/// When each word of a manifest's utterances ends, in seconds; `None` where the words do not fit.
///
/// `model` is a run of the task `asr`, whose CTC head is asked, a run of the task `ctc`, or a
/// Hugging Face folder of a HuBERT or wav2vec 2.0 model with a CTC head.
///
/// # Errors
///
/// When the folder is none of these or its run is not finished, or an utterance cannot be read.
pub fn align(model: &Path, spec: &str) -> anyhow::Result<Vec<(Utterance, Option<Vec<f64>>)>> {
    let mut dir = model.to_path_buf();
    if model.join("recipe.toml").is_file() {
        let recipe = Recipe::of_run(model)?;
        match recipe.task {
            Task::Asr => return asr::align(model, &recipe, spec),
            Task::Ctc => dir.push("model"),
            Task::TeachWhisper | Task::FinetuneText | Task::Lm | Task::SpeechLlm => bail!(
                "{}: a run of the task {}, expected asr or ctc",
                model.display(),
                recipe.task.name()
            ),
        }
        ensure!(
            dir.is_dir(),
            "{}: not there, expected a finished run (hint: train --resume ends it)",
            dir.display()
        );
    }
    let aligner = Aligner::open(&dir)?;
    let timed = |utterance: Utterance| {
        let ends = aligner.word_ends(&utterance)?;
        Ok((utterance, ends))
    };
    read(spec)?.into_iter().map(timed).collect()
}

/// Sets the parameters of a run from its last checkpoint.
fn restore_last(run: &Path, parameters: &Parameters) -> anyhow::Result<()> {
    let store = CheckpointStore::new(run.join("checkpoints"));
    let step = store.steps()?.last().copied();
    let step = step.with_context(|| format!("{}: no checkpoint there", run.display()))?;
    store.restore_parameters(step, parameters)
}

/// Sets the parameters of a run from its best checkpoint, or its last one, and returns its step.
fn restore(run: &Path, recipe: &Recipe, parameters: &Parameters) -> anyhow::Result<u64> {
    let store = CheckpointStore::new(run.join("checkpoints"));
    let lower_is_better = recipe.checkpoint.metric.starts_with('-');
    let step = store
        .best(lower_is_better)?
        .with_context(|| format!("{}: no checkpoint there", run.display()))?;
    store.restore_parameters(step, parameters)?;
    Ok(step)
}

/// Scores as a JSON object.
fn scores_json(scores: &Scores) -> Value {
    Value::Object(scores.iter().map(|(name, value)| (name.clone(), json!(value))).collect())
}

/// What every summary says of a training run; `dev` is what its last step scored.
fn outcome_json(outcome: &Outcome, parameters: usize) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("steps".into(), json!(outcome.step));
    map.insert("train_seconds".into(), tenths(outcome.seconds));
    map.insert("skipped_steps".into(), json!(outcome.skipped));
    map.insert("parameters".into(), json!(parameters));
    map.insert("dev".into(), scores_json(&outcome.scores));
    map
}

/// Seconds to one digit.
fn tenths(seconds: f64) -> Value {
    json!((seconds * 10.0).round() / 10.0)
}
