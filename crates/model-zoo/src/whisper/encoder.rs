//! Whisper's encoder: two convolutions, fixed positions, pre-norm transformer layers.

use std::sync::Arc;

use tensor_core::{Context, Philox, Tensor, Var};

use super::config::WhisperConfig;
use crate::error::{Result, ZooError};
use crate::layers::{Activation, Conv1d, LayerNorm, Linear, MultiHeadAttention};
use crate::weights::{Builder, Init};

/// `norm_eps` of every norm in Whisper; `transformers` leaves it at torch's default.
pub(super) const NORM_EPS: f64 = 1e-5;

/// What the encoder reads.
#[derive(Debug, Clone, Copy)]
pub struct EncoderInput<'a> {
    /// Log-Mel features `(B, F, T)`, f32, `1 <= T <= 2 * max_source_positions`.
    pub input_features: &'a Tensor,
    /// Valid frames of each item, `(B,)`, each in `1..=T`. Frames beyond are never read, so a
    /// batch of unequal clips gives what each clip gives alone. `None`: all frames are valid,
    /// which is how the published models see clips padded to 30 s.
    pub frame_lengths: Option<&'a [usize]>,
    /// Whether to return the state before every layer too.
    pub output_hidden_states: bool,
}

impl<'a> EncoderInput<'a> {
    /// Features whose frames are all valid; only the last state is returned.
    pub fn new(input_features: &'a Tensor) -> Self {
        Self { input_features, frame_lengths: None, output_hidden_states: false }
    }
}

/// What the encoder found.
#[derive(Debug, Clone)]
pub struct EncoderOutput {
    /// State after the final norm, `(B, T', D)` with `T' = ceil(T / 2)`.
    pub last_hidden_state: Tensor,
    /// On request: `L + 1` states `(B, T', D)`. Entry 0 is the embedding, entry `k` the state
    /// after layer `k`, and the last one is `last_hidden_state`, as in `transformers`.
    pub hidden_states: Vec<Tensor>,
    /// Valid positions of each item, `ceil(frames / 2)`. Later positions hold finite values
    /// without meaning.
    pub lengths: Vec<usize>,
}

impl EncoderOutput {
    /// `(B, T')`, U8, one where a position is valid; `None` when all are.
    pub fn key_mask(&self) -> tensor_core::Result<Option<Tensor>> {
        let positions = self.last_hidden_state.shape()[1];
        length_mask(&self.lengths, positions, &self.last_hidden_state)
    }
}

/// Whisper's speech encoder.
#[derive(Debug, Clone)]
pub struct WhisperEncoder {
    conv1: Conv1d,
    conv2: Conv1d,
    embed_positions: Var,
    layers: Vec<Arc<EncoderLayer>>,
    layer_norm: LayerNorm,
    dropout: f64,
    layerdrop: f64,
    n_mels: usize,
    gradient_checkpointing: bool,
}

