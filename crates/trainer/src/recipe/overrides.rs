//! Layers of values: defaults, then recipe files, then the command line.
//!
//! The table of defaults doubles as the schema: a key exists when the defaults have it, and its
//! kind is the kind of its default. So one place, [`Recipe::default`], decides what is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use super::hint::{did_you_mean, nearest, nearest_key};
use super::schema::{Recipe, choices};

/// Who decided the value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody; it is the built-in default.
    Default,
    /// A recipe file.
    File {
        /// The file, as it was found.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
    },
    /// `--set` on the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// One `key = value` to lay over what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Full dotted key, `optim.lr`.
    pub key: String,
    /// The value as written.
    pub value: Value,
    /// The text of the value where it came from the command line: a key that holds a string
    /// takes it as it is, so that `--set name=7` needs no quotes.
    pub raw: Option<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// Reads `a.b=c` of the command line.
///
/// The value is TOML (`1e-4`, `true`, `["a", "b"]`, `"quoted"`); what is not TOML is a string.
///
/// # Errors
///
/// When there is no `=` or no key before it.
pub fn parse_set(text: &str) -> anyhow::Result<Assignment> {
    let Some((key, raw)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        anyhow::bail!("--set `{text}`: expected key=value (hint: --set optim.lr=1e-4)");
    };
    let raw = raw.trim();
    let value = (!raw.contains('\n'))
        .then(|| toml::from_str::<Table>(&format!("v = {raw}")).ok()?.remove("v"))
        .flatten()
        .unwrap_or_else(|| Value::String(raw.to_string()));
    Ok(Assignment {
        key: key.trim().to_string(),
        value,
        raw: Some(raw.to_string()),
        origin: Origin::CommandLine,
    })
}

/// A full table of values and the origin of each.
#[derive(Debug, Clone)]
pub struct Layers {
    defaults: Table,
    values: Table,
    origins: BTreeMap<String, Origin>,
    keys: Vec<String>,
}

impl Layers {
    /// Nothing but defaults.
    pub fn of_defaults() -> Self {
        let defaults = default_table();
        let mut keys = Vec::new();
        flatten("", &defaults, &mut keys);
        let origins = keys.iter().map(|key| (key.clone(), Origin::Default)).collect();
        Self { values: defaults.clone(), defaults, origins, keys }
    }

    /// Lays one value over what is there.
    ///
    /// # Errors
    ///
    /// A message without a place when the key is unknown or the value of the wrong kind.
    pub fn assign(&mut self, assignment: Assignment) -> Result<(), String> {
        let Assignment { key, value, raw, origin } = assignment;
        let known = match lookup(&self.defaults, &key) {
            Some(Value::Table(section)) => {
                // `--set loss.crd={ dim = 64 }` sets the keys one by one.
                if let Value::Table(inner) = value {
                    return inner.into_iter().try_for_each(|(name, value)| {
                        let key = format!("{key}.{name}");
                        self.assign(Assignment { key, value, raw: None, origin: origin.clone() })
                    });
                }
                let names: Vec<&str> = section.keys().map(String::as_str).collect();
                return Err(format!(
                    "{key} is a section, expected one of its keys: {}",
                    names.join(", ")
                ));
            }
            Some(known) => known,
            None => {
                let hint = did_you_mean(nearest_key(&key, &self.keys));
                return Err(format!("recipe: no key {key}{hint}"));
            }
        };
        let value = match (known, raw) {
            (Value::String(_), Some(raw)) if !value.is_str() && key != "teacher.layer" => {
                Value::String(raw)
            }
            _ => value,
        };
        let value = coerce(&key, value, known)?;
        *lookup_mut(&mut self.values, &key).ok_or("the defaults hold every known key")? = value;
        self.origins.insert(key, origin);
        Ok(())
    }

    /// All values, in the order of the schema.
    pub fn values(&self) -> &Table {
        &self.values
    }

    /// Who decided each full key.
    pub fn origins(&self) -> &BTreeMap<String, Origin> {
        &self.origins
    }
}

