//! Recipes: one TOML file says everything a run needs.
//!
//! ```text
//! defaults  <-  base recipe (inherits = "...")  <-  recipe file  <-  --set key=value
//! ```
//!
//! Later layers win key by key. Unknown keys are refused with the nearest known one, every value
//! remembers which layer decided it, and the resolved text lists all keys in a fixed order, so
//! that two runs can be compared line by line.

mod encoder_layer;
mod hint;
mod library;
mod objective;
mod overrides;
mod ranges;
mod schema;
mod spoken_task;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use toml::{Table, Value};

pub use self::encoder_layer::EncoderLayer;
pub(crate) use self::hint::{did_you_mean, nearest};
pub use self::library::{Library, Listed, resolve_path};
pub use self::objective::{Contrast, Likeness, PretrainObjective, Where};
pub use self::overrides::Origin;
pub use self::schema::{
    Augment, Batch, Checkpoint, Crd, Data, Direction, Encoder, Eval, Finetune, FinetuneKind,
    Instruct, Llm, Lora, Loss, Mixed, Model, Objective, Optim, Output, Pool, Precision, Pretrain,
    Projector, ProjectorKind, Recipe, Schedule, ScheduleKind, ShiftPer, Sweep, Task, Teacher,
    TeacherLayer, Train, Weights,
};
pub use self::spoken_task::{SpokenTask, language};

use self::overrides::{Layers, flatten, lookup, parse_file, parse_set};

/// Problems listed in one message; more are only counted.
const MAX_PROBLEMS: usize = 10;

/// A recipe with all its layers laid, and who decided what.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub recipe: Recipe,
    /// Origin of each full key (`optim.lr`).
    pub origins: BTreeMap<String, Origin>,
    /// The resolved recipe as TOML: every key, fixed order, no comments. Equal texts mean equal
    /// runs, wherever the values came from.
    pub text: String,
    /// The recipe file.
    pub path: PathBuf,
}

/// A key whose value differs between two resolved recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The full key.
    pub key: String,
    /// The value in the first recipe, as TOML; `None` when it has no such key.
    pub before: Option<String>,
    /// The value in the second.
    pub after: Option<String>,
}

impl Recipe {
    /// Loads a recipe by path or by the bare name of a shipped one, and lays `sets`
    /// (`"optim.lr=1e-4"`) over it.
    ///
    /// # Errors
    ///
    /// `FILE:LINE: ...` or `--set: ...` for each unknown key, wrong kind or value out of range;
    /// up to ten problems are reported at once, one a line.
    pub fn load(path_or_name: &str, sets: &[String]) -> anyhow::Result<Resolved> {
        Self::load_from(&Library::standard(), path_or_name, sets)
    }

    /// [`Recipe::load`] with another library of named recipes.
    ///
    /// # Errors
    ///
    /// As [`Recipe::load`].
    pub fn load_from(
        library: &Library,
        path_or_name: &str,
        sets: &[String],
    ) -> anyhow::Result<Resolved> {
        let path = library.find(path_or_name)?;
        let mut layers = Layers::of_defaults();
        let mut problems = Vec::new();
        lay_file(library, &path, &mut layers, &mut problems, &mut Vec::new())?;
        for set in sets {
            let assignment = parse_set(set)?;
            if let Err(problem) = layers.assign(assignment) {
                problems.push(format!("--set: {problem}"));
            }
        }
        refuse(&problems)?;
        resolve(layers, path)
    }

    /// The resolved recipe of a run folder.
    ///
    /// # Errors
    ///
    /// When the folder holds no run, and as [`from_text`](Self::from_text).
    pub fn of_run(run: &Path) -> anyhow::Result<Self> {
        let path = run.join("recipe.toml");
        ensure!(
            path.exists(),
            "{}: not there, expected a run folder (hint: runs/NAME, as train prints it)",
            path.display()
        );
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read", path.display()))?;
        Self::from_text(&text)
    }

    /// Reads the text of a resolved recipe back, as it is kept in a run folder.
    ///
    /// # Errors
    ///
    /// When the text is not TOML or has an unknown key, kind or value.
    pub fn from_text(text: &str) -> anyhow::Result<Self> {
        let path = Path::new("recipe.toml");
        let (_, assignments) = parse_file(path, text)?;
        let mut layers = Layers::of_defaults();
        let problems: Vec<String> = assignments
            .into_iter()
            .filter_map(|assignment| {
                let place = assignment.origin.to_string();
                layers.assign(assignment).err().map(|problem| format!("{place}: {problem}"))
            })
            .collect();
        refuse(&problems)?;
        Ok(resolve(layers, path.to_path_buf())?.recipe)
    }

    /// The recipe as TOML, in the form of [`Resolved::text`].
    ///
    /// # Errors
    ///
    /// Never for values that a recipe file can hold.
    pub fn to_text(&self) -> anyhow::Result<String> {
        Ok(render(&Table::try_from(self)?, |_| None))
    }

