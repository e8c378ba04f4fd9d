//! What every experiment writes at its end.

use std::path::Path;

use serde_json::{Value, json};

use crate::atomic;
use crate::log::read_series;
use crate::manifest::Utterance;
use crate::report::{Curve, Table};

/// Writes `summary.json`.
pub(super) fn write_summary(path: &Path, summary: &Value) -> anyhow::Result<()> {
    atomic::write(path, |file| {
        serde_json::to_writer_pretty(&mut *file, summary)?;
        Ok(file.write_all(b"\n")?)
    })
}

/// Writes one JSON line an utterance: id, reference and hypothesis.
pub(crate) fn write_transcripts(
    path: &Path,
    utterances: &[Utterance],
    texts: &[String],
) -> anyhow::Result<()> {
    atomic::write(path, |file| {
        for (utterance, text) in utterances.iter().zip(texts) {
            let line = json!({ "id": utterance.id, "text": utterance.text, "hypothesis": text });
            writeln!(file, "{line}")?;
        }
        Ok(())
    })
}

/// Series of a run folder's metrics as one plot; a series without points is left out.
pub(super) fn curve(dir: &Path, title: &str, names: &[&str], log_y: bool) -> anyhow::Result<Curve> {
    curve_of_runs(&[("", dir)], title, names, log_y)
}

/// The same series of several runs in one plot; a label goes before the name of each.
pub(super) fn curve_of_runs(
    runs: &[(&str, &Path)],
    title: &str,
    names: &[&str],
    log_y: bool,
) -> anyhow::Result<Curve> {
    let mut series = Vec::new();
    for (label, dir) in runs {
        for name in names {
            let points = read_series(&dir.join("metrics.jsonl"), name)?;
            if !points.is_empty() {
                let shown = match (label.is_empty(), names.len()) {
                    (true, _) => (*name).to_owned(),
                    (false, 1) => (*label).to_owned(),
                    (false, _) => format!("{label} {name}"),
                };
                series.push((shown, points));
            }
        }
    }
    let (title, y_label) = (title.to_owned(), names.first().copied().unwrap_or("").to_owned());
    Ok(Curve { title, series, x_label: "step".into(), y_label, log_y })
}

/// A table with a row for each object of an object, and a column for each of their fields.
pub(super) fn table_of_groups(title: &str, groups: &Value) -> Table {
    let mut header = vec![String::new()];
    let mut rows = Vec::new();
    for (name, group) in groups.as_object().into_iter().flatten() {
        let Some(fields) = group.as_object() else { continue };
        if header.len() == 1 {
            header.extend(fields.keys().cloned());
        }
        let mut row = vec![name.replace('_', " ")];
        row.extend(header[1..].iter().map(|key| cell(fields.get(key))));
        rows.push(row);
    }
    Table { title: title.into(), header, rows, ..Table::default() }
}

/// A JSON value as a table cell; fractions with four digits.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.4}", number.as_f64().unwrap_or(f64::NAN))
        }
        Some(other) => other.to_string(),
    }
}

/// A duration for people.
pub(super) fn minutes(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s => format!("{:.1} min", s / 60.0),
    }
}
