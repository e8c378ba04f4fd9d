//! Speech recognition by CTC: train, transcribe the test set, export the model.

use std::path::Path;

use serde_json::{Value, json};
use speech_metrics::Normalizer;

use super::speakers::{by_speakers, error_rate_of};
use super::{Ending, Experiment, outcome_json, present, restore};
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::report::Report;
use crate::tasks::Task;
use crate::tasks::ctc::{CtcTask, CtcTranscripts};
use crate::training::train;

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let mut task = CtcTask::new(recipe)?;
    let parameters = task.parameters().total();
    experiment.host.say(&format!("model: {parameters} parameters"));
    let outcome = train(&mut task, recipe, &experiment.options(dir, "ctc", &resolved.text))?;
    if outcome.interrupted {
        return Ok(Ending::Stopped);
    }

    restore(dir, recipe, task.parameters())?;
    task.export(&dir.join("model"))?;
    let test = if recipe.data.test.is_empty() {
        Value::Null
    } else {
        let (utterances, heard) = task.test(&recipe.data.test)?;
        let path = dir.join("test_transcripts.jsonl");
        present::write_transcripts(&path, &utterances, &heard.beam)?;
        test_scores(recipe, &task, &utterances, &heard)?
    };

    let mut summary = outcome_json(&outcome, parameters);
    summary.insert("task".into(), json!("ctc"));
    summary.insert("test".into(), test.clone());
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;

    let report = Report {
        title: recipe.run_name(&resolved.path),
        subtitle: "speech recognition by CTC".into(),
        facts: vec![
            ("steps".into(), outcome.step.to_string()),
            ("training time".into(), present::minutes(outcome.seconds)),
            ("parameters".into(), parameters.to_string()),
        ],
        curves: vec![
            present::curve(dir, "Training loss", &["loss"], true)?,
            present::curve(dir, "Word error rate on dev", &["dev.wer"], false)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
        ],
        tables: vec![present::table_of_groups("Test set", &test)],
        notes: vec![format!(
            "Word error rates are pooled over utterances, after normaliser {}. `wer` reads the best \
             label of each frame, `wer_beam` the likeliest labelling of a prefix beam; no language \
             model takes part.",
            Normalizer::Basic
        )],
        config_toml: resolved.text.clone(),
    };
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
}

/// Scores the best checkpoint of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let task = CtcTask::new(recipe)?;
    restore(run, recipe, task.parameters())?;
    let (utterances, heard) = task.test(&recipe.data.test)?;
    test_scores(recipe, &task, &utterances, &heard)
}

fn test_scores(
    recipe: &Recipe,
    task: &CtcTask,
    utterances: &[Utterance],
    heard: &CtcTranscripts,
) -> anyhow::Result<Value> {
    by_speakers(task.train_utterances(), utterances, |items| {
        let rate =
            |texts: &[String]| error_rate_of(items, utterances, texts, recipe, Normalizer::Basic);
        let (greedy, beam) = (rate(&heard.greedy)?, rate(&heard.beam)?);
        Ok(json!({
            "utterances": items.len(),
            "wer": greedy.corpus,
            "wer_utterance_mean": greedy.utterance_mean,
            "wer_beam": beam.corpus,
            "substitutions": greedy.counts.substitutions,
            "deletions": greedy.counts.deletions,
            "insertions": greedy.counts.insertions,
            "normalizer": Normalizer::Basic.to_string(),
        }))
    })
}
