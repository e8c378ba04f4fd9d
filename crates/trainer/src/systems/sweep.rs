//! Runs of one recipe under several objectives and seeds, and the table that compares them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use super::speech_llm::{headings, row};
use super::{Ending, Experiment, present};
use crate::host::Host;
use crate::log::ProgressMode;
use crate::recipe::{self, Resolved, Task};
use crate::report::{Report, Table};

/// A sweep of a recipe's `[sweep]`.
pub struct Sweep<'a> {
    /// The recipe that all runs share.
    pub resolved: &'a Resolved,
    /// Folder with a run below it for each objective and seed.
    pub dir: PathBuf,
    /// Runs of these objectives alone; all where it is empty.
    pub only: Vec<String>,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Told what takes long; says when to stop.
    pub host: Host<'a>,
}

/// Normalised averages of the paper's table by share of the data: arXiv 2412.15712, table 3.
const PAPER: [(&str, &str, f64); 10] = [
    ("10", "none", -57.40),
    ("10", "asr", 39.93),
    ("10", "contr-cos-emb", 46.34),
    ("10", "contr-wasser-emb", 44.02),
    ("10", "contr-cos-all", 67.39),
    ("10", "contr-wasser-all", 85.02),
    ("10", "contr-wasser-all+asr", 88.80),
    ("100", "none", 79.96),
    ("100", "asr", 100.53),
    ("100", "contr-cos-all", 99.36),
];