impl WhisperEncoder {
    /// Builds below `builder`, which is the scope `model.encoder` of a folder.
    ///
    /// Positions start as sinusoids and are frozen, as in `transformers`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(builder: &Builder, config: &WhisperConfig) -> Result<Self> {
        config.check()?;
        let (width, init) = (config.d_model, Init::Normal(config.init_std));
        let conv1 = Conv1d::new(&builder.scope("conv1"), [width, config.num_mel_bins, 3], init)?;
        let conv2 = Conv1d::new(&builder.scope("conv2"), [width, width, 3], init)?.with_stride(2);
        let shape = [config.max_source_positions, width];
        let embed_positions = builder.get("embed_positions.weight", &shape, Init::Sinusoids)?;
        embed_positions.set_trainable(false);
        let layers = (0..config.encoder_layers)
            .map(|k| {
                Ok(Arc::new(EncoderLayer::new(&builder.scope(format!("layers.{k}")), config)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            conv1,
            conv2,
            embed_positions,
            layers,
            layer_norm: LayerNorm::new(&builder.scope("layer_norm"), width, NORM_EPS)?,
            dropout: config.dropout,
            layerdrop: config.encoder_layerdrop,
            n_mels: config.num_mel_bins,
            gradient_checkpointing: false,
        })
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.gradient_checkpointing = on;
    }

    /// Encodes a batch.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the features have another number of bands, too
    /// many frames, or a length that does not fit.
    pub fn forward(&self, ctx: &Context, input: &EncoderInput<'_>) -> Result<EncoderOutput> {
        let frames = self.check(input)?;
        let features = input.input_features;

        // 1. Convolutions. Each one sees zeros beyond an item's end, as it would alone.
        let gelu = Activation::Gelu;
        let x = zero_beyond(features, frames.as_deref())?;
        let x = gelu.forward(&self.conv1.forward(ctx, &x)?)?;
        let x = zero_beyond(&x, frames.as_deref())?;
        let x = gelu.forward(&self.conv2.forward(ctx, &x)?)?.transpose(1, 2)?;

        // 2. Positions.
        let positions = x.shape()[1];
        let embedding = ctx.param(&self.embed_positions).narrow(0, 0, positions)?;
        let mut x = ctx.dropout(&x.add(&embedding)?, self.dropout)?;
        let lengths = match &frames {
            Some(frames) => frames.iter().map(|frames| frames.div_ceil(2)).collect(),
            None => vec![positions; features.shape()[0]],
        };
        let key_mask = length_mask(&lengths, positions, &x)?;

        // 3. Layers.
        let mut hidden_states = Vec::new();
        for layer in &self.layers {
            if input.output_hidden_states {
                hidden_states.push(x.clone());
            }
            if skips_layer(ctx, self.layerdrop) {
                continue;
            }
            x = if self.gradient_checkpointing {
                let (layer, mask) = (Arc::clone(layer), key_mask.clone());
                ctx.checkpoint(&[&x], move |ctx, xs| layer.forward(ctx, &xs[0], mask.as_ref()))?
            } else {
                layer.forward(ctx, &x, key_mask.as_ref())?
            };
        }
        let last_hidden_state = self.layer_norm.forward(ctx, &x)?;
        if input.output_hidden_states {
            hidden_states.push(last_hidden_state.clone());
        }
        Ok(EncoderOutput { last_hidden_state, hidden_states, lengths })
    }

    /// Checks the input; returns the frame lengths unless all frames are valid.
    fn check(&self, input: &EncoderInput<'_>) -> Result<Option<Vec<usize>>> {
        let place = "whisper encoder";
        let &[batch, bands, frames] = input.input_features.shape() else {
            let shape = input.input_features.shape();
            let detail = format!("input_features is {shape:?}, expected (B, F, T)");
            return Err(ZooError::shape(place, detail));
        };
        if bands != self.n_mels {
            let detail = format!("input_features has {bands} mel bands, expected {}", self.n_mels);
            return Err(ZooError::shape(place, detail));
        }
        let longest = 2 * self.embed_positions.shape()[0];
        if frames == 0 || frames > longest {
            let detail = format!("input_features has {frames} frames, expected 1 to {longest}");
            return Err(ZooError::shape(place, detail).hint("cut longer clips into windows"));
        }
        let Some(lengths) = input.frame_lengths else { return Ok(None) };
        if lengths.len() != batch {
            let detail = format!("{} frame_lengths, expected {batch}", lengths.len());
            return Err(ZooError::shape(place, detail));
        }
        if let Some((k, n)) = lengths.iter().enumerate().find(|(_, n)| **n == 0 || **n > frames) {
            let detail = format!("frame_lengths[{k}] is {n}, expected 1 to {frames}");
            return Err(ZooError::shape(place, detail));
        }
        Ok(lengths.iter().any(|&n| n < frames).then(|| lengths.to_vec()))
    }
}

#[derive(Debug)]
struct EncoderLayer {
    self_attn: MultiHeadAttention,
    self_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
    dropout: f64,
}

impl EncoderLayer {
    fn new(builder: &Builder, config: &WhisperConfig) -> Result<Self> {
        let width = config.d_model;
        Ok(Self {
            self_attn: self::attention(
                &builder.scope("self_attn"),
                config,
                config.encoder_attention_heads,
            )?,
            self_attn_layer_norm: LayerNorm::new(
                &builder.scope("self_attn_layer_norm"),
                width,
                NORM_EPS,
            )?,
            feed_forward: FeedForward::new(builder, config, config.encoder_ffn_dim)?,
            dropout: config.dropout,
        })
    }

    fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let mixed = self.self_attn.forward(ctx, &normed, false, key_mask)?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        self.feed_forward.forward(ctx, &x)
    }
}

/// The second half of a layer: norm, two maps and the residual.
#[derive(Debug)]
pub(super) struct FeedForward {
    final_layer_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    dropout: f64,
    activation_dropout: f64,
}

impl FeedForward {
    pub(super) fn new(builder: &Builder, config: &WhisperConfig, inner: usize) -> Result<Self> {
        let (width, init) = (config.d_model, Init::Normal(config.init_std));
        Ok(Self {
            fc1: Linear::new(&builder.scope("fc1"), width, inner, init)?,
            fc2: Linear::new(&builder.scope("fc2"), inner, width, init)?,
            final_layer_norm: LayerNorm::new(&builder.scope("final_layer_norm"), width, NORM_EPS)?,
            activation: Activation::from_name(&config.activation_function)?,
            dropout: config.dropout,
            activation_dropout: config.activation_dropout,
        })
    }

    pub(super) fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let inner = self.fc1.forward(ctx, &self.final_layer_norm.forward(ctx, x)?)?;
        let inner = ctx.dropout(&self.activation.forward(&inner)?, self.activation_dropout)?;
        x.add(&ctx.dropout(&self.fc2.forward(ctx, &inner)?, self.dropout)?)
    }
}

/// Whisper's attention: the key projection alone has no bias.
pub(super) fn attention(
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

/// Whether this pass drops the layer about to run.
pub(super) fn skips_layer(ctx: &Context, layerdrop: f64) -> bool {
    layerdrop > 0.0
        && ctx
            .dropout_key()
            .is_some_and(|key| f64::from(Philox::new(key.seed, key.stream).uniform()) < layerdrop)
}

/// `x` `(B, C, T)` with zeros from each item's length on. A fill and not a product, because
/// padding may hold NaN.
fn zero_beyond(x: &Tensor, lengths: Option<&[usize]>) -> tensor_core::Result<Tensor> {
    let Some(lengths) = lengths else { return Ok(x.clone()) };
    let (batch, time) = (x.shape()[0], x.shape()[2]);
    let beyond: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t >= n))).collect();
    let mask = Tensor::from_vec(beyond, &[batch, 1, time], x.device())?;
    x.masked_fill(&mask.broadcast_to(x.shape())?, 0.0)
}

/// `(B, T)`, U8, one before each length; `None` when every item is full.
fn length_mask(
    lengths: &[usize],
    time: usize,
    like: &Tensor,
) -> tensor_core::Result<Option<Tensor>> {
    if lengths.iter().all(|&n| n == time) {
        return Ok(None);
    }
    let valid: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t < n))).collect();
    Tensor::from_vec(valid, &[lengths.len(), time], like.device()).map(Some)
}
