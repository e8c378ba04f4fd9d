//! What one batch hears, as LLaMA's layers ask for it.

use std::sync::Arc;

use tensor_core::{Context, Tensor};

use super::layer_adapter::{LayerAdapter, LayerMemory};
use crate::layers::{AttendingLayer, ExtraAttention, GroupedQueryAttention};

/// The adapters of all layers, and which frames each item has.
#[derive(Debug, Clone)]
pub(super) struct Hearing {
    /// Of each layer of LLaMA; `None` before the first that has some.
    pub adapters: Arc<Vec<Option<LayerAdapter>>>,
    /// Valid frames of each item; `None`: all are.
    pub lengths: Option<Vec<usize>>,
    /// `(B, F)`, as `lengths` say.
    pub key_mask: Option<Tensor>,
    /// Of each layer, when it was computed ahead. Otherwise layers compute it in every pass from the
    /// states that are handed to them, so that gradients flow and nothing is kept.
    pub memories: Vec<Option<LayerMemory>>,
}

impl Hearing {
    /// With the keys and values of every layer, whose attentions are given in order.
    pub fn ahead<'a>(
        mut self,
        ctx: &Context,
        attentions: impl Iterator<Item = &'a GroupedQueryAttention>,
        states: Option<&Tensor>,
    ) -> tensor_core::Result<Self> {
        let memory = |(adapter, attention): (&Option<LayerAdapter>, _)| {
            let lengths = self.lengths.as_deref();
            let memory = |adapter: &LayerAdapter| adapter.memory(ctx, attention, states, lengths);
            adapter.as_ref().map(memory).transpose()
        };
        let memories = self.adapters.iter().zip(attentions).map(memory);
        self.memories = memories.collect::<tensor_core::Result<_>>()?;
        Ok(self)
    }
}

impl ExtraAttention for Hearing {
    fn add_to(
        &self,
        ctx: &Context,
        layer: AttendingLayer<'_>,
        query: &Tensor,
        found: Tensor,
    ) -> tensor_core::Result<Tensor> {
        let AttendingLayer { index, attention, inputs } = layer;
        let Some(adapter) = self.adapters.get(index).and_then(Option::as_ref) else {
            return Ok(found);
        };
        let fresh;
        let memory = match self.memories.get(index).and_then(Option::as_ref) {
            Some(memory) => memory,
            None => {
                let lengths = self.lengths.as_deref();
                fresh = adapter.memory(ctx, attention, inputs.first(), lengths)?;
                &fresh
            }
        };
        adapter.add_to(ctx, query, found, memory, self.key_mask.as_ref())
    }

    fn select(&self, rows: &Tensor) -> tensor_core::Result<Arc<dyn ExtraAttention>> {
        let lengths = match &self.lengths {
            Some(lengths) => {
                let rows = rows.to_vec::<i64>()?;
                Some(rows.iter().map(|&row| lengths[row as usize]).collect())
            }
            None => None,
        };
        let key_mask = self.key_mask.as_ref();
        let select = |memory: &Option<LayerMemory>| {
            memory.as_ref().map(|memory| memory.select(rows)).transpose()
        };
        Ok(Arc::new(Self {
            adapters: Arc::clone(&self.adapters),
            lengths,
            key_mask: key_mask.map(|mask| mask.index_select(0, rows)).transpose()?,
            memories: self.memories.iter().map(select).collect::<tensor_core::Result<_>>()?,
        }))
    }
}
