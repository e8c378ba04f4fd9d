//! JSONL manifests: one utterance a line.
//!
//! ```text
//! {"id": "a-1", "audio": "audio/a-1.flac", "offset": 0.5, "duration": 3.2, "text": "..."}
//! ```
//!
//! `id`, `audio`, `offset`, `duration` and `text` have a meaning; every other field is kept as it
//! is in [`Utterance::extra`]. NeMo's `audio_filepath` and SLAM-LLM's `key`, `source`, `target`
//! are read under our names. Audio paths are relative to the manifest's folder. Lines without
//! audio are text-only utterances.
//!
//! A manifest is named by a [`ManifestSpec`]: a path and, after `#`, fields that lines must have:
//! `corpus.jsonl#split=train,gender=f|m`.

mod describe;
mod read;
mod validate;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::describe::{Casing, Description, FieldSummary, describe};
pub use self::read::{read, read_all};
pub use self::validate::{Header, Problem, Validation, ValidationOptions, validate};

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Unique name; see [`read`] for lines that have none.
    pub id: String,
    /// Sound file, resolved against the manifest's folder; `None` for a text-only line.
    pub audio: Option<PathBuf>,
    /// Start within the sound file, in seconds.
    pub offset_s: f64,
    /// Length in seconds; `None` means up to the end of the file.
    pub duration_s: Option<f64>,
    /// Transcript; empty when the line has none.
    pub text: String,
    /// All other fields, as written.
    pub extra: Map<String, Value>,
    /// Where the line is.
    pub place: Place,
}

/// A line of a manifest; prints as `train.jsonl:8812`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The manifest, as it was named.
    pub file: Arc<Path>,
    /// Line number, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Utterance {
    /// The field `name` as text: `text` and `id` themselves, any other from
    /// [`extra`](Self::extra), numbers and booleans as JSON writes them. `None` when the line
    /// lacks it, or it is null, a list or an object.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "text" if !self.text.is_empty() => Some(Cow::Borrowed(&self.text)),
            "id" => Some(Cow::Borrowed(&self.id)),
            _ => self.extra.get(name).and_then(scalar_text),
        }
    }
}

/// A scalar JSON value as text.
fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A manifest and the fields that its lines must have to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSpec {
    /// The file.
    pub path: PathBuf,
    /// Conditions that must all hold.
    pub filters: Vec<Filter>,
}

/// A field and the values it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Name of the field.
    pub field: String,
    /// Accepted values, compared as text.
    pub values: Vec<String>,
}

impl ManifestSpec {
    /// Reads `path`, `path#field=value` or `path#a=x|y,b=z`.
    ///
    /// A `#` with no `=` after it belongs to the path. The path is resolved as in a recipe, see
    /// [`crate::recipe::resolve_path`].
    ///
    /// # Errors
    ///
    /// When a condition after `#` has no `=` or an empty field name.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (path, conditions) = match text.rsplit_once('#') {
            Some((path, conditions)) if conditions.contains('=') => (path, conditions),
            _ => (text, ""),
        };
        let filters = conditions
            .split(',')
            .filter(|condition| !condition.is_empty())
            .map(|condition| match condition.split_once('=') {
                Some((field, values)) if !field.trim().is_empty() => Ok(Filter {
                    field: field.trim().to_string(),
                    values: values.split('|').map(|value| value.trim().to_string()).collect(),
                }),
                _ => anyhow::bail!(
                    "manifest `{text}`: condition is `{condition}`, expected field=value \
                     (hint: file.jsonl#split=train)"
                ),
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { path: crate::recipe::resolve_path(path), filters })
    }

    /// Whether `utterance` meets every condition.
    pub fn accepts(&self, utterance: &Utterance) -> bool {
        self.filters.iter().all(|filter| {
            let value = utterance.field(&filter.field);
            value.is_some_and(|value| filter.values.iter().any(|wanted| *wanted == *value))
        })
    }
}
