//! What LLaMA need not compute again from one step to the next.

use std::sync::Arc;

use tensor_core::{Device, Tensor};

use crate::error::{Result, ZooError};
use crate::layers::{ExtraAttention, KeyValueCache};

/// Keys and values of all positions so far, in every layer, and which of them are padding.
#[derive(Debug, Clone, Default)]
pub struct LlamaCache {
    pub(super) layers: Vec<KeyValueCache>,
    /// Of each row: which positions may be attended to.
    attended: Vec<Vec<bool>>,
    /// Of each row: the position after its last attended one.
    next_positions: Vec<i64>,
    /// What every row attends to beside its text.
    pub(super) extra: Option<Arc<dyn ExtraAttention>>,
}

impl LlamaCache {
    /// A cache that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A cache that has seen no text, for rows that also attend to `extra`.
    pub(crate) fn beside(extra: Arc<dyn ExtraAttention>) -> Self {
        Self { extra: Some(extra), ..Self::default() }
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.attended.len()
    }

    /// Number of positions of each row, padding included.
    pub fn len(&self) -> usize {
        self.attended.first().map_or(0, Vec::len)
    }

    /// Whether nothing has been seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the rows `rows`, in that order; one may be named several times.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when a row does not exist; nothing is changed then.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.batch()) {
            let detail = format!("row {row}, expected below {}", self.batch());
            return Err(ZooError::shape("llama cache", detail));
        }
        if rows.iter().copied().eq(0..self.batch()) {
            return Ok(());
        }
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::from_vec(index, &[rows.len()], Device::Cpu)?;
        for layer in &mut self.layers {
            layer.select(&index)?;
        }
        if let Some(extra) = &mut self.extra {
            *extra = extra.select(&index)?;
        }
        self.attended = rows.iter().map(|&row| self.attended[row].clone()).collect();
        self.next_positions = rows.iter().map(|&row| self.next_positions[row]).collect();
        Ok(())
    }

    /// Attended positions of row `b`.
    pub(super) fn attended_in(&self, b: usize) -> usize {
        self.attended.get(b).map_or(0, |row| row.iter().filter(|&&seen| seen).count())
    }

    /// Position of the next token of row `b`.
    pub(super) fn next_position(&self, b: usize) -> i64 {
        self.next_positions.get(b).copied().unwrap_or(0)
    }

    /// Takes note of new positions, as many in each row: which may be attended to, and where they
    /// stand for the rotation.
    pub(super) fn extend(&mut self, attended: &[Vec<bool>], positions: &[Vec<i64>]) {
        let batch = attended.len();
        self.attended.resize(batch, Vec::new());
        self.next_positions.resize(batch, 0);
        for b in 0..batch {
            self.attended[b].extend_from_slice(&attended[b]);
            if let Some(t) = attended[b].iter().rposition(|&seen| seen) {
                self.next_positions[b] = positions[b][t] + 1;
            }
        }
    }

    /// `(B, T)`, U8, of all positions so far; `None` when there is no padding.
    pub(super) fn key_mask(&self, device: Device) -> tensor_core::Result<Option<Tensor>> {
        key_mask(&self.attended, device)
    }
}

/// `(B, T)`, U8; `None` when all positions are attended to.
pub(super) fn key_mask(
    attended: &[Vec<bool>],
    device: Device,
) -> tensor_core::Result<Option<Tensor>> {
    if attended.iter().flatten().all(|&seen| seen) {
        return Ok(None);
    }
    let shape = [attended.len(), attended.first().map_or(0, Vec::len)];
    let mask = attended.iter().flatten().map(|&seen| u8::from(seen)).collect();
    Tensor::from_vec(mask, &shape, device).map(Some)
}
