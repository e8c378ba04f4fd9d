//! `metrics.jsonl`: one JSON object a line, `step` first.
//!
//! A resumed run continues the file of the broken one. Lines past the checkpoint it resumes from
//! describe steps that will be taken again, so they are cut off first, together with a last line
//! that a kill left unfinished; the file then reads as that of an unbroken run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

use crate::atomic;

/// An open metrics file. Every line is handed to the system as soon as it is complete.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Starts a new file, replacing an old one.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let path = path.into();
        let file = File::create(&path)
            .with_context(|| format!("{}: cannot create metrics file", path.display()))?;
        Ok(Self { path, file })
    }

    /// Continues a file after step `last_step`: lines of later steps and an unfinished last line
    /// are removed. A file that is missing is made.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn resume(path: impl Into<PathBuf>, last_step: u64) -> anyhow::Result<Self> {
        let path = path.into();
        if !path.exists() {
            return Self::create(path);
        }
        let bytes = std::fs::read(&path)
            .with_context(|| format!("{}: cannot read metrics file", path.display()))?;
        let kept: Vec<&[u8]> = bytes
            .split_inclusive(|&byte| byte == b'\n')
            .take_while(|line| {
                line.ends_with(b"\n") && step_of(line).is_none_or(|s| s <= last_step)
            })
            .collect();
        if kept.iter().map(|line| line.len()).sum::<usize>() < bytes.len() {
            atomic::write(&path, |out| Ok(out.write_all(&kept.concat())?))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("{}: cannot append to metrics file", path.display()))?;
        Ok(Self { path, file })
    }

    /// Appends one line: `step`, then `fields` in their order. Numbers that are not finite become
    /// null, as JSON has no word for them.
    ///
    /// # Errors
    ///
    /// When the line cannot be written, as on a full disk.
    pub fn append<'a>(
        &mut self,
        step: u64,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> anyhow::Result<()> {
        let mut line = Map::new();
        line.insert("step".into(), step.into());
        line.extend(fields.into_iter().map(|(name, value)| (name.to_string(), value)));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // One write, so that a kill cuts at most this line.
        self.file.write_all(text.as_bytes()).with_context(|| {
            format!("{}: cannot write metrics of step {step}", self.path.display())
        })
    }
}

/// The points (step, value) of the field `name` in a metrics file, for plotting. Lines that lack
/// the field or have null there are passed over, and so is an unfinished last line.
///
/// # Errors
///
/// When the file cannot be read.
pub fn read_series(path: &Path, name: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read metrics file", path.display()))?;
    let point = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some((value.get("step")?.as_f64()?, value.get(name)?.as_f64()?))
    };
    Ok(text.lines().filter_map(point).collect())
}

fn step_of(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_the_step_and_keep_the_order_of_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        log.append(3, [("z", 1.5.into()), ("a", f64::NAN.into()), ("m", "x".into())]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":3,\"z\":1.5,\"a\":null,\"m\":\"x\"}\n");
    }

    #[test]
    fn a_resumed_file_reads_as_that_of_an_unbroken_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |step: u64| [("loss", Value::from(1.0 / (step + 1) as f64))];
        let mut unbroken = MetricsLog::create(folder.path().join("unbroken.jsonl")).unwrap();
        let mut log = MetricsLog::create(&path).unwrap();
        for step in 0..10 {
            unbroken.append(step, line(step)).unwrap();
            log.append(step, line(step)).unwrap();
        }
        log.file.write_all(b"{\"step\":10,\"lo").unwrap();
        drop(log);
        let mut log = MetricsLog::resume(&path, 6).unwrap();
        for step in 7..10 {
            log.append(step, line(step)).unwrap();
        }
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("metrics.jsonl"), read("unbroken.jsonl"));
        assert_eq!(read_series(&path, "loss").unwrap()[9], (9.0, 0.1));
        assert_eq!(read_series(&path, "absent").unwrap(), []);
    }

    #[test]
    fn only_an_unfinished_line_is_cut_when_nothing_is_past_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2").unwrap();
        MetricsLog::resume(&path, 100).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"step\":1}\n");
        let fresh = folder.path().join("fresh.jsonl");
        MetricsLog::resume(&fresh, 5).unwrap();
        assert!(fresh.exists());
    }
}
