//! Text-only fine-tuning as an experiment of its own, and as the last stage of another.

use std::path::Path;

use serde_json::{Value, json};

use super::{Ending, Experiment, outcome_json, present, restore_last, scores_json};
use crate::recipe::Recipe;
use crate::report::Report;
use crate::tasks::Task;
use crate::tasks::finetune_text::{FinetuneTask, section_of};
use crate::training::{Outcome, train};

/// A finished fine-tuning.
pub(super) struct Finetuned {
    pub(super) outcome: Outcome,
    pub(super) parameters: usize,
    /// Scores on the test set; null without one.
    pub(super) test: Value,
}

/// Fine-tunes in `dir` and scores the test set; `None` when the user stopped it.
pub(super) fn finetune(
    experiment: &Experiment<'_>,
    recipe: &Recipe,
    recipe_text: &str,
    dir: &Path,
    label: &str,
) -> anyhow::Result<Option<Finetuned>> {
    let mut task = FinetuneTask::new(recipe)?;
    let parameters = task.parameters().total();
    let outcome = train(&mut task, recipe, &experiment.options(dir, label, recipe_text))?;
    if outcome.interrupted {
        return Ok(None);
    }
    task.export(&dir.join("model"))?;
    let test = match recipe.data.test.is_empty() {
        true => Value::Null,
        false => scores_json(&task.test(&recipe.data.test)?),
    };
    Ok(Some(Finetuned { outcome, parameters, test }))
}

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = section_of(&resolved.recipe);
    let Some(done) = finetune(experiment, &recipe, &resolved.text, dir, "finetune")? else {
        return Ok(Ending::Stopped);
    };
    let mut summary = outcome_json(&done.outcome, done.parameters);
    summary.insert("task".into(), json!("finetune-text"));
    summary.insert("test".into(), done.test.clone());
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;
    let report = Report {
        title: resolved.recipe.run_name(&resolved.path),
        subtitle: format!("text fine-tuning, {}", recipe.finetune.kind),
        facts: vec![
            ("steps".into(), done.outcome.step.to_string()),
            ("training time".into(), present::minutes(done.outcome.seconds)),
        ],
        curves: vec![present::curve(dir, "Training loss", &["loss"], true)?],
        tables: vec![present::table_of_groups("Scores", &json!({ "test": done.test }))],
        notes: Vec::new(),
        config_toml: resolved.text.clone(),
    };
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
}

/// Scores the last checkpoint of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let task = FinetuneTask::new(recipe)?;
    restore_last(run, task.parameters())?;
    Ok(scores_json(&task.test(&recipe.data.test)?))
}
