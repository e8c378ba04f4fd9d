//! *Teach me with a Whisper* as an experiment: the student, the baseline beside it, both scored
//! on held-out utterances and fine-tuned on text.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Map, Value, json};

use super::finetune_text::finetune;
use super::{Ending, Experiment, outcome_json, present, restore_last, scores_json, tenths};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::recipe::{Objective, Recipe};
use crate::report::{Report, Table};
use crate::tasks::Task;
use crate::tasks::finetune_text::last_stage_of;
use crate::tasks::teach_whisper::{Taught, TeachTask};
use crate::training::train;

/// One of the models that are compared.
struct Variant {
    /// Folder and key in the summary.
    key: &'static str,
    recipe: Recipe,
}

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let mut variants = vec![Variant { key: "student", recipe: recipe.clone() }];
    if recipe.eval.baseline && recipe.loss.objective != Objective::Mlm {
        let mut baseline = recipe.clone();
        baseline.loss.kd_detach = true;
        variants.push(Variant { key: "baseline", recipe: baseline });
    }

    let mut summary = Map::new();
    summary.insert("task".into(), json!("teach-whisper"));
    summary.insert("objective".into(), json!(recipe.loss.objective.name()));
    let mut seconds = 0.0;
    for variant in &variants {
        let Some((result, spent)) = run_variant(experiment, variant)? else {
            return Ok(Ending::Stopped);
        };
        summary.insert(variant.key.into(), result);
        seconds += spent;
    }
    summary.insert("train_seconds".into(), tenths(seconds));
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;
    let runs: Vec<(&str, PathBuf)> =
        variants.iter().map(|variant| (variant.key, dir.join(variant.key))).collect();
    let report = report(experiment, &summary, &runs, seconds)?;
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
}

/// Trains, scores and fine-tunes one model; `None` when the user stopped it.
fn run_variant(
    experiment: &Experiment<'_>,
    variant: &Variant,
) -> anyhow::Result<Option<(Value, f64)>> {
    let dir = experiment.dir.join(variant.key);
    let recipe = &variant.recipe;
    // The baseline differs from the recipe in one key, which its checkpoints must show.
    let text = recipe.to_text()?;
    let mut task = TeachTask::new(recipe, &experiment.host)?;
    let parameters = task.student().parameters().total();
    let outcome = train(&mut task, recipe, &experiment.options(&dir, variant.key, &text))?;
    if outcome.interrupted {
        return Ok(None);
    }
    let model_dir = dir.join("model");
    task.export(&model_dir)?;
    let mut result = outcome_json(&outcome, parameters);
    let mut seconds = outcome.seconds;
    if !recipe.data.test.is_empty() {
        let test = task.read(&recipe.data.test, &experiment.host)?;
        result.insert("test_utterances".into(), json!(test.utterances.len()));
        result.insert("test".into(), test_scores(&task, &test)?);
    }
    if recipe.finetune.steps > 0 {
        let derived = last_stage_of(recipe, &model_dir);
        let label = format!("{} finetune", variant.key);
        let below = dir.join("finetune");
        let Some(done) = finetune(experiment, &derived, &text, &below, &label)? else {
            return Ok(None);
        };
        seconds += done.outcome.seconds;
        result.insert("finetune".into(), done.test);
    }
    Ok(Some((Value::Object(result), seconds)))
}

fn test_scores(task: &TeachTask, test: &Taught) -> anyhow::Result<Value> {
    let mut scores = task.score(test)?;
    scores.extend(task.probe_retrieval(test)?);
    Ok(scores_json(&scores))
}

/// Scores the last checkpoint of every model of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let there: Vec<&str> =
        ["student", "baseline"].into_iter().filter(|key| run.join(key).exists()).collect();
    ensure!(!there.is_empty(), "{}: no model there, expected a folder student", run.display());
    let interrupt = Interrupt::manual();
    let host = Host::quiet(&interrupt);
    let task = TeachTask::new(recipe, &host)?;
    let test = task.read(&recipe.data.test, &host)?;
    let mut all = Map::new();
    for key in there {
        restore_last(&run.join(key), task.parameters())?;
        all.insert(key.into(), test_scores(&task, &test)?);
    }
    Ok(Value::Object(all))
}