/// The assignments a recipe file makes, with their lines, and the recipe it inherits from.
///
/// # Errors
///
/// `FILE:LINE: not valid TOML: ...`.
pub fn parse_file(
    path: &std::path::Path,
    text: &str,
) -> anyhow::Result<(Option<String>, Vec<Assignment>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_at = |at: usize| {
        1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&b| b == b'\n').count()
    };
    let spanned = toml::de::DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        anyhow::anyhow!("{}:{line}: not valid TOML: {}", path.display(), error.message())
    })?;
    let mut lines = BTreeMap::new();
    collect_lines("", spanned.get_ref(), &line_at, &mut lines);
    let mut table: Table = toml::from_str(text).map_err(|error| {
        anyhow::anyhow!("{}: not valid TOML: {}", path.display(), error.message())
    })?;

    let inherits = match table.remove("inherits") {
        None => None,
        Some(Value::String(base)) => Some(base),
        Some(other) => anyhow::bail!(
            "{}:{}: inherits is {}, expected the name or path of a recipe",
            path.display(),
            lines.get("inherits").copied().unwrap_or(1),
            describe(&other),
        ),
    };
    let mut assignments = Vec::new();
    collect_assignments("", table, &mut |key, value| {
        let line = lines.get(&key).copied().unwrap_or(1);
        let origin = Origin::File { path: path.to_path_buf(), line };
        assignments.push(Assignment { key, value, raw: None, origin });
    });
    Ok((inherits, assignments))
}

/// The defaults as a table.
fn default_table() -> Table {
    Table::try_from(Recipe::default()).expect("the defaults hold only TOML values")
}

/// Full keys of all leaves, in order: plain keys of a table before its sub-tables.
pub(super) fn flatten(prefix: &str, table: &Table, keys: &mut Vec<String>) {
    for (name, _) in table.iter().filter(|(_, value)| !value.is_table()) {
        keys.push(join(prefix, name));
    }
    for (name, value) in table {
        if let Value::Table(inner) = value {
            flatten(&join(prefix, name), inner, keys);
        }
    }
}

/// The value at a full dotted key.
pub(super) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn lookup_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup_mut(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.get_mut(key),
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

fn collect_lines(
    prefix: &str,
    table: &toml::de::DeTable<'_>,
    line_at: &impl Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    for (name, value) in table.iter() {
        let key = join(prefix, name.get_ref());
        lines.insert(key.clone(), line_at(name.span().start));
        if let Some(inner) = value.get_ref().as_table() {
            collect_lines(&key, inner, line_at, lines);
        }
    }
}

fn collect_assignments(prefix: &str, table: Table, push: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = join(prefix, &name);
        match value {
            Value::Table(inner) => collect_assignments(&key, inner, push),
            value => push(key, value),
        }
    }
}

/// `value` as the kind its key holds, or a message that says what was expected.
fn coerce(key: &str, value: Value, known: &Value) -> Result<Value, String> {
    match (known, value) {
        (Value::Array(items), Value::Array(values)) => {
            if key == "optim.betas" && values.len() != 2 {
                return Err(format!("{key} has {} values, expected 2", values.len()));
            }
            let item = match items.first() {
                Some(item) => item.clone(),
                // The one list of numbers whose default is empty.
                None if key == "data.weights" => Value::Float(0.0),
                None => Value::String(String::new()),
            };
            let values = values.into_iter().map(|value| coerce(key, value, &item));
            values.collect::<Result<_, _>>().map(Value::Array)
        }
        (Value::Array(_), value) if !value.is_table() => {
            coerce(key, Value::Array(vec![value]), known)
        }
        (Value::Float(_), Value::Integer(value)) => Ok(Value::Float(value as f64)),
        (Value::Integer(_), Value::Integer(value)) if value < 0 => {
            Err(format!("{key} is {value}, expected 0 or more"))
        }
        (Value::String(_), value) if key == "teacher.layer" => match &value {
            Value::Integer(index) if *index >= 0 => Ok(value),
            Value::String(name) if name == "last" => Ok(value),
            other => {
                Err(format!("{key} is {}, expected \"last\" or an index from 0", describe(other)))
            }
        },
        (Value::String(_), Value::String(text)) => match choices(key) {
            Some(names) if !names.contains(&text.as_str()) => Err(format!(
                "{key} is `{text}`, expected one of {}{}",
                names.join(", "),
                did_you_mean(nearest(&text, names.iter().copied())),
            )),
            _ => Ok(Value::String(text)),
        },
        (known, value) if known.same_type(&value) => Ok(value),
        (known, value) => {
            Err(format!("{key} is {}, expected {}", describe(&value), kind_name(known)))
        }
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string `{text}`"),
        Value::Array(_) | Value::Table(_) => kind_name(value).to_string(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            value.to_string()
        }
    }
}
