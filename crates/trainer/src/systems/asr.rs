//! Speech recognition: train, transcribe the test set, export the model.

use std::path::Path;

use serde_json::{Value, json};
use speech_metrics::Normalizer;

use super::speakers::{by_speakers, error_rate_of};
use super::trained::Findings;
use super::{Ending, Experiment, present, restore};
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::tasks::Task;
use crate::tasks::asr::{AsrTask, Transcripts};

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (recipe, dir) = (&experiment.resolved.recipe, &experiment.dir);
    let mut task = AsrTask::new(recipe)?;
    let Some(trained) = experiment.train_one(&mut task)? else { return Ok(Ending::Stopped) };
    task.export(&dir.join("model"))?;
    let test = if recipe.data.test.is_empty() {
        Value::Null
    } else {
        let (utterances, heard) = task.test(&recipe.data.test)?;
        let path = dir.join("test_transcripts.jsonl");
        present::write_transcripts(&path, &utterances, &heard.decoder)?;
        test_scores(recipe, &task, &utterances, &heard)?
    };
    let findings = Findings {
        subtitle: "speech recognition",
        test,
        curves: vec![
            present::curve(dir, "Training loss", &["loss", "loss.ce", "loss.ctc"], true)?,
            present::curve(dir, "Word error rate on dev", &["dev.wer", "dev.wer_ctc"], false)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
        ],
        notes: vec![format!(
            "Word error rates are pooled over utterances. `wer` is after normaliser {}; `wer_raw` \
             keeps case and punctuation; `wer_ctc` is what the CTC head reads without the decoder.",
            Normalizer::Basic
        )],
    };
    experiment.conclude(&trained, findings)
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
