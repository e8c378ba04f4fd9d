//! Multi-head attention: over the sequence itself, over a memory, or over a cache.
//!
//! Scores are never materialised: the fused operator of `tensor-core` takes
//! queries, keys and values with heads beside the time axis, `(B, T, H, D)`.

use tensor_core::{AttentionOptions, Context, Device, Tensor, attention};

use super::linear::Linear;

/// Which positions each position sees; all of them by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sight<'a> {
    /// Query `i` sees positions up to `i + (Tk - Tq)`, which is also right when the memory is a
    /// cache that ends with the keys of the queries.
    pub causal: bool,
    /// `(B, Tk)`, nonzero where a position may be seen; what lies behind a zero is never read.
    pub key_mask: Option<&'a Tensor>,
}

impl<'a> Sight<'a> {
    /// All positions that `key_mask` shows.
    pub fn masked(key_mask: Option<&'a Tensor>) -> Self {
        Self { key_mask, ..Self::default() }
    }
}

/// Projected keys and values, each `(B, T, H, D)`: what a cache keeps.
#[derive(Debug, Clone)]
pub struct KeyValue {
    pub(super) key: Tensor,
    pub(super) value: Tensor,
}

impl KeyValue {
    /// Keys and values, each `(B, T, H, D)`.
    pub fn new(key: Tensor, value: Tensor) -> Self {
        Self { key, value }
    }

    /// What `query` `(B, Tq, H, D)` finds among all positions that `key_mask` `(B, T)` shows:
    /// `(B, Tq, H, D)`. Scores are scaled by `1 / sqrt(D)`.
    pub fn read(&self, query: &Tensor, key_mask: Option<&Tensor>) -> tensor_core::Result<Tensor> {
        let options = AttentionOptions {
            key_mask: key_mask.cloned(),
            ..AttentionOptions::for_head_dim(query.dim(-1)?)
        };
        attention(query, &self.key, &self.value, &options)
    }

    /// As many positions as asked for, with zeros behind those here.
    pub fn extended_to(&self, positions: usize) -> tensor_core::Result<KeyValue> {
        let extended = |x: &Tensor| {
            let mut shape = x.shape().to_vec();
            shape[1] = positions - shape[1];
            match shape[1] {
                0 => Ok(x.clone()),
                _ => Tensor::cat(&[x, &Tensor::zeros(&shape, x.dtype(), x.device())?], 1),
            }
        };
        Ok(KeyValue { key: extended(&self.key)?, value: extended(&self.value)? })
    }

    /// The batch items of all `items`, which have equally many positions.
    pub fn cat(items: &[KeyValue]) -> tensor_core::Result<KeyValue> {
        let joined = |part: fn(&KeyValue) -> &Tensor| {
            Tensor::cat(&items.iter().map(part).collect::<Vec<_>>(), 0)
        };
        Ok(KeyValue { key: joined(|item| &item.key)?, value: joined(|item| &item.value)? })
    }

    /// The one batch item, for each of `batch` rows alike, without a copy.
    pub fn shared_by(&self, batch: usize) -> tensor_core::Result<KeyValue> {
        let shared = |x: &Tensor| {
            let mut shape = x.shape().to_vec();
            shape[0] = batch;
            x.broadcast_to(&shape)
        };
        Ok(KeyValue { key: shared(&self.key)?, value: shared(&self.value)? })
    }

    /// Where the elements are.
    pub fn device(&self) -> Device {
        self.key.device()
    }

    /// `n` batch items from `first` on, without a copy.
    pub fn narrow(&self, first: usize, n: usize) -> tensor_core::Result<KeyValue> {
        Ok(KeyValue { key: self.key.narrow(0, first, n)?, value: self.value.narrow(0, first, n)? })
    }

    /// The batch items `rows` (I64, one dimension), in that order.
    pub fn select(&self, rows: &Tensor) -> tensor_core::Result<KeyValue> {
        Ok(KeyValue {
            key: self.key.index_select(0, rows)?,
            value: self.value.index_select(0, rows)?,
        })
    }
}

/// Scaled dot-product attention with `n_heads` heads and four projections.
///
/// ```text
/// softmax(q k^T / sqrt(D)) v      per head of width D
/// ```
#[derive(Debug, Clone)]
pub struct MultiHeadAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    n_heads: usize,
    dropout: f64,
}

impl MultiHeadAttention {
    /// `projections` are query, key, value and output; `dropout` applies to the weights of
    /// attention, in training.
    pub fn new(projections: [Linear; 4], n_heads: usize, dropout: f64) -> Self {
        let [query, key, value, output] = projections;
        Self { query, key, value, output, n_heads, dropout }
    }

    /// Keys and values of `memory` `(B, T, W)`.
    pub fn keys_values(&self, ctx: &Context, memory: &Tensor) -> tensor_core::Result<KeyValue> {
        Ok(KeyValue {
            key: self.split(&self.key.forward(ctx, memory)?)?,
            value: self.split(&self.value.forward(ctx, memory)?)?,
        })
    }

    /// Attends from `x` `(B, Tq, W)` to `memory`, which has `Tk` positions.
    ///
    /// `sight` says what each position sees.
    pub fn attend(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &KeyValue,
        sight: Sight<'_>,
    ) -> tensor_core::Result<Tensor> {
        let query = self.split(&self.query.forward(ctx, x)?)?;
        let head_width = query.shape()[3];
        let dropout = match self.dropout > 0.0 {
            true => ctx.dropout_key().map(|key| (self.dropout, key)),
            false => None,
        };
        let options = AttentionOptions {
            scale: (head_width as f64).powf(-0.5),
            causal: sight.causal,
            key_mask: sight.key_mask.cloned(),
            bias: None,
            dropout,
        };
        let mixed = attention(&query, &memory.key, &memory.value, &options)?;
        self.output.forward(ctx, &mixed.flatten(2, 3)?)
    }

    /// Scaled products `(B, Tq, Tk)` of queries and keys for each of `heads`, before the softmax.
    pub fn scores(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &KeyValue,
        heads: &[usize],
    ) -> tensor_core::Result<Vec<Tensor>> {
        let query = self.split(&self.query.forward(ctx, x)?)?;
        let scale = (query.shape()[3] as f64).powf(-0.5);
        heads
            .iter()
            .map(|&head| {
                let keys = memory.key.select(2, head)?.transpose(1, 2)?;
                query.select(2, head)?.matmul(&keys)?.mul_scalar(scale)
            })
            .collect()
    }

    /// Attends from `x` `(B, T, W)` to itself.
    pub fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        sight: Sight<'_>,
    ) -> tensor_core::Result<Tensor> {
        let memory = self.keys_values(ctx, x)?;
        self.attend(ctx, x, &memory, sight)
    }

    /// `(B, T, H * D)` to `(B, T, H, D)`.
    fn split(&self, x: &Tensor) -> tensor_core::Result<Tensor> {
        let &[batch, time, width] = x.shape() else {
            let detail = format!("input is {:?}, expected (B, T, W)", x.shape());
            return Err(tensor_core::Error::shape("multi_head_attention", detail));
        };
        x.reshape(&[batch, time, self.n_heads, width / self.n_heads])
    }
}
