//! Positions as a convolution: what a frame's neighbourhood says about where it is.

use tensor_core::{Context, Conv1dOptions, DType, Tensor, Var};

use super::config::HubertConfig;
use crate::error::Result;
use crate::layers::{Activation, zero_beyond};
use crate::weights::{Builder, Init};

/// `pos_conv_embed`: a grouped convolution of a wide kernel, as long as its input, and an
/// activation.
///
/// Its weight is normed over the taps (Salimans and Kingma 2016, arXiv:1602.07868, equation 2,
/// with one gain a tap):
///
/// ```text
/// w[:, :, k] = g[k] v[:, :, k] / ||v[:, :, k]||
/// ```
#[derive(Debug, Clone)]
pub(super) struct PositionalConvolution {
    /// `(1, 1, K)`.
    gain: Var,
    /// `(D, D / groups, K)`.
    direction: Var,
    bias: Var,
    groups: usize,
    activation: Activation,
}

impl PositionalConvolution {
    pub(super) fn new(builder: &Builder, config: &HubertConfig) -> Result<Self> {
        let (width, kernel) = (config.hidden_size, config.num_conv_pos_embeddings);
        let groups = config.num_conv_pos_embedding_groups;
        let std = 2.0 / ((kernel * width) as f64).sqrt();
        // Of all taps alike, so that the fresh weight is what was drawn but for its scatter.
        let gain = std * ((width * width / groups) as f64).sqrt();
        let conv = builder.scope("conv");
        let weight = conv.scope("parametrizations.weight");
        Ok(Self {
            bias: conv.get("bias", &[width], Init::Zeros)?,
            gain: weight.get("original0", &[1, 1, kernel], Init::Constant(gain))?,
            direction: weight.get(
                "original1",
                &[width, width / groups, kernel],
                Init::Normal(std),
            )?,
            groups,
            activation: Activation::from_name(&config.feat_extract_activation)?,
        })
    }

    /// The weight `(D, D / groups, K)` that the two parts make, in f32 where they are kept in half.
    fn weight(&self, ctx: &Context) -> tensor_core::Result<Tensor> {
        let wide = |var: &Var| {
            let value = ctx.param(var);
            match value.dtype() {
                DType::BF16 | DType::F16 => value.to_dtype(DType::F32),
                _ => Ok(value),
            }
        };
        let direction = wide(&self.direction)?;
        let norm = direction.sqr()?.sum(&[0, 1], true)?.sqrt()?;
        ctx.cast(&direction.mul(&wide(&self.gain)?.div(&norm)?)?)
    }

    /// `x` `(B, F, D)` and its positions added. Frames from `lengths` on count as zero.
    pub(super) fn add_to(
        &self,
        ctx: &Context,
        x: &Tensor,
        lengths: Option<&[usize]>,
    ) -> tensor_core::Result<Tensor> {
        let x = zero_beyond(&x.transpose(1, 2)?, lengths)?;
        let weight = self.weight(ctx)?;
        let kernel = weight.shape()[2];
        let options =
            Conv1dOptions { padding: kernel / 2, groups: self.groups, ..Conv1dOptions::default() };
        let bias = ctx.weight(&self.bias)?;
        let positions = ctx.cast(&x)?.conv1d(&weight, Some(&bias), options)?;
        // An even kernel gives one frame too many, which falls away at the end.
        let positions = positions.narrow(2, 0, x.shape()[2])?;
        x.add(&self.activation.forward(&positions)?)?.transpose(1, 2)
    }
}