/// Rows of the comparison: key below a variant, what it is, and whether higher is better.
const ROWS: &[(&str, &str, bool)] = &[
    ("test.mlm_loss", "MLM loss", false),
    ("test.mlm_accuracy", "MLM accuracy", true),
    ("test.kd_loss", "distillation loss", false),
    ("test.retrieval_r1", "retrieval R@1", true),
    ("test.retrieval_r10", "retrieval R@10", true),
    ("test.retrieval_mean_rank", "retrieval mean rank", false),
    ("test.probe_r1", "linear probe R@1", true),
    ("test.probe_r10", "linear probe R@10", true),
    ("test.probe_mean_rank", "linear probe mean rank", false),
    ("finetune.accuracy", "fine-tuned accuracy", true),
    ("finetune.macro_f1", "fine-tuned macro F1", true),
    ("finetune.pearson", "fine-tuned Pearson", true),
];

fn report(
    experiment: &Experiment<'_>,
    summary: &Value,
    runs: &[(&str, PathBuf)],
    seconds: f64,
) -> anyhow::Result<Report> {
    let recipe = &experiment.resolved.recipe;
    let paths: Vec<(&str, &Path)> =
        runs.iter().map(|(label, dir)| (*label, dir.as_path())).collect();
    let plot = |title: &str, name: &str, log_y: bool| {
        present::curve_of_runs(&paths, title, &[name], log_y)
    };
    let steps = summary["student"]["steps"].to_string();
    Ok(Report {
        title: recipe.run_name(&experiment.resolved.path),
        subtitle: format!(
            "a text student taught by a frozen speech encoder, objective {}",
            recipe.loss.objective
        ),
        facts: vec![
            ("objective".into(), recipe.loss.objective.to_string()),
            ("steps".into(), steps),
            ("training time, all models".into(), present::minutes(seconds)),
            ("student parameters".into(), summary["student"]["parameters"].to_string()),
            (
                "held-out utterances".into(),
                present::cell(summary["student"].get("test_utterances")),
            ),
        ],
        curves: vec![
            plot("MLM loss, training", "loss.mlm", false)?,
            plot("Distillation loss, training", "loss.kd", true)?,
            plot("MLM loss on dev", "dev.mlm_loss", false)?,
            plot("Distillation loss on dev", "dev.kd_loss", true)?,
            plot("Text-to-audio R@1 on dev", "dev.retrieval_r1", false)?,
            present::curve_of_runs(
                &paths,
                "Teacher-shuffle probe: distillation loss with vectors of others",
                &["probe.kd", "shuffled.kd"],
                true,
            )?,
        ],
        tables: vec![comparison(summary, runs)],
        notes: notes(runs.len() > 1),
        config_toml: experiment.resolved.text.clone(),
    })
}

fn notes(with_baseline: bool) -> Vec<String> {
    let baseline = "Both models have the same start, data, steps and masks. In the baseline the \
                    distillation loss trains its own projections and is cut off from the student, \
                    so MLM alone teaches it; its retrieval is what such projections find in an MLM \
                    model.";
    let retrieval = "Retrieval: each held-out transcript ranks all held-out utterances by cosine. \
                     The linear probe is a ridge regression from mean-pooled student states to the \
                     teacher's utterance vectors, fitted on the training set.";
    with_baseline.then_some(baseline).into_iter().chain([retrieval]).map(str::to_owned).collect()
}

/// The variants side by side on the test set, the better value of each row stressed.
fn comparison(summary: &Value, runs: &[(&str, PathBuf)]) -> Table {
    let mut header = vec!["held-out test set".to_owned()];
    header.extend(runs.iter().map(|(label, _)| (*label).to_owned()));
    let (mut rows, mut stressed) = (Vec::new(), Vec::new());
    for (path, name, higher) in ROWS {
        let pointer = format!("/{}", path.replace('.', "/"));
        let values: Vec<Option<f64>> = runs
            .iter()
            .map(|(label, _)| summary[*label].pointer(&pointer).and_then(Value::as_f64))
            .collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let known = values.iter().flatten().copied();
        let best = known.clone().reduce(if *higher { f64::max } else { f64::min });
        // Stressed where it is alone the best of several.
        if known.clone().count() > 1 && known.filter(|value| Some(*value) == best).count() == 1 {
            let column = values.iter().position(|value| *value == best);
            stressed.extend(column.map(|column| (rows.len(), column + 1)));
        }
        let mut row = vec![(*name).to_owned()];
        row.extend(values.iter().map(|value| value.map_or("-".into(), |v| format!("{v:.4}"))));
        rows.push(row);
    }
    Table {
        title: if runs.len() > 1 { "Student and baseline" } else { "Student" }.into(),
        caption: "Losses and ranks: lower is better. The rest: higher is better.".into(),
        header,
        rows,
        stressed,
    }
}
