//! A YAML list of flat mappings, as MuST-C has it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use saphyr_parser::{Event, Parser};

/// One mapping of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// Line on which it begins, from 1.
    pub(super) line: usize,
    /// Scalars by key, as written.
    pub(super) values: BTreeMap<String, String>,
}

impl Record {
    /// The scalar under `key`.
    pub(super) fn text(&self, path: &Path, key: &str) -> anyhow::Result<&str> {
        let found = self.values.get(key).map(String::as_str);
        found.with_context(|| {
            let keys: Vec<&str> = self.values.keys().map(String::as_str).collect();
            format!(
                "{}:{}: no `{key}`, expected it beside [{}]",
                path.display(),
                self.line,
                keys.join(", ")
            )
        })
    }

    /// The number under `key`, 0 or more.
    pub(super) fn number(&self, path: &Path, key: &str) -> anyhow::Result<f64> {
        let text = self.text(path, key)?;
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
            _ => bail!(
                "{}:{}: {key} is `{text}`, expected a number, 0 or more",
                path.display(),
                self.line
            ),
        }
    }
}

/// The mappings of a file that is a list of them.
///
/// # Errors
///
/// Names the line that is not YAML, or not a mapping of scalars in one list.
pub(super) fn read_records(path: &Path) -> anyhow::Result<Vec<Record>> {
    let text = super::text::read(path)?;
    let mut records = Vec::new();
    let mut open: Option<Record> = None;
    let mut key: Option<String> = None;
    let mut is_list = false;
    for event in Parser::new_from_str(&text) {
        let (event, span) = event.map_err(|error| {
            anyhow::anyhow!(
                "{}:{}: not YAML: {}",
                path.display(),
                error.marker().line(),
                error.info()
            )
        })?;
        let line = span.start.line();
        match (event, &mut open) {
            (Event::SequenceStart(..), None) if !is_list => is_list = true,
            (Event::MappingStart(..), None) if is_list => {
                open = Some(Record { line, values: BTreeMap::new() });
            }
            (Event::MappingEnd, Some(_)) => records.extend(open.take()),
            (Event::Scalar(value, ..), Some(record)) => match key.take() {
                None => key = Some(value.into_owned()),
                Some(key) => {
                    record.values.insert(key, value.into_owned());
                }
            },
            (
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::SequenceEnd,
                None,
            ) => {}
            _ => bail!(
                "{}:{line}: expected a list of {{key: value}} entries (hint: - {{duration: 1.5, \
                 offset: 0.0, speaker_id: spk.1, wav: ted_1.wav}})",
                path.display()
            ),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<Record>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("dev.yaml");
        std::fs::write(&path, text)?;
        let records = read_records(&path);
        records.map_err(|error| {
            let text = format!("{error:#}");
            anyhow::Error::msg(text.replace(&format!("{}/", folder.path().display()), ""))
        })
    }

    #[test]
    fn flow_and_block_style_read_alike_and_know_their_lines() {
        let flow = "- {duration: 3.5, offset: 16.08, rW: 9, speaker_id: spk.1, wav: 'ted 1.wav'}\n\
                    - {duration: 1, offset: 20, rW: 1, speaker_id: spk.1, wav: ted_1.wav}\n";
        let block = "- duration: 3.5\n  offset: 16.08\n  rW: 9\n  speaker_id: spk.1\n  \
                     wav: \"ted 1.wav\"\n- {duration: 1, offset: 20, rW: 1, speaker_id: spk.1, \
                     wav: ted_1.wav}\n";
        let (flow, block) = (read(flow).unwrap(), read(block).unwrap());
        let lines = |records: &[Record]| -> Vec<usize> { records.iter().map(|r| r.line).collect() };
        assert_eq!((lines(&flow), lines(&block)), (vec![1, 2], vec![1, 6]));
        let values = |records: Vec<Record>| -> Vec<_> {
            records.into_iter().map(|record| record.values).collect()
        };
        let (flow, block) = (values(flow), values(block));
        assert_eq!(flow, block);
        assert_eq!(flow[0]["wav"], "ted 1.wav");
        assert!(read("").unwrap().is_empty() && read("[]\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_of_entries_is_refused_with_its_line() {
        for (text, said) in [
            ("a: 1\n", "dev.yaml:1: expected a list of {key: value} entries"),
            ("- {a: 1}\n- {a: [1]}\n", "dev.yaml:2: expected a list of"),
            ("- {a: 1}\n- {a: 1\n", "dev.yaml:"),
            ("- 7\n", "dev.yaml:1: expected a list of"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        let record = &read("- {a: 1}\n- {offset: x}\n").unwrap()[1];
        let path = Path::new("dev.yaml");
        let error = record.number(path, "offset").unwrap_err().to_string();
        assert_eq!(error, "dev.yaml:2: offset is `x`, expected a number, 0 or more");
        let error = record.text(path, "wav").unwrap_err().to_string();
        assert_eq!(error, "dev.yaml:2: no `wav`, expected it beside [offset]");
    }
}
