//! The transformer layer, with its norms after each part or before it.

use tensor_core::{Context, Tensor};

use super::config::HubertConfig;
use crate::error::Result;
use crate::layers::{Activation, LayerNorm, Linear, MultiHeadAttention, Sight};
use crate::weights::{Builder, Init};

/// Self-attention and feed-forward parts.
///
/// ```text
/// base:   a = LayerNorm(x + attention(x))          y = LayerNorm'(a + W2 act(W1 a))
/// stable: a = x + attention(LayerNorm(x))          y = a + W2 act(W1 LayerNorm'(a))
/// ```
#[derive(Debug)]
pub(super) struct EncoderLayer {
    attention: MultiHeadAttention,
    layer_norm: LayerNorm,
    intermediate_dense: Linear,
    activation: Activation,
    output_dense: Linear,
    final_layer_norm: LayerNorm,
    stable: bool,
    hidden_dropout: f64,
    activation_dropout: f64,
}

impl EncoderLayer {
    pub(super) fn new(builder: &Builder, config: &HubertConfig) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let init = Init::Normal(config.initializer_range);
        let linear =
            |name: &str, inputs, outputs| Linear::new(&builder.scope(name), inputs, outputs, init);
        let norm = |name: &str| LayerNorm::new(&builder.scope(name), width, config.layer_norm_eps);
        let projections = [
            linear("attention.q_proj", width, width)?,
            linear("attention.k_proj", width, width)?,
            linear("attention.v_proj", width, width)?,
            linear("attention.out_proj", width, width)?,
        ];
        Ok(Self {
            attention: MultiHeadAttention::new(
                projections,
                config.num_attention_heads,
                config.attention_dropout,
            ),
            layer_norm: norm("layer_norm")?,
            intermediate_dense: linear("feed_forward.intermediate_dense", width, inner)?,
            activation: Activation::from_name(&config.hidden_act)?,
            output_dense: linear("feed_forward.output_dense", inner, width)?,
            final_layer_norm: norm("final_layer_norm")?,
            stable: config.do_stable_layer_norm,
            hidden_dropout: config.hidden_dropout,
            activation_dropout: config.activation_dropout,
        })
    }

    /// States `(B, F, D)` to `(B, F, D)`.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        sight: Sight<'_>,
    ) -> tensor_core::Result<Tensor> {
        if self.stable {
            let normed = self.layer_norm.forward(ctx, x)?;
            let x = x.add(&self.attend(ctx, &normed, sight)?)?;
            return x.add(&self.feed(ctx, &self.final_layer_norm.forward(ctx, &x)?)?);
        }
        let x = self.layer_norm.forward(ctx, &x.add(&self.attend(ctx, x, sight)?)?)?;
        self.final_layer_norm.forward(ctx, &x.add(&self.feed(ctx, &x)?)?)
    }

    fn attend(&self, ctx: &Context, x: &Tensor, sight: Sight<'_>) -> tensor_core::Result<Tensor> {
        ctx.dropout(&self.attention.forward(ctx, x, sight)?, self.hidden_dropout)
    }

    fn feed(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let inner = self.activation.forward(&self.intermediate_dense.forward(ctx, x)?)?;
        let inner = ctx.dropout(&inner, self.activation_dropout)?;
        ctx.dropout(&self.output_dense.forward(ctx, &inner)?, self.hidden_dropout)
    }
}
