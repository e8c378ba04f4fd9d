//! Where the numbers of a run go: `metrics.jsonl` and TensorBoard events.

use std::path::Path;

use crate::log::{EventWriter, MetricsLog};

/// The logs of a run.
pub(super) struct RunLog {
    metrics: MetricsLog,
    events: EventWriter,
}

impl RunLog {
    /// New logs in the folder `dir`, or those that a run left there, up to the step it resumes from.
    pub(super) fn open(dir: &Path, resumed: Option<u64>) -> anyhow::Result<Self> {
        let path = dir.join("metrics.jsonl");
        let metrics = match resumed {
            Some(step) => MetricsLog::resume(path, step)?,
            None => MetricsLog::create(path)?,
        };
        let events = EventWriter::create(&dir.join("tensorboard"), wall_time(), resumed)?;
        Ok(Self { metrics, events })
    }

    /// Numbers of a step; TensorBoard shows them below `group`.
    pub(super) fn record(
        &mut self,
        step: u64,
        group: &str,
        fields: &[(String, f64)],
    ) -> anyhow::Result<()> {
        self.metrics
            .append(step, fields.iter().map(|(name, value)| (name.as_str(), (*value).into())))?;
        let tags: Vec<(String, f64)> =
            fields.iter().map(|(name, value)| (format!("{group}/{name}"), *value)).collect();
        let scalars = tags.iter().map(|(tag, value)| (tag.as_str(), *value));
        self.events.scalars(step, wall_time(), scalars)
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
