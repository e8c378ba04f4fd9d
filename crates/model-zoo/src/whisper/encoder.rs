//! Whisper's encoder: two convolutions, fixed positions, pre-norm transformer layers.

use tensor_core::{Context, Tensor, Var};

use super::config::WhisperConfig;
use super::layer::{EncoderLayer, norm};
use crate::config::ModelConfig;
use crate::error::{Result, ZooError};
use crate::layers::{Activation, Conv1d, LayerNorm, LayerStack, Sight, length_mask, zero_beyond};
use crate::weights::{Builder, Init};

/// What the encoder reads.
#[derive(Debug, Clone, Copy)]
pub struct EncoderInput<'a> {
    /// Log-Mel features `(B, F, T)`, f32, `1 <= T <= 2 * max_source_positions`.
    pub input_features: &'a Tensor,
    /// Valid frames of each item, `(B,)`, each in `1..=T`. Frames beyond are never read, so a
    /// batch of unequal clips gives what each clip gives alone. `None`: all frames are valid,
    /// which is how the published models see clips padded to 30 s.
    pub frame_lengths: Option<&'a [usize]>,
    /// Number of the first position, 0 in the published models. Training from scratch shifts it
    /// at random, so that nothing is learnt about absolute times.
    pub first_position: usize,
    /// Whether to return the state before every layer too.
    pub output_hidden_states: bool,
}

impl<'a> EncoderInput<'a> {
    /// Features whose frames are all valid; only the last state is returned.
    pub fn new(input_features: &'a Tensor) -> Self {
        Self { input_features, frame_lengths: None, first_position: 0, output_hidden_states: false }
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
        length_mask(&self.lengths, positions, self.last_hidden_state.device())
    }

    /// One item alone, without the hidden states of the layers.
    pub(super) fn item(&self, item: usize) -> tensor_core::Result<Self> {
        Ok(Self {
            last_hidden_state: self.last_hidden_state.narrow(0, item, 1)?.contiguous()?,
            hidden_states: Vec::new(),
            lengths: vec![self.lengths[item]],
        })
    }
}

/// Whisper's speech encoder.
#[derive(Debug, Clone)]
pub struct WhisperEncoder {
    conv1: Conv1d,
    conv2: Conv1d,
    embed_positions: Var,
    layers: LayerStack<EncoderLayer>,
    layer_norm: LayerNorm,
    dropout: f64,
    n_mels: usize,
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
        let layers = LayerStack::new(config.encoder_layers, config.encoder_layerdrop, |k| {
            EncoderLayer::new(&builder.scope(format!("layers.{k}")), config)
        })?;
        Ok(Self {
            conv1,
            conv2,
            embed_positions,
            layers,
            layer_norm: norm(builder, "layer_norm", config)?,
            dropout: config.dropout,
            n_mels: config.num_mel_bins,
        })
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
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
        let embedding =
            ctx.param(&self.embed_positions).narrow(0, input.first_position, positions)?;
        let x = ctx.dropout(&x.add(&embedding)?, self.dropout)?;
        let lengths = match &frames {
            Some(frames) => frames.iter().map(|frames| frames.div_ceil(2)).collect(),
            None => vec![positions; features.shape()[0]],
        };
        let key_mask = length_mask(&lengths, positions, x.device())?;

        // 3. Layers.
        let keep = input.output_hidden_states;
        let (x, mut hidden_states) =
            self.layers.forward(ctx, vec![x], keep, move |layer, ctx, inputs| {
                layer.forward(ctx, &inputs[0], Sight::masked(key_mask.as_ref()))
            })?;
        let last_hidden_state = self.layer_norm.forward(ctx, &x)?;
        if keep {
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
        let all = self.embed_positions.shape()[0];
        let Some(left) = all.checked_sub(input.first_position) else {
            let detail = format!("first_position is {}, expected 0 to {all}", input.first_position);
            return Err(ZooError::shape(place, detail));
        };
        let longest = 2 * left;
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
