//! From JSON lines to utterances.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value};

use super::{ManifestSpec, Place, Utterance};

/// What each field is called in the manifests of this field's toolkits, ours first.
const ID_NAMES: &[&str] = &["id", "key"];
const AUDIO_NAMES: &[&str] = &["audio", "audio_filepath", "source"];
const OFFSET_NAMES: &[&str] = &["offset", "offset_s"];
const DURATION_NAMES: &[&str] = &["duration", "duration_s"];
const TEXT_NAMES: &[&str] = &["text", "target"];

/// Distinct values named when a filter matches nothing.
const MAX_VALUES_NAMED: usize = 8;

/// Reads the lines of a manifest that meet its conditions, in file order.
///
/// A byte order mark and blank lines are passed over. A line without an id takes the sound
/// file's stem, with `@OFFSET` behind it when it has an offset, or `line-N` when it has no audio.
///
/// # Errors
///
/// `FILE:LINE: ...` for the first line that is not a JSON object, has a field of the wrong kind
/// or out of range, has neither audio nor text, or repeats an id; and when no line is left.
pub fn read(spec: &str) -> anyhow::Result<Vec<Utterance>> {
    read_all([spec])
}

/// Reads several manifests one after the other; ids are unique across all of them.
///
/// # Errors
///
/// As [`read`].
pub fn read_all<S: AsRef<str>>(
    specs: impl IntoIterator<Item = S>,
) -> anyhow::Result<Vec<Utterance>> {
    let mut all = Vec::new();
    let mut places: HashMap<String, Place> = HashMap::new();
    for spec in specs {
        let spec = ManifestSpec::parse(spec.as_ref())?;
        let before = all.len();
        for line in parse_lines(&spec.path)? {
            let utterance = line?;
            if spec.accepts(&utterance) {
                if let Some(first) = places.get(&utterance.id) {
                    anyhow::bail!(duplicate(&utterance, first));
                }
                places.insert(utterance.id.clone(), utterance.place.clone());
                all.push(utterance);
            }
        }
        anyhow::ensure!(all.len() > before, "{}", nothing_left(&spec)?);
    }
    Ok(all)
}

/// Every line of a manifest, each read or refused on its own.
///
/// # Errors
///
/// When the file cannot be read as UTF-8 text.
pub(super) fn parse_lines(
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Utterance>>> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{}: cannot read manifest", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        anyhow::anyhow!("{}:{line}: not UTF-8 text (hint: convert the file)", path.display())
    })?;
    let file: Arc<Path> = path.into();
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let lines: Vec<(usize, String)> = text
        .strip_prefix('\u{feff}')
        .unwrap_or(&text)
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| (index + 1, line.to_string()))
        .collect();
    Ok(lines.into_iter().map(move |(line, text)| {
        let place = Place { file: Arc::clone(&file), line };
        let at = place.clone();
        parse_line(&text, place, &folder).map_err(|what| anyhow::anyhow!("{at}: {what}"))
    }))
}

/// The message for an id that is there twice.
pub(super) fn duplicate(utterance: &Utterance, first: &Place) -> String {
    let Utterance { id, place, .. } = utterance;
    format!("{place}: id is `{id}`, expected a new one, it is also at {first}")
}

