//! A language model: train, score the test set, export the model.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::trained::Findings;
use super::{Ending, Experiment, present, restore};
use crate::recipe::Recipe;
use crate::tasks::Task;
use crate::tasks::language_model::LmTask;

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (recipe, dir) = (&experiment.resolved.recipe, &experiment.dir);
    let mut task = LmTask::new(recipe)?;
    let Some(trained) = experiment.train_one(&mut task)? else { return Ok(Ending::Stopped) };
    task.export(&dir.join("model"))?;
    let test = test_scores(&task, recipe)?;
    if recipe.output.merge {
        task.export_merged(&dir.join("merged"))?;
    }
    let templates = recipe.lm.templates.iter().enumerate();
    let findings = Findings {
        subtitle: "language model",
        test,
        curves: vec![
            present::curve(dir, "Training loss", &["loss"], true)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
            present::curve(dir, "Answers written exactly, on dev", &["dev.exact"], false)?,
        ],
        notes: templates.map(|(k, text)| format!("template {}: {text:?}", k + 1)).collect(),
    };
    experiment.conclude(&trained, findings)
}

/// Scores the best checkpoint of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let task = LmTask::new(recipe)?;
    restore(run, recipe, task.parameters())?;
    test_scores(&task, recipe)
}

/// An object a template; null without a test set.
fn test_scores(task: &LmTask, recipe: &Recipe) -> anyhow::Result<Value> {
    if recipe.data.test.is_empty() {
        return Ok(Value::Null);
    }
    let scores = task.test(&recipe.data.test)?;
    let rows = scores.iter().enumerate().map(|(k, score)| {
        let row = json!({
            "documents": score.documents,
            "tokens": score.tokens,
            "loss": score.loss,
            "perplexity": score.loss.exp(),
            "exact": score.exact,
        });
        (format!("template_{}", k + 1), row)
    });
    Ok(Value::Object(rows.collect::<Map<_, _>>()))
}
