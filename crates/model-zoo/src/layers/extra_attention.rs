//! What the heads of a layer attend to beside the text.

use std::sync::Arc;

use tensor_core::{Context, Tensor};

use super::grouped_query_attention::GroupedQueryAttention;

/// Adds to what the heads of a decoder's layers found, before their output is projected.
pub(crate) trait ExtraAttention: std::fmt::Debug + Send + Sync {
    /// `found` `(B, Tq, H, D)`, and what the rotated queries `query` `(B, Tq, H, D)` find elsewhere.
    fn add_to(
        &self,
        ctx: &Context,
        layer: AttendingLayer<'_>,
        query: &Tensor,
        found: Tensor,
    ) -> tensor_core::Result<Tensor>;

    /// The same for the batch items `rows` (I64, one dimension), in that order.
    fn select(&self, rows: &Tensor) -> tensor_core::Result<Arc<dyn ExtraAttention>>;
}

/// The layer whose heads attend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttendingLayer<'a> {
    /// Number of the layer, from 0.
    pub index: usize,
    /// Its own attention, which can project more keys and values.
    pub attention: &'a GroupedQueryAttention,
    /// What the pass hands to every layer beside the states; gradients reach it.
    pub inputs: &'a [Tensor],
}
