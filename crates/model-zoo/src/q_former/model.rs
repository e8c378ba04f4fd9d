//! The Q-Former as a whole: windows, queries, layers and the projection.

use std::path::Path;

use tensor_core::{Context, DType, Tensor, Var};

use super::config::QFormerConfig;
use super::layer::QFormerLayer;
use crate::config::ModelConfig;
use crate::error::Result;
use crate::folder::ModelFolder;
use crate::layers::{LayerNorm, LayerStack, Linear, length_mask};
use crate::projected::{Projected, frames_of};
use crate::weights::{Builder, Init, LoadOptions, NameRules, Parameters};

/// Frames to `num_query_tokens` vectors a window, in order.
#[derive(Debug, Clone)]
pub struct QFormer {
    /// Dimensions.
    pub config: QFormerConfig,
    input_norm: LayerNorm,
    /// `(1, Q, D)`.
    query_tokens: Var,
    query_norm: LayerNorm,
    layers: LayerStack<QFormerLayer>,
    language_projection: Linear,
    parameters: Parameters,
}

impl QFormer {
    /// Builds the model from `root`, the root of a folder or a generator.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself. Mismatches with
    /// a folder are reported by [`Builder::finish`].
    pub fn new(root: &Builder, config: &QFormerConfig) -> Result<Self> {
        config.check()?;
        let mark = root.mark();
        let (width, init) = (config.hidden_size, Init::Normal(config.initializer_range));
        let norm = |name: &str, width, eps| LayerNorm::new(&root.scope(name), width, eps);
        let input_norm = norm("input_norm", config.encoder_hidden_size, config.input_norm_eps)?;
        let query_tokens = root.get("query_tokens", &[1, config.num_query_tokens, width], init)?;
        let query_norm = norm("qformer.layernorm", width, config.layer_norm_eps)?;
        let layers = LayerStack::new(config.num_hidden_layers, 0.0, |k| {
            QFormerLayer::new(&root.scope(format!("qformer.encoder.layer.{k}")), config)
        })?;
        let language_projection =
            Linear::new(&root.scope("language_projection"), width, config.output_size, init)?;
        Ok(Self {
            config: config.clone(),
            input_norm,
            query_tokens,
            query_norm,
            layers,
            language_projection,
            parameters: root.made_since(mark),
        })
    }

    /// Opens a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or, listing every
    /// tensor that does not fit, [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = QFormerConfig::open(dir)?;
        Builder::open_model(dir, NameRules::exact(), options, |root| Self::new(root, &config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
    }

    /// Frames `(B, F, encoder_hidden_size)` to vectors `(B, N, output_size)`, where `N` is
    /// [`output_length`](QFormerConfig::output_length) of `F`. Item `b` has `lengths[b]` frames;
    /// what is behind them is never read. A window's vectors are valid when at least one of its
    /// frames is.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the frames have another shape or none, or there
    /// is not one length of at most `F` for each item.
    pub fn forward(&self, ctx: &Context, frames: &Tensor, lengths: &[usize]) -> Result<Projected> {
        let config = &self.config;
        let (place, width, window) = ("q_former", config.encoder_hidden_size, config.window_size);
        let frames = frames_of(place, frames, lengths, width)?;
        let frames = self.input_norm.forward(ctx, &frames)?;
        let (batch, time) = (frames.shape()[0], frames.shape()[1]);
        let windows = time.div_ceil(window);
        let padding = [batch, windows * window - time, width];
        let frames = match padding[1] {
            0 => frames,
            _ => {
                let padding = Tensor::zeros(&padding, frames.dtype(), frames.device())?;
                Tensor::cat(&[&frames, &padding], 1)?
            }
        };
        let frames = frames.reshape(&[batch * windows, window, width])?;
        let seen: Vec<usize> = lengths
            .iter()
            .flat_map(|&n| (0..windows).map(move |w| n.saturating_sub(w * window).min(window)))
            .collect();
        let key_mask = length_mask(&seen, window, frames.device())?;

        let queries = self.query_norm.forward(ctx, &ctx.param(&self.query_tokens))?;
        let (n_queries, hidden) = (config.num_query_tokens, config.hidden_size);
        let queries = queries.broadcast_to(&[batch * windows, n_queries, hidden])?;
        let queries = ctx.dropout(&queries, config.hidden_dropout_prob)?;
        let (states, _) =
            self.layers.forward(ctx, vec![queries, frames], false, move |layer, ctx, inputs| {
                layer.forward(ctx, &inputs[0], &inputs[1], key_mask.as_ref())
            })?;
        let vectors = self.language_projection.forward(ctx, &states)?;
        Ok(Projected {
            vectors: vectors.reshape(&[batch, windows * n_queries, config.output_size])?,
            lengths: lengths.iter().map(|&n| config.output_length(n)).collect(),
        })
    }

    /// Writes `config.json` and `model.safetensors`, which [`open`](Self::open) reads. `dtype`
    /// converts the weights; `None` keeps them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.config, &self.parameters);
        ModelFolder { config, architecture: "QFormer", parameters, aliases: &[] }.save(dir, dtype)
    }
}