impl Sweep<'_> {
    /// Runs what is not there yet, and writes `sweep.json` and `report.html` of what is.
    ///
    /// A run that was stopped goes on from its checkpoint; one that is finished is left alone.
    ///
    /// # Errors
    ///
    /// When the recipe is of another task, a run of another recipe lies in the folder, or as a run.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let recipe = &self.resolved.recipe;
        ensure!(
            recipe.task == Task::SpeechLlm,
            "{}: a recipe of the task {}, expected speech-llm",
            self.resolved.path.display(),
            recipe.task.name()
        );
        let runs = self.runs()?;
        for (k, (dir, resolved)) in runs.iter().enumerate() {
            if dir.join("summary.json").exists() {
                same_recipe(dir, &resolved.text)?;
                continue;
            }
            let label = dir.strip_prefix(&self.dir).unwrap_or(dir).display().to_string();
            self.host.say(&format!("run {} of {}: {label}", k + 1, runs.len()));
            if let Ending::Stopped = self.one(dir, resolved)? {
                self.conclude()?;
                return Ok(Ending::Stopped);
            }
        }
        Ok(Ending::Done(self.conclude()?))
    }

    /// Folders of the runs with their recipes, seed by seed, so that a sweep that is stopped early has
    /// compared all objectives once.
    fn runs(&self) -> anyhow::Result<Vec<(PathBuf, Resolved)>> {
        let sweep = &self.resolved.recipe.sweep;
        let mut runs = Vec::new();
        for &seed in &sweep.seeds {
            for objective in &sweep.objectives {
                if !self.only.is_empty() && !self.only.contains(objective) {
                    continue;
                }
                let mut recipe = self.resolved.recipe.clone();
                recipe.seed = seed;
                recipe.pretrain.objective = objective.clone();
                // A run does not depend on which others there are.
                recipe.sweep = recipe::Sweep::default();
                let text = recipe.to_text()?;
                let resolved = Resolved { recipe, text, ..self.resolved.clone() };
                runs.push((self.dir.join(objective).join(format!("seed-{seed}")), resolved));
            }
        }
        ensure!(
            !runs.is_empty(),
            "sweep: no run to do (hint: --only names objectives of sweep.objectives)"
        );
        Ok(runs)
    }

    fn one(&self, dir: &Path, resolved: &Resolved) -> anyhow::Result<Ending> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("{}: cannot make it", dir.display()))?;
        let path = dir.join("recipe.toml");
        if path.exists() {
            same_recipe(dir, &resolved.text)?;
        } else {
            crate::atomic::write(&path, |file| Ok(file.write_all(resolved.text.as_bytes())?))?;
        }
        let experiment = Experiment {
            resolved,
            dir: dir.to_path_buf(),
            resume: true,
            allow_change: Vec::new(),
            overfit: 0,
            dry_run: false,
            progress: self.progress,
            host: self.host,
        };
        experiment.run()
    }

    /// Writes the table of all runs of the recipe's sweep that are finished.
    fn conclude(&self) -> anyhow::Result<Vec<Table>> {
        let recipe = &self.resolved.recipe;
        let found = self.finished()?;
        let mut json_rows = Vec::new();
        let mut tables = Vec::new();
        for share in shares(&found) {
            let (table, rows) = compared(&share, &recipe.sweep.objectives, &found);
            tables.push(table);
            json_rows.extend(rows);
        }
        let summary = json!({
            "recipe": recipe.run_name(&self.resolved.path),
            "seeds": recipe.sweep.seeds,
            "rows": json_rows,
        });
        present::write_summary(&self.dir.join("sweep.json"), &summary)?;
        let pretrained: Vec<(&str, PathBuf)> = (recipe.sweep.objectives.iter())
            .zip(std::iter::repeat(recipe.sweep.seeds.first()))
            .filter_map(|(objective, seed)| {
                let dir = self.dir.join(objective).join(format!("seed-{}/pretrain", seed?));
                dir.join("metrics.jsonl").exists().then_some((objective.as_str(), dir))
            })
            .collect();
        let pretrained: Vec<(&str, &Path)> =
            pretrained.iter().map(|(name, dir)| (*name, dir.as_path())).collect();
        let report = Report {
            title: format!("{}, a sweep", recipe.run_name(&self.resolved.path)),
            subtitle: "pretraining objectives of a SpeechLLM compared".into(),
            facts: vec![
                ("objectives".into(), recipe.sweep.objectives.len().to_string()),
                ("seeds".into(), recipe.sweep.seeds.len().to_string()),
                ("finished runs".into(), found.len().to_string()),
            ],
            curves: vec![present::curve_of_runs(
                &pretrained,
                "Pretraining, loss on dev, first seed",
                &["dev.loss"],
                true,
            )?],
            tables: tables.clone(),
            notes: vec![
                "Cells are means over seeds, with the standard deviation (n - 1) behind them. WER is \
                 the mean over utterances; cos and wasser are contrasts in batches of 4; norm is \
                 equation (3) of arXiv 2412.15712 with chrF in the place of COMET and with the \
                 recipe's bounds, so that its ordering, not its height, compares with the paper's, \
                 which has models of 8 billion parameters and 400 hours of speech."
                    .into(),
            ],
            config_toml: self.resolved.text.clone(),
        };
        report.write(&self.dir.join("report.html"))?;
        Ok(tables)
    }

    /// Summaries of finished runs, by objective.
    fn finished(&self) -> anyhow::Result<Vec<(String, Value)>> {
        let sweep = &self.resolved.recipe.sweep;
        let mut found = Vec::new();
        for objective in &sweep.objectives {
            for seed in &sweep.seeds {
                let path = self.dir.join(objective).join(format!("seed-{seed}/summary.json"));
                if let Ok(text) = std::fs::read_to_string(&path) {
                    let summary = serde_json::from_str(&text)
                        .with_context(|| format!("{}: not JSON", path.display()))?;
                    found.push((objective.clone(), summary));
                }
            }
        }
        Ok(found)
    }
}

/// Refuses a folder whose run is of another recipe.
fn same_recipe(dir: &Path, text: &str) -> anyhow::Result<()> {
    let path = dir.join("recipe.toml");
    let saved = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: cannot read", path.display()))?;
    ensure!(
        saved == text,
        "{}: a run of another recipe, expected this sweep's (hint: --out another folder)",
        dir.display()
    );
    Ok(())
}

