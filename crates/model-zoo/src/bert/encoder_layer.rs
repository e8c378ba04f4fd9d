//! One transformer layer with the norm after each residual.

use tensor_core::{Context, Tensor};

use super::config::BertConfig;
use crate::error::Result;
use crate::layers::{Activation, LayerNorm, Linear, MultiHeadAttention, Sight};
use crate::weights::{Builder, Init};

/// Self-attention and feed-forward parts of a layer.
///
/// ```text
/// a = LayerNorm(x + attention(x))
/// y = LayerNorm(a + W2 act(W1 a))
/// ```
#[derive(Debug)]
pub(super) struct BertLayer {
    attention: MultiHeadAttention,
    attention_norm: LayerNorm,
    intermediate: Linear,
    activation: Activation,
    output: Linear,
    output_norm: LayerNorm,
    dropout: f64,
}

impl BertLayer {
    pub(super) fn new(builder: &Builder, config: &BertConfig) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let init = Init::Normal(config.initializer_range);
        let linear =
            |name: &str, inputs, outputs| Linear::new(&builder.scope(name), inputs, outputs, init);
        let norm = |name: &str| LayerNorm::new(&builder.scope(name), width, config.layer_norm_eps);
        let projections = [
            linear("attention.self.query", width, width)?,
            linear("attention.self.key", width, width)?,
            linear("attention.self.value", width, width)?,
            linear("attention.output.dense", width, width)?,
        ];
        Ok(Self {
            attention: MultiHeadAttention::new(
                projections,
                config.num_attention_heads,
                config.attention_probs_dropout_prob,
            ),
            attention_norm: norm("attention.output.LayerNorm")?,
            intermediate: linear("intermediate.dense", width, inner)?,
            activation: Activation::from_name(&config.hidden_act)?,
            output: linear("output.dense", inner, width)?,
            output_norm: norm("output.LayerNorm")?,
            dropout: config.hidden_dropout_prob,
        })
    }

    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let mixed = self.attention.forward(ctx, x, Sight::masked(key_mask))?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        let x = self.attention_norm.forward(ctx, &x)?;
        let inner = self.activation.forward(&self.intermediate.forward(ctx, &x)?)?;
        let y = self.output.forward(ctx, &inner)?;
        let y = x.add(&ctx.dropout(&y, self.dropout)?)?;
        self.output_norm.forward(ctx, &y)
    }
}
