//! Speech recognition by CTC: train, transcribe the test set, export the model.

use std::path::Path;

use serde_json::{Value, json};
use speech_metrics::Normalizer;

use super::speakers::{by_speakers, error_rate_of};
use super::trained::Findings;
use super::{Ending, Experiment, present, restore};
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::tasks::Task;
use crate::tasks::ctc::{CtcTask, CtcTranscripts};

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (recipe, dir) = (&experiment.resolved.recipe, &experiment.dir);
    let mut task = CtcTask::new(recipe)?;
    let Some(trained) = experiment.train_one(&mut task)? else { return Ok(Ending::Stopped) };
    task.export(&dir.join("model"))?;
    let test = if recipe.data.test.is_empty() {
        Value::Null
    } else {
        let (utterances, heard) = task.test(&recipe.data.test)?;
        let path = dir.join("test_transcripts.jsonl");
        present::write_transcripts(&path, &utterances, &heard.beam)?;
        test_scores(recipe, &task, &utterances, &heard)?
    };
    let findings = Findings {
        subtitle: "speech recognition by CTC",
        test,
        curves: vec![
            present::curve(dir, "Training loss", &["loss"], true)?,
            present::curve(dir, "Word error rate on dev", &["dev.wer"], false)?,
            present::curve(dir, "Loss on dev", &["dev.loss"], false)?,
        ],
        notes: vec![format!(
            "Word error rates are pooled over utterances, after normaliser {}. `wer` reads the best \
             label of each frame, `wer_beam` the likeliest labelling of a prefix beam; no language \
             model takes part.",
            Normalizer::Basic
        )],
    };
    experiment.conclude(&trained, findings)
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
