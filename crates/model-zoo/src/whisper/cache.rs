//! What a decoder need not compute again from one token to the next.

use tensor_core::Tensor;

use crate::error::{Result, ZooError};
use crate::layers::{KeyValue, KeyValueCache};

/// Keys and values of what has been decoded, and of the memory, which are projected once.
///
/// Rows that hear the same item, such as the beams of an utterance, share its memory: choosing
/// and repeating rows copies what was decoded, never what was heard.
#[derive(Debug, Clone, Default)]
pub struct DecoderCache {
    pub(super) layers: Vec<LayerCache>,
    /// `(items, T')`: the memory's valid positions; `None` when all are.
    pub(super) key_mask: Option<Tensor>,
    /// Item of the memory that each row hears.
    items: Vec<usize>,
    pub(super) len: usize,
}

#[derive(Debug, Clone)]
pub(super) struct LayerCache {
    /// Of the tokens, `(rows, ..)`.
    pub(super) own: KeyValueCache,
    /// Of the encoder's output, `(items, ..)`.
    pub(super) memory: KeyValue,
}

impl DecoderCache {
    /// A cache that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tokens seen.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been decoded.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps `rows`, in that order; one may be named several times.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when a row does not exist.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.items.len()) {
            let detail = format!("row is {row}, expected below {}", self.items.len());
            return Err(ZooError::shape("decoder cache", detail));
        }
        if rows.iter().copied().eq(0..self.items.len()) {
            return Ok(());
        }
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let Some(device) = self.layers.first().map(|layer| layer.memory.device()) else {
            return Ok(());
        };
        let index = Tensor::from_vec(index, &[rows.len()], device)?;
        for layer in &mut self.layers {
            layer.own.select(&index)?;
        }
        self.items = rows.iter().map(|&row| self.items[row]).collect();
        Ok(())
    }

    /// Number of rows; none before the memory is known.
    pub(super) fn rows(&self) -> usize {
        self.items.len()
    }

    /// Takes the memory of as many items as there are rows.
    pub(super) fn hear(&mut self, layers: Vec<LayerCache>, key_mask: Option<Tensor>, items: usize) {
        self.layers = layers;
        self.key_mask = key_mask;
        self.items = (0..items).collect();
    }

    /// Which rows hear which items.
    pub(super) fn hearing(&self) -> Vec<Hearing> {
        let mut runs: Vec<Hearing> = Vec::new();
        for group in self.items.chunk_by(|a, b| a == b) {
            match runs.last_mut() {
                Some(run)
                    if run.rows_per_item == group.len()
                        && run.first_item + run.n_items == group[0] =>
                {
                    run.n_items += 1;
                }
                _ => runs.push(Hearing {
                    first_item: group[0],
                    n_items: 1,
                    rows_per_item: group.len(),
                }),
            }
        }
        runs
    }
}

/// Neighbouring rows that hear neighbouring items, equally many rows each: attention takes them
/// in one call, with the rows of an item as its queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hearing {
    pub(super) first_item: usize,
    pub(super) n_items: usize,
    pub(super) rows_per_item: usize,
}

impl Hearing {
    pub(super) fn n_rows(&self) -> usize {
        self.n_items * self.rows_per_item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_heard_together() {
        let runs = |items: &[usize]| -> Vec<[usize; 3]> {
            let cache = DecoderCache { items: items.to_vec(), ..DecoderCache::new() };
            let runs = cache.hearing();
            assert_eq!(runs.iter().map(Hearing::n_rows).sum::<usize>(), items.len());
            runs.iter().map(|run| [run.first_item, run.n_items, run.rows_per_item]).collect()
        };
        assert_eq!(runs(&[0, 1, 2]), [[0, 3, 1]]);
        assert_eq!(runs(&[0, 0, 1, 1, 3, 3]), [[0, 2, 2], [3, 1, 2]]);
        assert_eq!(runs(&[2, 2, 0, 1]), [[2, 1, 2], [0, 2, 1]]);
        assert_eq!(runs(&[]), [[0usize; 3]; 0]);
    }

    #[test]
    fn a_row_that_is_not_there_is_refused() {
        let text = DecoderCache::new().select(&[0]).unwrap_err().to_string();
        assert_eq!(text, "decoder cache: row is 0, expected below 0");
    }
}
