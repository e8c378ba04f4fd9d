//! Contrastive pretraining of a SpeechLLM as an experiment: pretrain, fine-tune on shares of the data,
//! answer the test set's questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use serde_json::{Map, Value, json};

use super::{Ending, Experiment, Stage, outcome_json, present, restore, tenths};
use crate::manifest::read_all;
use crate::memory::peak_memory_mib;
use crate::recipe::{PretrainObjective, Recipe};
use crate::report::{Report, Table};
use crate::tasks::Task;
use crate::tasks::speech_llm::{Answered, InstructTask, PretrainTask, SpeechLlm, TestSet, probes};
use crate::training::train;

/// In the summary of a dry run: memory in MiB that a whole run needs beyond the peak.
pub const MEMORY_TO_KEEP: &str = "memory_to_keep_mib";

/// What every share is fine-tuned from.
const START: &str = "pretrained.safetensors";

pub(super) fn run(experiment: &Experiment<'_>) -> anyhow::Result<Ending> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let objective: PretrainObjective = recipe.pretrain.objective.parse()?;
    let model = Arc::new(SpeechLlm::new(recipe)?);
    let parameters = model.parameters()?;
    experiment.host.say(&format!("model: {} trained parameters", parameters.total()));
    let test = match recipe.data.test.is_empty() {
        true => None,
        false => Some(TestSet::open(recipe, &model)?),
    };
    let mut summary = Map::new();
    summary.insert("task".into(), json!(recipe.task.name()));
    summary.insert("objective".into(), json!(objective.to_string()));
    summary.insert("parameters".into(), json!(parameters.total()));
    let mut seconds = 0.0;

    if !objective.is_none() {
        let below = dir.join("pretrain");
        let mut task = PretrainTask::new(recipe, model.clone())?;
        let label = format!("pretrain {objective}");
        let options = experiment.options(&below, &label, &resolved.text);
        let outcome = train(&mut task, recipe, &options)?;
        if outcome.interrupted {
            return Ok(Ending::Stopped);
        }
        restore(&below, recipe, task.parameters())?;
        seconds += outcome.seconds;
        let mut result = outcome_json(&outcome, task.parameters().total());
        if let Some(test) = &test {
            result.insert("nearness".into(), test.nearness(&model)?);
            result.insert("probes".into(), probed(&model, recipe)?);
        }
        summary.insert("pretrain".into(), Value::Object(result));
    }
    parameters.save(&dir.join(START), None)?;
    model.save(&dir.join("model"))?;

    let mut shares = Map::new();
    for &share in &recipe.instruct.fractions {
        if recipe.instruct.steps == 0 {
            break;
        }
        parameters.load(&dir.join(START))?;
        let Some((result, spent)) = finetune(experiment, &model, share, test.as_ref())? else {
            return Ok(Ending::Stopped);
        };
        seconds += spent;
        shares.insert(percent(share), result);
    }
    summary.insert("finetune".into(), Value::Object(shares));
    summary.insert("train_seconds".into(), tenths(seconds));
    summary.insert("peak_memory_mib".into(), json!(peak_memory_mib().map(f64::round)));
    if experiment.dry_run {
        let data = &recipe.data;
        let specs = [&data.train[..], &data.dev, &data.test].concat();
        let utterances = read_all(&specs)?;
        let mib = model.bytes_to_keep(&utterances) as f64 / f64::from(1 << 20);
        summary.insert(MEMORY_TO_KEEP.into(), json!(mib.round()));
    }
    let summary = Value::Object(summary);
    present::write_summary(&dir.join("summary.json"), &summary)?;
    let report = report(experiment, &summary, seconds)?;
    report.write(&dir.join("report.html"))?;
    Ok(Ending::Done(report.tables))
}

/// Linear probes of the recipe's fields; null where it names none.
fn probed(model: &SpeechLlm, recipe: &Recipe) -> anyhow::Result<Value> {
    let (data, eval) = (&recipe.data, &recipe.eval);
    match eval.probe_fields.is_empty() {
        true => Ok(Value::Null),
        false => probes(model, &eval.probe_fields, [&data.train, &data.test], eval.batch_items),
    }
}

/// A share in per cent, as folders and tables name it.
fn percent(share: f64) -> String {
    format!("{}", (share * 1e6).round() / 1e4)
}

/// The recipe of fine-tuning: `[instruct]` in place of the sections that pretraining reads.
fn of_instruct(recipe: &Recipe) -> Recipe {
    let mut derived = recipe.clone();
    derived.optim.lr = recipe.instruct.lr;
    derived.schedule.max_steps = recipe.instruct.steps;
    derived.schedule.warmup_steps = recipe.instruct.warmup_steps;
    derived.schedule.decay_steps = recipe.schedule.decay_steps.min(recipe.instruct.steps);
    derived.batch.accumulate = 1;
    derived.checkpoint.metric = "-dev.loss".into();
    derived
}

