//! One layer: attention among the queries, attention to the frames, feed-forward.

use tensor_core::{Context, Tensor};

use super::config::QFormerConfig;
use crate::error::Result;
use crate::layers::{Activation, LayerNorm, Linear, MultiHeadAttention, Sight};
use crate::weights::{Builder, Init};

/// A layer with the norm after each residual.
///
/// ```text
/// a = LayerNorm(q + attention(q, q))
/// b = LayerNorm(a + attention(a, frames))
/// y = LayerNorm(b + W2 act(W1 b))
/// ```
#[derive(Debug)]
pub(super) struct QFormerLayer {
    attention: MultiHeadAttention,
    attention_norm: LayerNorm,
    crossattention: MultiHeadAttention,
    crossattention_norm: LayerNorm,
    intermediate: Linear,
    activation: Activation,
    output: Linear,
    output_norm: LayerNorm,
    dropout: f64,
}

impl QFormerLayer {
    pub(super) fn new(builder: &Builder, config: &QFormerConfig) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let init = Init::Normal(config.initializer_range);
        let linear =
            |name: &str, inputs, outputs| Linear::new(&builder.scope(name), inputs, outputs, init);
        let norm = |name: &str| LayerNorm::new(&builder.scope(name), width, config.layer_norm_eps);
        let attention = |name: &str, memory: usize| -> Result<MultiHeadAttention> {
            let projections = [
                linear(&format!("{name}.attention.query"), width, width)?,
                linear(&format!("{name}.attention.key"), memory, width)?,
                linear(&format!("{name}.attention.value"), memory, width)?,
                linear(&format!("{name}.output.dense"), width, width)?,
            ];
            let (heads, dropout) =
                (config.num_attention_heads, config.attention_probs_dropout_prob);
            Ok(MultiHeadAttention::new(projections, heads, dropout))
        };
        Ok(Self {
            attention: attention("attention", width)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            crossattention: attention("crossattention", config.encoder_hidden_size)?,
            crossattention_norm: norm("crossattention.output.LayerNorm")?,
            intermediate: linear("intermediate_query.dense", width, inner)?,
            activation: Activation::from_name(&config.hidden_act)?,
            output: linear("output_query.dense", inner, width)?,
            output_norm: norm("output_query.LayerNorm")?,
            dropout: config.hidden_dropout_prob,
        })
    }

    /// Queries `(N, Q, D)` and frames `(N, W, E)` of `N` windows to queries; `key_mask` `(N, W)`
    /// hides frames.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        queries: &Tensor,
        frames: &Tensor,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let mixed = self.attention.forward(ctx, queries, Sight::default())?;
        let x = self.residual(ctx, queries, &mixed, &self.attention_norm)?;
        let memory = self.crossattention.keys_values(ctx, frames)?;
        let read = self.crossattention.attend(ctx, &x, &memory, Sight::masked(key_mask))?;
        let x = self.residual(ctx, &x, &read, &self.crossattention_norm)?;
        let inner = self.activation.forward(&self.intermediate.forward(ctx, &x)?)?;
        self.residual(ctx, &x, &self.output.forward(ctx, &inner)?, &self.output_norm)
    }

    fn residual(
        &self,
        ctx: &Context,
        x: &Tensor,
        change: &Tensor,
        norm: &LayerNorm,
    ) -> tensor_core::Result<Tensor> {
        norm.forward(ctx, &x.add(&ctx.dropout(change, self.dropout)?)?)
    }
}
