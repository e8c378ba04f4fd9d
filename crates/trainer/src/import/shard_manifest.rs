//! The manifest of shards that hold sound alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

use super::text;

/// What a manifest tells of the entries of shards.
pub(super) struct ShardManifest {
    path: PathBuf,
    /// Fields of a line by the entry that it names.
    lines: HashMap<String, Map<String, Value>>,
}

impl ShardManifest {
    /// Reads JSON lines with `audio_filepath`.
    ///
    /// # Errors
    ///
    /// Names the line that has none, or one that a line before it has.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        const NAME: &str = "audio_filepath";
        let mut lines = HashMap::new();
        for (index, line) in text::read(path)?.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("{}:{}", path.display(), index + 1);
            let fields: Result<Map<String, Value>, _> = serde_json::from_str(line);
            let mut fields = fields.with_context(|| format!("{place}: not a JSON object"))?;
            let Some(Value::String(name)) = fields.shift_remove(NAME) else {
                bail!("{place}: no {NAME}, expected the name of an entry");
            };
            let again = format!("{place}: {NAME} is `{name}`, which a line before it has");
            ensure!(lines.insert(name, fields).is_none(), again);
        }
        Ok(Self { path: path.to_path_buf(), lines })
    }

    /// Lines whose entry has not come.
    pub(super) fn n_left(&self) -> usize {
        self.lines.len()
    }

    /// The line of an entry, which is then no more waited for.
    ///
    /// # Errors
    ///
    /// When no line names the entry, or it came before.
    pub(super) fn take(&mut self, name: &str) -> anyhow::Result<Map<String, Value>> {
        self.lines.remove(name).with_context(|| {
            format!("no line of {} has this audio_filepath, expected one", self.path.display())
        })
    }
}