/// Fine-tunes on a share of the questions and answers those of the test set; `None` when the user
/// stopped it.
fn finetune(
    experiment: &Experiment<'_>,
    model: &Arc<SpeechLlm>,
    share: f64,
    test: Option<&TestSet>,
) -> anyhow::Result<Option<(Value, f64)>> {
    let resolved = experiment.resolved;
    let recipe = of_instruct(&resolved.recipe);
    let below = share_dir(&experiment.dir, share);
    let mut task = InstructTask::new(&recipe, model.clone(), share)?;
    let label = format!("finetune {} %", percent(share));
    let outcome = train(&mut task, &recipe, &experiment.options(&below, &label, &resolved.text))?;
    if outcome.interrupted {
        return Ok(None);
    }
    restore(&below, &recipe, task.parameters())?;
    model.save(&below.join("model"))?;
    let mut result = outcome_json(&outcome, task.parameters().total());
    result.insert("examples".into(), json!(task.examples()));
    if let Some(test) = test {
        experiment.host.say(&format!("{label}: answering the test set"));
        let (scores, answered) = test.scores(model)?;
        write_answers(&below.join("test_answers.jsonl"), &answered)?;
        result.insert("test".into(), scores);
        result.insert("probes".into(), probed(model, &recipe)?);
    }
    Ok(Some((Value::Object(result), outcome.seconds)))
}

fn share_dir(dir: &Path, share: f64) -> PathBuf {
    dir.join(format!("finetune-{}", percent(share)))
}

/// A JSON line a question: prompt, gold answers and what was said.
fn write_answers(path: &Path, answered: &[Answered]) -> anyhow::Result<()> {
    crate::atomic::write(path, |file| {
        for Answered { id, task, prompt, gold, answer } in answered {
            let line = json!({
                "id": id, "task": task, "prompt": prompt, "gold": gold, "answer": answer,
            });
            writeln!(file, "{line}")?;
        }
        Ok(())
    })
}

/// Scores the best checkpoint of every share of a run.
pub(super) fn evaluate(run: &Path, recipe: &Recipe) -> anyhow::Result<Value> {
    let derived = of_instruct(recipe);
    let model = SpeechLlm::new(recipe)?;
    let parameters = model.parameters()?;
    let test = TestSet::open(recipe, &model)?;
    let mut all = Map::new();
    for &share in &recipe.instruct.fractions {
        let below = share_dir(run, share);
        if below.exists() {
            restore(&below, &derived, &parameters)?;
            all.insert(percent(share), test.scores(&model)?.0);
        }
    }
    ensure!(!all.is_empty(), "{}: no fine-tuned model there", run.display());
    Ok(Value::Object(all))
}

/// Sets the weights that a run had at a stage.
pub(super) fn load_stage(
    run: &Path,
    recipe: &Recipe,
    model: &SpeechLlm,
    stage: Stage,
) -> anyhow::Result<()> {
    let parameters = model.parameters()?;
    match stage {
        Stage::Pretrained => Ok(parameters.load(&run.join(START))?),
        Stage::Finetuned(percent) => {
            restore(&share_dir(run, percent / 100.0), &of_instruct(recipe), &parameters).map(drop)
        }
    }
}

/// Columns of the paper's table: heading and pointer below the scores of a share.
const COLUMNS: [(&str, &str); 9] = [
    ("WER", "/asr/wer_utterance_mean"),
    ("BLEU", "/st/bleu"),
    ("chrF", "/st/chrf"),
    ("EM", "/sqa/exact_match"),
    ("F1", "/sqa/f1"),
    ("cos", "/nearness/contrast_cos"),
    ("wasser", "/nearness/contrast_wasser"),
    ("R@1", "/nearness/retrieval_embedding/speech_to_text/r1"),
    ("norm", "/norm_avg"),
];

/// Headings of [`row`].
pub(super) fn headings() -> Vec<String> {
    COLUMNS.iter().map(|(heading, _)| (*heading).to_owned()).collect()
}

