//! Other libraries on the same shapes, in the same run.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::budget::remaining;
use super::bundle::Bundle;
use super::findings::Findings;
use super::options::Options;
use super::programs::{self, Ending, tail};
use super::record::Row;
use crate::percentiles;

/// Names that the script knows, most important first.
pub(super) const LIBRARIES: [&str; 4] = ["torch", "ott", "geomloss", "pot"];

/// Asks each library in a process of its own, so that one that breaks or hangs leaves the others
/// theirs.
pub(super) fn run(
    bundle: &Bundle,
    options: &Options,
    until: Instant,
    rows: &mut Vec<Row>,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let output = std::env::temp_dir().join(format!("gpu-check-peers-{}", std::process::id()));
    for (at, library) in LIBRARIES.iter().enumerate() {
        let left = remaining(until);
        if left.is_zero() {
            findings.left_out.push(format!("peers: {library}, time was up"));
            continue;
        }
        let part = left.mul_f64(if at == 0 { 0.6 } else { 0.5 });
        let mut command = Command::new(&options.python);
        command.arg(bundle.peers()).arg(library);
        command.args(["--seconds", &format!("{:.1}", 0.9 * part.as_secs_f64())]);
        if options.emulate {
            command.arg("--rehearse");
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        // jax would take most of the card's memory at once.
        command.env("XLA_PYTHON_CLIENT_PREALLOCATE", "false");
        let ending = match programs::run(&mut command, &output, Instant::now() + part) {
            Ok(ending) => ending,
            Err(error) => {
                findings.left_out.push(format!("peers: {error:#} (hint: --python NAME)"));
                break;
            }
        };
        let text = fs::read_to_string(&output).unwrap_or_default();
        let before = rows.len();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            match row(&value) {
                Ok(row) => {
                    println!("{} {}: {:.1} us", row.who, row.shape, row.us[1]);
                    rows.push(row);
                }
                Err(why) => findings.left_out.push(format!("peers: {library}: {why}")),
            }
        }
        match ending {
            Ending::OutOfTime => {
                findings.left_out.push(format!("peers: {library}, stopped when its time was up"));
            }
            Ending::Ended(false) => {
                findings.left_out.push(format!("peers: {library}: {}", tail(&text, 2)));
            }
            Ending::Ended(true) => {}
        }
        findings.lines.push(format!("{library}: {} timings.", rows.len() - before));
    }
    // It lies in a folder for such files.
    let _ = fs::remove_file(&output);
    Ok(findings)
}

/// A row from a line of the script, or why there is none.
fn row(line: &Value) -> Result<Row, String> {
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    if let Some(why) = line["left_out"].as_str() {
        return Err([word("form"), word("shape"), why.to_owned()].join(" ").trim().to_owned());
    }
    let samples: Vec<f64> =
        line["us"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if samples.is_empty() {
        return Err(format!("{} {}: no times", word("form"), word("shape")));
    }
    Ok(Row {
        op: word("op"),
        shape: word("shape"),
        variant: word("variant"),
        extents: word("extents"),
        who: word("form"),
        what: "call, warm L2".into(),
        us: percentiles(&samples),
        samples: samples.len(),
        note: format!("{}; {}", word("how"), word("version")),
        ..Row::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_row_or_a_reason() {
        let line = json!({"op": "sinkhorn", "shape": "S2", "form": "torch log", "us": [3.0, 1.0, 2.0],
                          "how": "CUDA events", "version": "torch 2"});
        let timed = row(&line).unwrap();
        assert_eq!((timed.us[1], timed.samples, timed.who.as_str()), (2.0, 3, "torch log"));
        assert_eq!(timed.note, "CUDA events; torch 2");
        let reason = row(&json!({"form": "torch log", "shape": "S2", "left_out": "out of memory"}));
        assert_eq!(reason.unwrap_err(), "torch log S2 out of memory");
        assert_eq!(
            row(&json!({"form": "f", "shape": "s", "us": []})).unwrap_err(),
            "f s: no times"
        );
    }
}
