//! A language model: train, score the test set, export the model.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Ending, Experiment, outcome_json, present, restore};
use crate::recipe::Recipe;
use crate::report::Report;
use crate::tasks::Task;
use crate::tasks::language_model::LmTask;
use crate::training::train;

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let mut task = LmTask::new(recipe)?;
    let parameters = task.parameters().total();
    experiment.host.say(&format!("model: {parameters} parameters"));
    let outcome = train(&mut task, recipe, &experiment.options(dir, "lm", &resolved.text))?;
    if outcome.interrupted {
        return Ok(Ending::Stopped);
    }

    restore(dir, recipe, task.parameters())?;
    task.export(&dir.join("model"))?;
    let test = test_scores(&task, recipe)?;

    let mut summary = outcome_json(&outcome, parameters);
    summary.insert("task".into(), json!("lm"));
    summary.insert("test".into(), test.clone());
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;

    let templates = recipe.lm.templates.iter().enumerate();
    let report = Report {
        title: recipe.run_name(&resolved.path),
        subtitle: "language model".into(),
        facts: vec![
            ("steps".into(), outcome.step.to_string()),
            ("training time".into(), present::minutes(outcome.seconds)),
            ("parameters".into(), parameters.to_string()),
        ],
        curves: vec![
            present::curve(dir, "Training loss", &["loss"], true)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
            present::curve(dir, "Answers written exactly, on dev", &["dev.exact"], false)?,
        ],
        tables: vec![present::table_of_groups("Test set", &test)],
        notes: templates.map(|(k, text)| format!("template {}: {text:?}", k + 1)).collect(),
        config_toml: resolved.text.clone(),
    };
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
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
