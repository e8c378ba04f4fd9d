//! The transformer layers of both stacks, with the norm before each part.

use tensor_core::{Context, Tensor};

use super::cache::{Hearing, LayerCache};
use super::config::WhisperConfig;
use crate::error::Result;
use crate::layers::{Activation, KeyValue, LayerNorm, Linear, MultiHeadAttention, Sight};
use crate::weights::{Builder, Init};

/// `norm_eps` of every norm in Whisper; `transformers` leaves it at torch's default.
const NORM_EPS: f64 = 1e-5;

/// Self-attention and feed-forward parts.
///
/// ```text
/// a = x + attention(LayerNorm(x))
/// y = a + W2 act(W1 LayerNorm(a))
/// ```
#[derive(Debug)]
pub(super) struct EncoderLayer {
    self_attn: MultiHeadAttention,
    self_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
    dropout: f64,
}

impl EncoderLayer {
    pub(super) fn new(builder: &Builder, config: &WhisperConfig) -> Result<Self> {
        let heads = config.encoder_attention_heads;
        Ok(Self {
            self_attn: attention(&builder.scope("self_attn"), config, heads)?,
            self_attn_layer_norm: norm(builder, "self_attn_layer_norm", config)?,
            feed_forward: FeedForward::new(builder, config, config.encoder_ffn_dim)?,
            dropout: config.dropout,
        })
    }

    /// States `(B, T, D)` to `(B, T, D)`.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        sight: Sight<'_>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let mixed = self.self_attn.forward(ctx, &normed, sight)?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        self.feed_forward.forward(ctx, &x)
    }
}

/// Causal self-attention, attention to the encoder's output, feed-forward part.
///
/// ```text
/// a = x + self_attn(LayerNorm(x))
/// b = a + encoder_attn(LayerNorm(a), memory)
/// y = b + W2 act(W1 LayerNorm(b))
/// ```
#[derive(Debug)]
pub(super) struct DecoderLayer {
    self_attn: MultiHeadAttention,
    self_attn_layer_norm: LayerNorm,
    encoder_attn: MultiHeadAttention,
    encoder_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
    dropout: f64,
}

impl DecoderLayer {
    pub(super) fn new(builder: &Builder, config: &WhisperConfig) -> Result<Self> {
        let heads = config.decoder_attention_heads;
        Ok(Self {
            self_attn: attention(&builder.scope("self_attn"), config, heads)?,
            self_attn_layer_norm: norm(builder, "self_attn_layer_norm", config)?,
            encoder_attn: attention(&builder.scope("encoder_attn"), config, heads)?,
            encoder_attn_layer_norm: norm(builder, "encoder_attn_layer_norm", config)?,
            feed_forward: FeedForward::new(builder, config, config.decoder_ffn_dim)?,
            dropout: config.dropout,
        })
    }

