//! Pictures of what a `speech-llm` run compares: a transport plan, and contrasts layer by layer.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{present, speech_llm};
use crate::atomic;
use crate::recipe::{Recipe, Task};
use crate::report::{Curve, Heatmap, Report, Table};
use crate::tasks::speech_llm::{
    SpeechLlm, TestSet, TransportPlan, contrasts_by_layer, find_utterance, probes, transport_plan,
};

/// Which weights of a run are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage {
    /// After pretraining.
    Pretrained,
    /// After fine-tuning on this share of the data, in per cent.
    Finetuned(f64),
}

/// Draws the transport plan between the tokens of an utterance and its speech vectors, at a hidden state
/// of the language model; returns the picture's file, beside which its numbers lie as JSON.
///
/// # Errors
///
/// When the folder holds no such run, or the utterance is not in its manifests.
pub fn inspect_plan(run: &Path, stage: Stage, id: &str, layer: usize) -> anyhow::Result<PathBuf> {
    let (recipe, model) = open(run, stage)?;
    let utterance = find_utterance(&recipe, id)?;
    let found = transport_plan(&model, &recipe, &utterance, layer)?;
    let TransportPlan { tokens, seconds, plan, divergence, marginal_error } = &found;
    let mut edges: Vec<f64> = seconds.iter().map(|range| range.start).collect();
    edges.extend(seconds.last().map(|range| range.end));
    let heatmap = Heatmap {
        title: format!(
            "{id}, hidden state {layer}, {}: divergence {divergence:.4}",
            recipe.pretrain.objective
        ),
        rows: tokens.clone(),
        edges,
        x_label: "seconds".into(),
        values: plan.clone(),
    };
    let name = format!("plan-{}-{layer}", id.replace(['/', '\\'], "_"));
    let dir = run.join("inspect");
    let picture = dir.join(format!("{name}.svg"));
    std::fs::create_dir_all(&dir)?;
    atomic::write(&picture, |file| Ok(file.write_all(heatmap.to_svg().as_bytes())?))?;
    let numbers = json!({
        "id": id,
        "text": utterance.text,
        "objective": recipe.pretrain.objective,
        "layer": layer,
        "blur": recipe.pretrain.blur,
        "divergence": divergence,
        "marginal_error": marginal_error,
        "tokens": tokens,
        "vector_seconds": seconds.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>(),
        "plan": plan,
    });
    present::write_summary(&dir.join(format!("{name}.json")), &numbers)?;
    Ok(picture)
}

/// Draws the contrasts on the test set by hidden state, of both kinds and of every stage that is there,
/// as figures 2 and 3 of arXiv 2412.15712; returns the page's file, beside which the numbers lie as JSON.
///
/// # Errors
///
/// When the folder holds no such run, or a test utterance cannot be read.
pub fn inspect_layers(run: &Path) -> anyhow::Result<PathBuf> {
    let recipe = open_recipe(run)?;
    let model = SpeechLlm::new(&recipe)?;
    let test = TestSet::open(&recipe, &model)?;
    let mut rows = Vec::new();
    let mut stages = vec![Stage::Pretrained];
    stages.extend(recipe.instruct.fractions.iter().map(|share| Stage::Finetuned(share * 100.0)));
    for stage in stages {
        if speech_llm::load_stage(run, &recipe, &model, stage).is_ok() {
            rows.push((stage_name(stage), contrasts_by_layer(&model, &test)?));
        }
    }
    ensure!(!rows.is_empty(), "{}: no pretrained or fine-tuned weights there", run.display());
    let curve = |kind: usize, title: &str| Curve {
        title: title.into(),
        series: rows
            .iter()
            .map(|(name, found)| {
                let points = found.iter().enumerate().map(|(l, values)| (l as f64, values[kind]));
                (name.clone(), points.collect())
            })
            .collect(),
        x_label: "hidden state".into(),
        y_label: "loss".into(),
        log_y: false,
    };
    let header = ["hidden state".to_owned()].into_iter().chain(
        rows.iter().flat_map(|(name, _)| [format!("cos, {name}"), format!("wasser, {name}")]),
    );
    let n_layers = rows.first().map_or(0, |(_, found)| found.len());
    let cells = (0..n_layers).map(|layer| {
        let values = rows.iter().flat_map(|(_, found)| found[layer]);
        [layer.to_string()].into_iter().chain(values.map(|value| format!("{value:.4}"))).collect()
    });
    let dir = run.join("inspect");
    std::fs::create_dir_all(&dir)?;
    let report = Report {
        title: "Contrast by layer".into(),
        subtitle: format!("test set, pretrained by {}", recipe.pretrain.objective),
        curves: vec![curve(0, "Cosine"), curve(1, "Wasserstein")],
        tables: vec![Table {
            title: "Means over items, batches of 4".into(),
            header: header.collect(),
            rows: cells.collect(),
            ..Table::default()
        }],
        config_toml: recipe.to_text()?,
        ..Report::default()
    };
    let page = dir.join("layers.html");
    report.write(&page)?;
    let stages: Vec<_> = rows
        .iter()
        .map(|(name, found)| {
            let of = |kind: usize| found.iter().map(|values| values[kind]).collect::<Vec<_>>();
            json!({ "stage": name, "contrast_cos": of(0), "contrast_wasser": of(1) })
        })
        .collect();
    let numbers = json!({ "objective": recipe.pretrain.objective, "stages": stages });
    present::write_summary(&dir.join("layers.json"), &numbers)?;
    Ok(page)
}

/// Linear probes of manifest fields on the encoder's states and the projector's vectors of a run, fitted on
/// the manifests `train` and scored on `test`.
///
/// # Errors
///
/// When the folder holds no such run, or an utterance cannot be read.
pub fn inspect_probes(
    run: &Path,
    stage: Stage,
    fields: &[String],
    [train, test]: [&[String]; 2],
) -> anyhow::Result<Value> {
    let (recipe, model) = open(run, stage)?;
    probes(&model, fields, [train, test], recipe.eval.batch_items)
}

fn stage_name(stage: Stage) -> String {
    match stage {
        Stage::Pretrained => "pretrained".into(),
        Stage::Finetuned(percent) => format!("fine-tuned on {percent} %"),
    }
}

fn open_recipe(run: &Path) -> anyhow::Result<Recipe> {
    let recipe = Recipe::of_run(run)?;
    ensure!(
        recipe.task == Task::SpeechLlm,
        "{}: a run of the task {}, expected speech-llm",
        run.display(),
        recipe.task.name()
    );
    Ok(recipe)
}

fn open(run: &Path, stage: Stage) -> anyhow::Result<(Recipe, SpeechLlm)> {
    let recipe = open_recipe(run)?;
    let model = SpeechLlm::new(&recipe)?;
    speech_llm::load_stage(run, &recipe, &model, stage)?;
    Ok((recipe, model))
}