/// Shares of the data that runs were fine-tuned on, ascending.
fn shares(found: &[(String, Value)]) -> Vec<String> {
    let mut shares: Vec<String> = Vec::new();
    for (_, summary) in found {
        for share in summary["finetune"].as_object().into_iter().flat_map(Map::keys) {
            if !shares.contains(share) {
                shares.push(share.clone());
            }
        }
    }
    shares.sort_by(|a, b| {
        let number = |text: &str| text.parse::<f64>().unwrap_or(f64::INFINITY);
        number(a).total_cmp(&number(b))
    });
    shares
}

/// A row an objective: means and deviations over seeds, and the paper's normalised average.
fn compared(share: &str, objectives: &[String], found: &[(String, Value)]) -> (Table, Vec<Value>) {
    let mut header = vec!["objective".to_owned()];
    header.extend(headings());
    header.extend(["the paper's norm".to_owned(), "seeds".to_owned()]);
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for objective in objectives {
        let of_seeds: Vec<Vec<Option<f64>>> = found
            .iter()
            .filter(|(own, _)| own == objective)
            .filter_map(|(_, summary)| summary["finetune"].get(share))
            .map(|result| row(&result["test"]))
            .collect();
        if of_seeds.is_empty() {
            continue;
        }
        let columns: Vec<Option<(f64, f64)>> = (0..headings().len())
            .map(|column| {
                let known: Option<Vec<f64>> = of_seeds.iter().map(|row| row[column]).collect();
                known.map(|known| mean_and_deviation(&known))
            })
            .collect();
        let paper = PAPER.iter().find(|(at, name, _)| *at == share && name == objective);
        let mut cells = vec![objective.clone()];
        cells.extend(columns.iter().map(|column| match column {
            None => "-".to_owned(),
            Some((mean, deviation)) if of_seeds.len() > 1 => format!("{mean:.2} ± {deviation:.2}"),
            Some((mean, _)) => format!("{mean:.2}"),
        }));
        cells.push(paper.map_or("-".to_owned(), |(_, _, norm)| format!("{norm:.2}")));
        cells.push(of_seeds.len().to_string());
        rows.push(cells);
        let scores: BTreeMap<String, Value> = headings()
            .into_iter()
            .zip(&columns)
            .filter_map(|(name, column)| {
                let (mean, deviation) = (*column)?;
                Some((name, json!({ "mean": mean, "deviation": deviation })))
            })
            .collect();
        values.push(json!({
            "share_percent": share,
            "objective": objective,
            "seeds": of_seeds.len(),
            "scores": scores,
            "paper_norm": paper.map(|(_, _, norm)| norm),
        }));
    }
    let title = format!("Fine-tuned on {share} % of the data");
    (Table { title, header, rows, ..Table::default() }, values)
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_averaged_and_shares_are_tables() {
        let summary = |wer: f64| {
            let test = json!({ "asr": { "wer_utterance_mean": wer }, "norm_avg": -wer });
            json!({ "finetune": { "100": { "test": test }, "10": { "test": test } } })
        };
        let found = vec![
            ("asr".to_owned(), summary(10.0)),
            ("asr".to_owned(), summary(14.0)),
            ("none".to_owned(), summary(50.0)),
        ];
        assert_eq!(shares(&found), ["10", "100"]);
        let objectives = ["none", "asr", "contr-cos-emb"].map(str::to_owned);
        let (table, rows) = compared("10", &objectives, &found);
        assert_eq!(table.rows.len(), 2, "what has not run has no row");
        assert_eq!(table.rows[0][..3], ["none", "50.00", "-"]);
        assert_eq!(table.rows[1][1], "12.00 ± 2.83");
        let last = &table.rows[1][headings().len()..];
        assert_eq!(last, ["-12.00 ± 2.83", "39.93", "2"]);
        assert_eq!(rows[1]["scores"]["norm"]["mean"], -12.0);
    }
}
