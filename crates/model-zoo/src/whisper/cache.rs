//! What a decoder need not compute again from one token to the next.

use tensor_core::Tensor;

use crate::layers::KeyValue;

/// Keys and values of what has been decoded, and of the memory, which are projected once.
#[derive(Debug, Clone, Default)]
pub struct DecoderCache {
    pub(super) layers: Vec<LayerCache>,
    /// `(B, T')`: the memory's valid positions; `None` when all are.
    pub(super) key_mask: Option<Tensor>,
    pub(super) len: usize,
}

#[derive(Debug, Clone)]
pub(super) struct LayerCache {
    /// Of the tokens; `None` before the first.
    pub(super) own: Option<KeyValue>,
    /// Of the encoder's output.
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

    /// Keeps the batch items `rows` (I64, one dimension), in that order.
    pub(super) fn select(&mut self, rows: &Tensor) -> tensor_core::Result<()> {
        for layer in &mut self.layers {
            layer.memory = layer.memory.select(rows)?;
            layer.own = layer.own.as_ref().map(|own| own.select(rows)).transpose()?;
        }
        self.key_mask = self.key_mask.as_ref().map(|m| m.index_select(0, rows)).transpose()?;
        Ok(())
    }
}