fn parse_line(text: &str, place: Place, folder: &Path) -> Result<Utterance, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let detail = error.to_string();
        let detail = detail.split(" at line ").next().unwrap_or_default();
        format!("not JSON: {detail} at column {}", error.column())
    })?;
    let Value::Object(mut fields) = value else {
        return Err(format!("line is {}, expected a JSON object", kind_name(&value)));
    };

    let audio = take(&mut fields, AUDIO_NAMES)
        .map(|(name, value)| string(name, value))
        .transpose()?
        .filter(|path| !path.is_empty())
        .map(|path| folder.join(path));
    let text = take(&mut fields, TEXT_NAMES)
        .map(|(name, value)| string(name, value))
        .transpose()?
        .unwrap_or_default();
    let offset = take(&mut fields, OFFSET_NAMES)
        .map(|(name, value)| number(name, &value, "0 or more", |x| x >= 0.0))
        .transpose()?;
    let duration_s = take(&mut fields, DURATION_NAMES)
        .map(|(name, value)| number(name, &value, "> 0", |x| x > 0.0))
        .transpose()?;
    let id = match take(&mut fields, ID_NAMES) {
        Some((_, Value::Number(number))) => number.to_string(),
        Some((name, value)) => string(name, value)?,
        None => default_id(audio.as_ref(), offset, place.line),
    };
    if id.is_empty() {
        return Err("id is empty, expected a unique name".into());
    }
    if audio.is_none() && text.is_empty() {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(format!(
            "line has neither audio nor text, expected one of them, got fields [{}]",
            names.join(", ")
        ));
    }
    let offset_s = offset.unwrap_or(0.0);
    Ok(Utterance { id, audio, offset_s, duration_s, text, extra: fields, place })
}

fn default_id(audio: Option<&PathBuf>, offset: Option<f64>, line: usize) -> String {
    let stem = audio.and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy());
    match (stem, offset) {
        (Some(stem), Some(offset)) => format!("{stem}@{offset}"),
        (Some(stem), None) => stem.into_owned(),
        (None, _) => format!("line-{line}"),
    }
}

/// Takes the first field that goes by one of `names`; null counts as absent.
fn take<'a>(fields: &mut Map<String, Value>, names: &[&'a str]) -> Option<(&'a str, Value)> {
    let name = names.iter().find(|&&name| fields.get(name).is_some_and(|v| !v.is_null()))?;
    // Keeps the order of what stays.
    Some((name, fields.shift_remove(*name)?))
}

fn string(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{name} is {}, expected a string", kind_name(&other))),
    }
}

fn number(
    name: &str,
    value: &Value,
    expected: &str,
    holds: impl Fn(f64) -> bool,
) -> Result<f64, String> {
    const HINT: &str = "(hint: data validate FILE lists every bad line)";
    match value {
        Value::Number(number) => {
            let x = number.as_f64().unwrap_or(f64::NAN);
            if x.is_finite() && holds(x) {
                Ok(x)
            } else {
                Err(format!("{name} is {number}, expected {expected} {HINT}"))
            }
        }
        Value::String(text) if text.trim().parse::<f64>().is_ok() => {
            Err(format!("{name} is the string `{text}`, expected a number (hint: drop the quotes)"))
        }
        other => Err(format!("{name} is {}, expected a number", kind_name(other))),
    }
}

fn kind_name(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the string `{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// The message for a manifest of which no line is left.
pub(super) fn nothing_left(spec: &ManifestSpec) -> anyhow::Result<String> {
    let path = spec.path.display();
    let utterances: Vec<Utterance> = parse_lines(&spec.path)?.collect::<anyhow::Result<_>>()?;
    if utterances.is_empty() {
        return Ok(format!("{path}: manifest is empty, expected at least one line"));
    }
    let mut parts = Vec::new();
    for filter in &spec.filters {
        let seen: BTreeSet<_> = utterances.iter().filter_map(|u| u.field(&filter.field)).collect();
        let mut named: Vec<&str> =
            seen.iter().take(MAX_VALUES_NAMED).map(|value| value.as_ref()).collect();
        if seen.len() > MAX_VALUES_NAMED {
            named.push("...");
        }
        parts.push(match named.is_empty() {
            true => format!("no line has {}", filter.field),
            false => format!("{} is one of {}", filter.field, named.join(", ")),
        });
    }
    let wanted: Vec<String> =
        spec.filters.iter().map(|f| format!("{}={}", f.field, f.values.join("|"))).collect();
    Ok(format!("{path}: no line has {} (hint: {})", wanted.join(","), parts.join("; ")))
}
