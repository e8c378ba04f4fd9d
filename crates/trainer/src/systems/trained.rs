//! What experiments with one model have in common: a run, its best weights, summary and report.

use serde_json::{Value, json};

use super::{Ending, Experiment, outcome_json, present, restore};
use crate::report::{Curve, Report};
use crate::tasks::Task;
use crate::training::{Outcome, train};

/// A finished run whose best weights are in place.
pub(super) struct Trained {
    outcome: Outcome,
    /// Step of the checkpoint whose weights they are.
    best_step: u64,
    /// Scalars in what was trained or saved.
    parameters: usize,
}

/// What an experiment found, for its summary and its report.
pub(super) struct Findings {
    /// What was trained, for people.
    pub(super) subtitle: &'static str,
    /// Scores on the test set, a group at a time; null without one.
    pub(super) test: Value,
    pub(super) curves: Vec<Curve>,
    pub(super) notes: Vec<String>,
}

impl Experiment<'_> {
    /// Trains `task` in the experiment's folder and sets its best weights; `None` when the user
    /// stopped it.
    pub(super) fn train_one<T: Task>(&self, task: &mut T) -> anyhow::Result<Option<Trained>> {
        let recipe = &self.resolved.recipe;
        let parameters = task.parameters().total();
        self.host.say(&format!("model: {parameters} parameters"));
        let options = self.options(&self.dir, recipe.task.name(), &self.resolved.text);
        let outcome = train(task, recipe, &options)?;
        if outcome.interrupted {
            return Ok(None);
        }
        let best_step = restore(&self.dir, recipe, task.parameters())?;
        Ok(Some(Trained { outcome, best_step, parameters }))
    }

    /// Writes `summary.json` and `report.html`.
    pub(super) fn conclude(&self, trained: &Trained, found: Findings) -> anyhow::Result<Ending> {
        let (resolved, dir) = (self.resolved, &self.dir);
        let Trained { outcome, best_step, parameters } = trained;
        let mut summary = outcome_json(outcome, *parameters);
        summary.insert("best_step".into(), json!(best_step));
        summary.insert("task".into(), json!(resolved.recipe.task.name()));
        summary.insert("test".into(), found.test.clone());
        present::write_summary(&dir.join("summary.json"), &Value::Object(summary))?;

        let report = Report {
            title: resolved.recipe.run_name(&resolved.path),
            subtitle: found.subtitle.into(),
            facts: vec![
                ("steps".into(), outcome.step.to_string()),
                ("training time".into(), present::minutes(outcome.seconds)),
                ("parameters".into(), parameters.to_string()),
            ],
            curves: found.curves,
            tables: vec![present::table_of_groups("Test set", &found.test)],
            notes: found.notes,
            config_toml: resolved.text.clone(),
        };
        report.write(&dir.join("report.html"))?;
        Ok(Ending::Done(report.tables))
    }
}