    /// States `(B, T, D)` to `(B, T, D)`, given the encoder's states `(B, T', D)`, of which
    /// `key_mask` `(B, T')` hides some.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &Tensor,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let own = self.self_attn.keys_values(ctx, &normed)?;
        let memory = self.project_memory(ctx, memory)?;
        let n_items = x.shape()[0];
        let hearing = [Hearing { first_item: 0, n_items, rows_per_item: 1 }];
        self.rest(ctx, x, &normed, [&own, &memory], Heard { hearing: &hearing, key_mask })
    }

    /// As [`forward`](Self::forward) for the tokens that `cached` has not seen, which it then
    /// has; `heard` says which rows hear what.
    pub(super) fn forward_cached(
        &self,
        ctx: &Context,
        x: &Tensor,
        cached: &mut LayerCache,
        heard: Heard<'_>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let own = cached.own.append(self.self_attn.keys_values(ctx, &normed)?)?;
        self.rest(ctx, x, &normed, [&own, &cached.memory], heard)
    }

    /// Keys and values of the encoder's states `(B, T', D)`.
    pub(super) fn project_memory(
        &self,
        ctx: &Context,
        memory: &Tensor,
    ) -> tensor_core::Result<KeyValue> {
        self.encoder_attn.keys_values(ctx, memory)
    }

    /// The layer, given the keys and values of the text so far and of the memory.
    fn rest(
        &self,
        ctx: &Context,
        x: &Tensor,
        normed: &Tensor,
        [own, memory]: [&KeyValue; 2],
        heard: Heard<'_>,
    ) -> tensor_core::Result<Tensor> {
        let x = self.recall(ctx, x, normed, own)?;
        let normed = self.encoder_attn_layer_norm.forward(ctx, &x)?;
        let mixed = self.hear(ctx, &normed, memory, heard)?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        self.feed_forward.forward(ctx, &x)
    }

    /// As [`forward`](Self::forward), with the scores `(B, T, T')` of each of `heads`: what the
    /// softmax of the attention to the memory is taken of.
    pub(super) fn forward_with_scores(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &Tensor,
        key_mask: Option<&Tensor>,
        heads: &[usize],
    ) -> tensor_core::Result<(Tensor, Vec<Tensor>)> {
        let out = self.forward(ctx, x, memory, key_mask)?;
        if heads.is_empty() {
            return Ok((out, Vec::new()));
        }
        // The fused operator keeps no scores; few layers have such heads, and their first part is
        // cheap to compute again.
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let own = self.self_attn.keys_values(ctx, &normed)?;
        let x = self.recall(ctx, x, &normed, &own)?;
        let normed = self.encoder_attn_layer_norm.forward(ctx, &x)?;
        let memory = self.project_memory(ctx, memory)?;
        Ok((out, self.encoder_attn.scores(ctx, &normed, &memory, heads)?))
    }

    /// Self-attention with its residual; `normed` is `x` after the norm, `own` the text so far.
    fn recall(
        &self,
        ctx: &Context,
        x: &Tensor,
        normed: &Tensor,
        own: &KeyValue,
    ) -> tensor_core::Result<Tensor> {
        let sight = Sight { causal: true, ..Sight::default() };
        let mixed = self.self_attn.attend(ctx, normed, own, sight)?;
        x.add(&ctx.dropout(&mixed, self.dropout)?)
    }

    /// Attends from `x` `(rows, T, D)` to what each row hears of `memory` `(items, ..)`.
    fn hear(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &KeyValue,
        heard: Heard<'_>,
    ) -> tensor_core::Result<Tensor> {
        let &[_, time, width] = x.shape() else {
            let detail = format!("input is {:?}, expected (B, T, W)", x.shape());
            return Err(tensor_core::Error::shape("decoder layer", detail));
        };
        let mut parts = Vec::with_capacity(heard.hearing.len());
        let mut first_row = 0;
        for run in heard.hearing {
            let Hearing { first_item, n_items, rows_per_item } = *run;
            // Nothing is causal here, so that the rows of an item are so many more queries.
            let queries = x.narrow(0, first_row, run.n_rows())?;
            let queries = queries.reshape(&[n_items, rows_per_item * time, width])?;
            let memory = memory.narrow(first_item, n_items)?;
            let key_mask =
                heard.key_mask.map(|mask| mask.narrow(0, first_item, n_items)).transpose()?;
            let sight = Sight::masked(key_mask.as_ref());
            let mixed = self.encoder_attn.attend(ctx, &queries, &memory, sight)?;
            parts.push(mixed.reshape(&[run.n_rows(), time, width])?);
            first_row += run.n_rows();
        }
        match &parts[..] {
            [whole] => Ok(whole.clone()),
            _ => Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0),
        }
    }
}

/// Who hears what, for one pass through the decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) hearing: &'a [Hearing],
    /// `(items, T')`: the positions that may be heard; `None` when all may.
    pub(super) key_mask: Option<&'a Tensor>,
}

/// The last part of a layer: norm, two maps and the residual.
#[derive(Debug)]
struct FeedForward {
    final_layer_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    dropout: f64,
    activation_dropout: f64,
}

impl FeedForward {
    fn new(builder: &Builder, config: &WhisperConfig, inner: usize) -> Result<Self> {
        let (width, init) = (config.d_model, Init::Normal(config.init_std));
        Ok(Self {
            fc1: Linear::new(&builder.scope("fc1"), width, inner, init)?,
            fc2: Linear::new(&builder.scope("fc2"), inner, width, init)?,
            final_layer_norm: norm(builder, "final_layer_norm", config)?,
            activation: Activation::from_name(&config.activation_function)?,
            dropout: config.dropout,
            activation_dropout: config.activation_dropout,
        })
    }

    fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let inner = self.fc1.forward(ctx, &self.final_layer_norm.forward(ctx, x)?)?;
        let inner = ctx.dropout(&self.activation.forward(&inner)?, self.activation_dropout)?;
        x.add(&ctx.dropout(&self.fc2.forward(ctx, &inner)?, self.dropout)?)
    }
}

/// A norm of the model's width, below `builder`.
pub(super) fn norm(builder: &Builder, name: &str, config: &WhisperConfig) -> Result<LayerNorm> {
    LayerNorm::new(&builder.scope(name), config.d_model, NORM_EPS)
}

/// Whisper's attention: the key projection alone has no bias.
fn attention(
    builder: &Builder,
    config: &WhisperConfig,
    n_heads: usize,
) -> Result<MultiHeadAttention> {
    let (width, init) = (config.d_model, Init::Normal(config.init_std));
    let projections = [
        Linear::new(&builder.scope("q_proj"), width, width, init)?,
        Linear::without_bias(&builder.scope("k_proj"), width, width, init)?,
        Linear::new(&builder.scope("v_proj"), width, width, init)?,
        Linear::new(&builder.scope("out_proj"), width, width, init)?,
    ];
    Ok(MultiHeadAttention::new(projections, n_heads, config.attention_dropout))
}
