//! Causal self-attention with rotated queries and keys, in which query heads share key heads.

use tensor_core::{AttentionOptions, Context, Tensor, attention};

use super::attention::KeyValue;
use super::linear::Linear;
use super::rotary::Rotation;

/// Scaled dot-product attention whose query head `h` reads key head `h / (H / Hkv)`.
///
/// Keys and values are never repeated: the operator of `tensor-core` reads a shared head for all
/// of its group. Ainslie et al. 2023, arXiv:2305.13245.
#[derive(Debug, Clone)]
pub struct GroupedQueryAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    head_dim: usize,
    dropout: f64,
}

impl GroupedQueryAttention {
    /// `projections` are query to `H D`, key and value to `Hkv D`, and output from `H D`, where
    /// `D` is `head_dim`; `dropout` applies to the weights of attention, in training.
    pub fn new(projections: [Linear; 4], head_dim: usize, dropout: f64) -> Self {
        let [query, key, value, output] = projections;
        Self { query, key, value, output, head_dim, dropout }
    }

    /// Keys, rotated, and values of `x` `(B, T, W)`.
    pub fn keys_values(
        &self,
        ctx: &Context,
        x: &Tensor,
        rotation: &Rotation,
    ) -> tensor_core::Result<KeyValue> {
        let unrotated = self.unrotated_keys_values(ctx, x)?;
        Ok(KeyValue { key: rotation.apply(&unrotated.key)?, ..unrotated })
    }

    /// Keys and values of `x` `(B, T, W)`, which stand at no position.
    pub fn unrotated_keys_values(
        &self,
        ctx: &Context,
        x: &Tensor,
    ) -> tensor_core::Result<KeyValue> {
        Ok(KeyValue {
            key: self.split(&self.key.forward(ctx, x)?)?,
            value: self.split(&self.value.forward(ctx, x)?)?,
        })
    }

    /// Rotated queries of `x` `(B, Tq, W)`, and what they find in `memory`, which ends with the
    /// keys of `x`: both `(B, Tq, H, D)`. Each position sees itself and what is before it, except
    /// what `key_mask` `(B, Tk)` hides.
    pub fn attend(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &KeyValue,
        rotation: &Rotation,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<(Tensor, Tensor)> {
        let query = rotation.apply(&self.split(&self.query.forward(ctx, x)?)?)?;
        let dropout = match self.dropout > 0.0 {
            true => ctx.dropout_key().map(|key| (self.dropout, key)),
            false => None,
        };
        let options = AttentionOptions {
            causal: true,
            key_mask: key_mask.cloned(),
            dropout,
            ..AttentionOptions::for_head_dim(self.head_dim)
        };
        let found = attention(&query, &memory.key, &memory.value, &options)?;
        Ok((query, found))
    }

    /// What the heads found `(B, Tq, H, D)`, to `(B, Tq, W)`.
    pub fn project(&self, ctx: &Context, found: &Tensor) -> tensor_core::Result<Tensor> {
        self.output.forward(ctx, &found.flatten(2, 3)?)
    }

    /// `(B, T, H * D)` to `(B, T, H, D)`.
    fn split(&self, x: &Tensor) -> tensor_core::Result<Tensor> {
        let &[batch, time, width] = x.shape() else {
            let detail = format!("input is {:?}, expected (B, T, W)", x.shape());
            return Err(tensor_core::Error::shape("grouped_query_attention", detail));
        };
        x.reshape(&[batch, time, width / self.head_dim, self.head_dim])
    }
}
