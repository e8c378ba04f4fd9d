//! Speech recognition: train, transcribe the test set, export the model.

use std::path::Path;

use serde_json::{Value, json};
use speech_metrics::Normalizer;

use super::speakers::{by_speakers, error_rate_of};
use super::{Ending, Experiment, outcome_json, present, restore};
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::report::Report;
use crate::tasks::Task;
use crate::tasks::asr::{AsrTask, Transcripts};
use crate::training::train;

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let mut task = AsrTask::new(recipe)?;
    let parameters = task.model().parameters().total();
    experiment.host.say(&format!("model: {parameters} parameters"));
    let outcome = train(&mut task, recipe, &experiment.options(dir, "asr", &resolved.text))?;
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
        present::write_transcripts(&path, &utterances, &heard.decoder)?;
        test_scores(recipe, &task, &utterances, &heard)?
    };

    let mut summary = outcome_json(&outcome, parameters);
    summary.insert("task".into(), json!("asr"));
    summary.insert("test".into(), test.clone());
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;

    let report = Report {
        title: recipe.run_name(&resolved.path),
        subtitle: "speech recognition".into(),
        facts: vec![
            ("steps".into(), outcome.step.to_string()),
            ("training time".into(), present::minutes(outcome.seconds)),
            ("parameters".into(), parameters.to_string()),
        ],
        curves: vec![
            present::curve(dir, "Training loss", &["loss", "loss.ce", "loss.ctc"], true)?,
            present::curve(dir, "Word error rate on dev", &["dev.wer", "dev.wer_ctc"], false)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
        ],
        tables: vec![present::table_of_groups("Test set", &test)],
        notes: vec![format!(
            "Word error rates are pooled over utterances. `wer` is after normaliser {}; `wer_raw` \
             keeps case and punctuation; `wer_ctc` is what the CTC head reads without the decoder.",
            Normalizer::Basic
        )],
        config_toml: resolved.text.clone(),
    };
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
}

/// Scores the best checkpoint of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let task = AsrTask::new(recipe)?;
    restore(run, recipe, task.parameters())?;
    let (utterances, heard) = task.test(&recipe.data.test)?;
    test_scores(recipe, &task, &utterances, &heard)
}

/// When each word of a manifest's utterances ends, by the best checkpoint of a run.
pub(super) fn align(
    run: &Path,
    recipe: &Recipe,
    spec: &str,
) -> anyhow::Result<Vec<(Utterance, Option<Vec<f64>>)>> {
    let task = AsrTask::new(recipe)?;
    restore(run, recipe, task.parameters())?;
    task.word_ends(spec)
}

/// Word error rates over all utterances, and over those by speakers seen and unseen in training.
fn test_scores(
    recipe: &Recipe,
    task: &AsrTask,
    utterances: &[Utterance],
    heard: &Transcripts,
) -> anyhow::Result<Value> {
    by_speakers(task.train_utterances(), utterances, |items| {
        let rate = |texts: &[String], normalizer| {
            error_rate_of(items, utterances, texts, recipe, normalizer)
        };
        let basic = rate(&heard.decoder, Normalizer::Basic)?;
        let raw = rate(&heard.decoder, Normalizer::None)?;
        let ctc = heard.ctc.as_ref().map(|texts| rate(texts, Normalizer::Basic)).transpose()?;
        Ok(json!({
            "utterances": items.len(),
            "wer": basic.corpus,
            "wer_utterance_mean": basic.utterance_mean,
            "wer_raw": raw.corpus,
            "wer_ctc": ctc.map(|rate| rate.corpus),
            "substitutions": basic.counts.substitutions,
            "deletions": basic.counts.deletions,
            "insertions": basic.counts.insertions,
            "normalizer": Normalizer::Basic.to_string(),
        }))
    })
}