/// Scores of one share in the order of the paper's table; translations are averaged over languages.
pub(super) fn row(test: &Value) -> Vec<Option<f64>> {
    let of_languages = |name: &str| {
        let scores = test.as_object().into_iter().flatten();
        let found: Vec<f64> = scores
            .filter(|(task, _)| task.starts_with("st-"))
            .filter_map(|(_, scores)| scores.get(name)?.as_f64())
            .collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    COLUMNS
        .iter()
        .map(|(_, pointer)| match pointer.strip_prefix("/st/") {
            Some(name) => of_languages(name),
            None => test.pointer(pointer).and_then(Value::as_f64),
        })
        .collect()
}

fn report(experiment: &Experiment<'_>, summary: &Value, seconds: f64) -> anyhow::Result<Report> {
    let (resolved, dir) = (experiment.resolved, &experiment.dir);
    let recipe = &resolved.recipe;
    let mut header = vec!["% of the data".to_owned()];
    header.extend(headings());
    let shares = summary["finetune"].as_object().into_iter().flatten();
    let rows = shares.map(|(share, result)| {
        let shown = row(&result["test"]).into_iter();
        let shown = shown.map(|value| value.map_or("-".into(), |value| format!("{value:.2}")));
        [share.clone()].into_iter().chain(shown).collect()
    });
    let table = Table {
        title: "Test set".into(),
        caption: "WER is the mean over utterances; cos and wasser are contrasts in batches of 4."
            .into(),
        header,
        rows: rows.collect(),
        stressed: Vec::new(),
    };
    let folders: Vec<(String, PathBuf)> = recipe
        .instruct
        .fractions
        .iter()
        .map(|&share| (format!("{} %", percent(share)), share_dir(dir, share)))
        .collect();
    let mut folders: Vec<(&str, &Path)> =
        folders.iter().map(|(label, dir)| (label.as_str(), dir.as_path())).collect();
    let pretrain = dir.join("pretrain");
    let mut pretrain = vec![("", pretrain.as_path())];
    // A stage that the recipe leaves out has no folder.
    folders.retain(|(_, dir)| dir.exists());
    pretrain.retain(|(_, dir)| dir.exists());
    let parts = ["loss.contrast", "loss.asr", "loss.nwp"];
    let probes = ["probe.contrast", "shuffled.contrast", "probe.asr", "shuffled.asr"];
    let mut report = Report {
        title: recipe.run_name(&resolved.path),
        subtitle: format!("speech for a language model, pretrained by {}", objective(summary)),
        facts: vec![
            ("objective".into(), objective(summary)),
            ("trained parameters".into(), summary["parameters"].to_string()),
            ("training time".into(), present::minutes(seconds)),
        ],
        curves: vec![
            present::curve_of_runs(&pretrain, "Pretraining, parts of the loss", &parts, false)?,
            present::curve_of_runs(
                &pretrain,
                "Teacher-shuffle probe: texts of others",
                &probes,
                false,
            )?,
            present::curve_of_runs(&pretrain, "Pretraining, loss on dev", &["dev.loss"], false)?,
            present::curve_of_runs(&folders, "Fine-tuning, loss of answers", &["loss"], true)?,
            present::curve_of_runs(&folders, "Fine-tuning, loss on dev", &["dev.loss"], false)?,
        ],
        tables: vec![table, probe_table(summary)],
        notes: vec![
            "norm is equation (3) of arXiv 2412.15712 with chrF in the place of COMET, and with the \
             bounds of the recipe."
                .into(),
        ],
        config_toml: resolved.text.clone(),
    };
    // Which parts there are, the objective says.
    report.curves.retain(|curve| !curve.series.is_empty());
    Ok(report)
}

/// Accuracies of the linear probes, a row a field and stage.
fn probe_table(summary: &Value) -> Table {
    let pretrained = [("pretrained".to_owned(), &summary["pretrain"])];
    let shares = summary["finetune"].as_object().into_iter().flatten();
    let shares = shares.map(|(share, result)| (format!("fine-tuned on {share} %"), result));
    let mut rows = Vec::new();
    for (stage, result) in pretrained.into_iter().chain(shares) {
        for (field, found) in result["probes"].as_object().into_iter().flatten() {
            let cell = |pointer: &str| present::cell(found.pointer(pointer));
            rows.push(vec![
                field.clone(),
                stage.clone(),
                cell("/most_frequent"),
                cell("/encoder/accuracy"),
                cell("/projector/accuracy"),
            ]);
        }
    }
    Table {
        title: "Linear probes".into(),
        caption: "Accuracy in % of telling a field from averages; always the most frequent value, from the \
                  encoder's states, from the projector's vectors."
            .into(),
        header: ["field", "stage", "most frequent", "encoder", "projector"].map(str::to_owned).into(),
        rows,
        stressed: Vec::new(),
    }
}

fn objective(summary: &Value) -> String {
    present::cell(summary.get("objective"))
}
