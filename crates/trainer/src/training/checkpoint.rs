//! Checkpoints: everything that affects the next step, written so that a crash loses none.
//!
//! A checkpoint is a folder `step-00000200` with `model.safetensors`, `optimizer.safetensors`
//! (buffers of the task included) and `state.json`. It is written under another name, synced and
//! renamed, and renamed again before it is deleted, so a folder of that name is always whole. The
//! bytes are a function of the state alone: no clock, no host.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use model_zoo::Parameters;
use serde::{Deserialize, Serialize};
use tensor_core::{AdamW, SafeTensors, Tensor, save_safetensors};

use crate::atomic;
use crate::guard::Guard;

const PREFIX: &str = "step-";
/// Before the name of a folder that is being written.
const DRAFT: &str = ".draft-";
/// Before the name of a folder that is being deleted.
const OLD: &str = ".old-";

/// What a checkpoint says beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopState {
    /// Steps done.
    pub step: u64,
    /// Audio trained on so far, in milliseconds.
    pub audio_ms: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Running statistics of the guard.
    pub guard: Guard,
    /// Value of `checkpoint.metric` at this step, if it was evaluated here.
    pub metric: Option<f64>,
    /// Best value of `checkpoint.metric` so far.
    pub best: Option<f64>,
    /// The resolved recipe.
    pub recipe: String,
    /// Hash over the manifests.
    pub data_hash: String,
    /// How many micro-batches are trained on over and over; 0 is all of them.
    #[serde(default)]
    pub overfit: u64,
}

/// The checkpoints of a run.
pub struct CheckpointStore {
    dir: PathBuf,
}

impl CheckpointStore {
    /// Checkpoints below `dir`, which is made when something is saved.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Folder of the checkpoint after `step` steps.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:08}"))
    }

    /// Steps of all whole checkpoints, ascending.
    pub fn steps(&self) -> anyhow::Result<Vec<u64>> {
        let mut steps = Vec::new();
        if self.dir.exists() {
            let entries = fs::read_dir(&self.dir)
                .with_context(|| format!("{}: cannot list checkpoints", self.dir.display()))?;
            for entry in entries {
                let name = entry?.file_name();
                let step = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                steps.extend(step.and_then(|step| step.parse::<u64>().ok()));
            }
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint; one of the same step is replaced.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, for example on a full disk; older checkpoints are unharmed.
    pub fn save(
        &self,
        state: &LoopState,
        parameters: &Parameters,
        optimizer: &AdamW,
        buffers: &[(String, Tensor)],
    ) -> anyhow::Result<()> {
        let target = self.path(state.step);
        let draft = self.dir.join(format!("{DRAFT}{:08}", state.step));
        let write = || -> anyhow::Result<()> {
            self.sweep()?;
            fs::create_dir_all(&draft)?;
            parameters.save(&draft.join("model.safetensors"), None)?;
            let mut tensors = optimizer.state()?;
            tensors.extend(buffers.iter().map(|(name, t)| (format!("buffer.{name}"), t.clone())));
            save_safetensors(draft.join("optimizer.safetensors"), &tensors, &BTreeMap::new())?;
            atomic::write(&draft.join("state.json"), |file| {
                Ok(serde_json::to_writer_pretty(file, state)?)
            })?;
            let replaced = if target.exists() { Some(self.retire(state.step)?) } else { None };
            fs::rename(&draft, &target)?;
            atomic::sync_folder(&self.dir)?;
            Ok(replaced.map_or(Ok(()), fs::remove_dir_all)?)
        };
        write().map_err(|error| {
            // Best effort: the error that matters is the first one.
            let _ = fs::remove_dir_all(&draft);
            error.context(format!(
                "checkpoint {}: not saved; earlier checkpoints are whole (hint: free disk space, \
                 then continue with --resume)",
                target.display()
            ))
        })
    }

    /// Reads the state of a checkpoint.
    pub fn state(&self, step: u64) -> anyhow::Result<LoopState> {
        let path = self.path(step).join("state.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: not a checkpoint state", path.display()))
    }

    /// Sets parameters, optimiser and buffers from a checkpoint.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or does not fit.
    pub fn restore(
        &self,
        step: u64,
        parameters: &Parameters,
        optimizer: &mut AdamW,
        load_buffers: impl FnOnce(&dyn Fn(&str) -> tensor_core::Result<Tensor>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let dir = self.path(step);
        parameters.load(&dir.join("model.safetensors"))?;
        let file = SafeTensors::open(dir.join("optimizer.safetensors"))?;
        optimizer.load_state(|name| file.tensor(name))?;
        load_buffers(&|name| file.tensor(&format!("buffer.{name}")))
    }

    /// Sets parameters alone, as evaluation of the best checkpoint wants it.
    pub fn restore_parameters(&self, step: u64, parameters: &Parameters) -> anyhow::Result<()> {
        Ok(parameters.load(&self.path(step).join("model.safetensors"))?)
    }

    /// Step of the checkpoint with the best metric; the last one when none was evaluated.
    pub fn best(&self, lower_is_better: bool) -> anyhow::Result<Option<u64>> {
        let ranked = self.ranked(lower_is_better)?;
        Ok(ranked.first().copied().or(self.steps()?.last().copied()))
    }

    /// Deletes all but the newest `keep_last` and the best `keep_best` checkpoints.
    pub fn rotate(
        &self,
        keep_last: usize,
        keep_best: usize,
        lower_is_better: bool,
    ) -> anyhow::Result<()> {
        let steps = self.steps()?;
        let newest: Vec<u64> = steps.iter().rev().take(keep_last.max(1)).copied().collect();
        let best: Vec<u64> = self.ranked(lower_is_better)?.into_iter().take(keep_best).collect();
        for step in steps {
            if !newest.contains(&step) && !best.contains(&step) {
                self.retire(step)
                    .and_then(fs::remove_dir_all)
                    .with_context(|| format!("{}: cannot delete", self.path(step).display()))?;
            }
        }
        Ok(())
    }

    /// Takes the name from a checkpoint that is to be deleted, so that a crash in the middle of
    /// deleting it leaves no half of one; returns its new name.
    fn retire(&self, step: u64) -> std::io::Result<PathBuf> {
        let old = self.dir.join(format!("{OLD}{step:08}"));
        if old.exists() {
            fs::remove_dir_all(&old)?;
        }
        fs::rename(self.path(step), &old)?;
        Ok(old)
    }

    /// Deletes what a crash left half written or half deleted.
    fn sweep(&self) -> std::io::Result<()> {
        if self.dir.exists() {
            for entry in fs::read_dir(&self.dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(DRAFT) || name.starts_with(OLD) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Steps with a metric, best first; among equals the earlier.
    fn ranked(&self, lower_is_better: bool) -> anyhow::Result<Vec<u64>> {
        let mut scored = Vec::new();
        for step in self.steps()? {
            if let Some(metric) = self.state(step)?.metric {
                scored.push((if lower_is_better { metric } else { -metric }, step));
            }
        }
        scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Ok(scored.into_iter().map(|(_, step)| step).collect())
    }
}

#[cfg(test)]
mod tests;