    /// The name of the run: `name`, else the stem of the recipe file.
    pub fn run_name(&self, path: &Path) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        path.file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned())
    }
}

impl Resolved {
    /// The resolved recipe as TOML in which each line ends with a comment that says who decided
    /// the value: what `--print-config` shows.
    pub fn render_with_origins(&self) -> String {
        let table = Table::try_from(&self.recipe).expect("a recipe holds only TOML values");
        let comment = |key: &str| self.origins.get(key).map(ToString::to_string);
        render(&table, comment)
    }
}

/// The keys whose values differ between two resolved texts, in the order of the second.
///
/// # Errors
///
/// When either text is not TOML.
pub(crate) fn changes(before: &str, after: &str) -> anyhow::Result<Vec<Change>> {
    let before: Table = toml::from_str(before).context("saved recipe: not valid TOML")?;
    let after: Table = toml::from_str(after).context("recipe: not valid TOML")?;
    let mut keys = Vec::new();
    flatten("", &after, &mut keys);
    let mut old_keys = Vec::new();
    flatten("", &before, &mut old_keys);
    keys.extend(old_keys.into_iter().filter(|key| lookup(&after, key).is_none()));
    let changed = keys.into_iter().filter_map(|key| {
        let (old, new) =
            (lookup(&before, &key).map(format_value), lookup(&after, &key).map(format_value));
        (old != new).then_some(Change { key, before: old, after: new })
    });
    Ok(changed.collect())
}

/// Every key a recipe may set.
#[cfg(test)]
fn known_keys() -> Vec<String> {
    Layers::of_defaults().origins().keys().cloned().collect()
}

/// Lays a file over `layers`, its base first.
fn lay_file(
    library: &Library,
    path: &Path,
    layers: &mut Layers,
    problems: &mut Vec<String>,
    seen: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read recipe", path.display()))?;
    let (inherits, assignments) = parse_file(path, &text)?;
    let identity = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    anyhow::ensure!(
        !seen.contains(&identity),
        "{}: inherits from itself, expected a chain that ends",
        path.display()
    );
    seen.push(identity);
    if let Some(base) = inherits {
        let beside = path.parent().unwrap_or(Path::new("")).join(&base);
        let base = if beside.is_file() { beside } else { library.find(&base)? };
        lay_file(library, &base, layers, problems, seen)?;
    }
    for assignment in assignments {
        let place = assignment.origin.to_string();
        if let Err(problem) = layers.assign(assignment) {
            problems.push(format!("{place}: {problem}"));
        }
    }
    Ok(())
}

fn resolve(layers: Layers, path: PathBuf) -> anyhow::Result<Resolved> {
    let recipe = Recipe::deserialize(Value::Table(layers.values().clone()))
        .with_context(|| format!("{}: not a recipe", path.display()))?;
    let origins = layers.origins().clone();
    let problems: Vec<String> = ranges::violations(&recipe)
        .into_iter()
        .map(|violation| match origins.get(violation.key) {
            None | Some(Origin::Default) => format!("recipe: {}", violation.message),
            Some(origin) => format!("{origin}: {}", violation.message),
        })
        .collect();
    refuse(&problems)?;
    let text = render(layers.values(), |_| None);
    Ok(Resolved { recipe, origins, text, path })
}

/// An error that lists `problems`, or nothing when there are none.
fn refuse(problems: &[String]) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let mut text = problems[..problems.len().min(MAX_PROBLEMS)].join("\n");
    if problems.len() > MAX_PROBLEMS {
        let _ = write!(text, "\nand {} more", problems.len() - MAX_PROBLEMS);
    }
    anyhow::bail!(text)
}

/// The table as TOML, sections in order, comments aligned within a section.
fn render(table: &Table, comment: impl Fn(&str) -> Option<String>) -> String {
    let mut keys = Vec::new();
    flatten("", table, &mut keys);
    let lines: Vec<(&str, String, Option<String>)> = keys
        .iter()
        .map(|key| {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            let value = lookup(table, key).map(format_value).unwrap_or_default();
            (section, format!("{name} = {value}"), comment(key))
        })
        .collect();
    let mut out = String::new();
    for section in lines.chunk_by(|a, b| a.0 == b.0) {
        if !section[0].0.is_empty() {
            let _ = writeln!(out, "\n[{}]", section[0].0);
        }
        let width = section.iter().map(|line| line.1.chars().count()).max().unwrap_or(0).min(60);
        for (_, assignment, comment) in section {
            let _ = match comment {
                Some(comment) => writeln!(out, "{assignment:<width$}  # {comment}"),
                None => writeln!(out, "{assignment}"),
            };
        }
    }
    out
}

/// A value as TOML on one line; numbers in the shortest form that reads back the same.
fn format_value(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_finite() => format!("{x:?}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(format_value).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
