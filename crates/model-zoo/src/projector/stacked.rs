//! Projectors that take `k` frames at a time, as SLAM-LLM has them.

use std::path::Path;

use tensor_core::{Context, Conv1dOptions, DType, Tensor, Var};

use super::config::{Conv1dFile, LinearFile, StackedConfig};
use crate::config;
use crate::error::{Result, ZooError};
use crate::folder::ModelFolder;
use crate::layers::Linear;
use crate::projected::{Projected, frames_of};
use crate::weights::{Builder, Init, LoadOptions, NameRules, Parameters};

/// `y = W2 relu(W1 [x_1 .. x_k])` of every `k` frames.
#[derive(Debug, Clone)]
pub struct LinearProjector {
    /// Dimensions.
    pub config: StackedConfig,
    maps: [Linear; 2],
    parameters: Parameters,
}

impl LinearProjector {
    /// Builds the projector from `root`, the root of a folder or a generator.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when a dimension is zero.
    pub fn new(root: &Builder, config: &StackedConfig) -> Result<Self> {
        config.check_extents()?;
        let mark = root.mark();
        let stacked = config.encoder_dim * config.encoder_projector_ds_rate;
        let maps = two_maps(root, stacked, config)?;
        Ok(Self { config: config.clone(), maps, parameters: root.made_since(mark) })
    }

    /// Opens a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or
    /// [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let LinearFile(config) = config::open(dir)?;
        Builder::open_model(dir, NameRules::exact(), options, |root| Self::new(root, &config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Frames `(B, F, encoder_dim)` to vectors `(B, F / k, output_size)`.
    ///
    /// # Errors
    ///
    /// As [`Projector::forward`](super::Projector::forward).
    pub fn forward(&self, ctx: &Context, frames: &Tensor, lengths: &[usize]) -> Result<Projected> {
        let (config, k) = (&self.config, self.config.encoder_projector_ds_rate);
        let (frames, stacks) = whole_stacks("linear_projector", frames, lengths, config)?;
        let x = frames.reshape(&[frames.shape()[0], stacks, k * config.encoder_dim])?;
        Ok(Projected {
            vectors: two_layers(ctx, &self.maps, &x)?,
            lengths: lengths.iter().map(|&n| config.output_length(n)).collect(),
        })
    }

    /// Writes `config.json` and `model.safetensors`, which [`open`](Self::open) reads.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&LinearFile(self.config.clone()), &self.parameters);
        let architecture = "LinearProjector";
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)
    }
}

/// `y = W2 relu(W1 relu(conv(x)))`, where the convolution keeps the width and has `k` as its
/// kernel and stride.
#[derive(Debug, Clone)]
pub struct Conv1dProjector {
    /// Dimensions.
    pub config: StackedConfig,
    /// `(encoder_dim, encoder_dim, k)`.
    weight: Var,
    /// `(encoder_dim,)`.
    bias: Var,
    maps: [Linear; 2],
    parameters: Parameters,
}

impl Conv1dProjector {
    /// Builds the projector from `root`, the root of a folder or a generator.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when a dimension is zero.
    pub fn new(root: &Builder, config: &StackedConfig) -> Result<Self> {
        config.check_extents()?;
        let mark = root.mark();
        let (width, k) = (config.encoder_dim, config.encoder_projector_ds_rate);
        let init = Init::fan_in(width * k);
        Ok(Self {
            weight: root.get("conv1d.weight", &[width, width, k], init)?,
            bias: root.get("conv1d.bias", &[width], init)?,
            maps: two_maps(root, width, config)?,
            config: config.clone(),
            parameters: root.made_since(mark),
        })
    }

    /// Opens a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or
    /// [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let Conv1dFile(config) = config::open(dir)?;
        Builder::open_model(dir, NameRules::exact(), options, |root| Self::new(root, &config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Frames `(B, F, encoder_dim)` to vectors `(B, F / k, output_size)`.
    ///
    /// # Errors
    ///
    /// As [`Projector::forward`](super::Projector::forward).
    pub fn forward(&self, ctx: &Context, frames: &Tensor, lengths: &[usize]) -> Result<Projected> {
        let config = &self.config;
        let (frames, _) = whole_stacks("conv1d_projector", frames, lengths, config)?;
        let stride = config.encoder_projector_ds_rate;
        let options = Conv1dOptions { stride, ..Conv1dOptions::default() };
        let (weight, bias) = (ctx.weight(&self.weight)?, ctx.weight(&self.bias)?);
        let x = ctx.cast(&frames)?.transpose(1, 2)?.conv1d(&weight, Some(&bias), options)?;
        Ok(Projected {
            vectors: two_layers(ctx, &self.maps, &x.relu()?.transpose(1, 2)?)?,
            lengths: lengths.iter().map(|&n| config.output_length(n)).collect(),
        })
    }

    /// Writes `config.json` and `model.safetensors`, which [`open`](Self::open) reads.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&Conv1dFile(self.config.clone()), &self.parameters);
        let architecture = "Conv1dProjector";
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)
    }
}

/// Frames without the last `F mod k`, and how many times `k` they are.
fn whole_stacks(
    place: &str,
    frames: &Tensor,
    lengths: &[usize],
    config: &StackedConfig,
) -> Result<(Tensor, usize)> {
    let frames = frames_of(place, frames, lengths, config.encoder_dim)?;
    let (k, time) = (config.encoder_projector_ds_rate, frames.shape()[1]);
    if time < k {
        let detail = format!("{time} frames, expected at least {k}");
        let hint = "encoder_projector_ds_rate frames become one vector";
        return Err(ZooError::shape(place, detail).hint(hint));
    }
    Ok((frames.narrow(1, 0, time / k * k)?, time / k))
}

fn two_maps(root: &Builder, inputs: usize, config: &StackedConfig) -> Result<[Linear; 2]> {
    let map = |name: &str, inputs: usize, outputs: usize| -> Result<Linear> {
        let (scope, init) = (root.scope(name), Init::fan_in(inputs));
        let weight = scope.get("weight", &[outputs, inputs], init)?;
        Ok(Linear::from_vars(weight, Some(scope.get("bias", &[outputs], init)?)))
    };
    Ok([
        map("linear1", inputs, config.hidden_size)?,
        map("linear2", config.hidden_size, config.output_size)?,
    ])
}

fn two_layers(ctx: &Context, maps: &[Linear; 2], x: &Tensor) -> tensor_core::Result<Tensor> {
    maps[1].forward(ctx, &maps[0].forward(ctx, x)?.relu()?)
}
