//! From samples to frames: strided convolutions over the raw waveform.

use std::sync::Arc;

use tensor_core::{Context, Conv1dOptions, Tensor, Var};

use super::config::{FeatExtractNorm, HubertConfig};
use crate::error::Result;
use crate::layers::{Activation, LayerNorm, LayerStack};
use crate::weights::{Builder, Init};

/// `norm_eps` of the feature encoder's norms; `transformers` leaves it at torch's default.
const NORM_EPS: f64 = 1e-5;

/// `feature_extractor`: convolutions without padding, so that a frame sees its own samples alone.
///
/// In the group form the first convolution's channels are normalised over the time of the item:
/// over its valid frames where lengths are given, over all frames otherwise. `transformers` has
/// no lengths there: the published group models were trained on clips padded with zeros, which
/// count.
#[derive(Debug, Clone)]
pub(super) struct FeatureEncoder {
    layers: LayerStack<ConvLayer>,
    convolutions: Vec<(usize, usize)>,
}

impl FeatureEncoder {
    pub(super) fn new(builder: &Builder, config: &HubertConfig) -> Result<Self> {
        let layers = LayerStack::new(config.conv_dim.len(), 0.0, |k| {
            ConvLayer::new(&builder.scope(format!("conv_layers.{k}")), config, k)
        })?;
        Ok(Self { layers, convolutions: config.convolutions().collect() })
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub(super) fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
    }

    /// Samples `(B, 1, S)`, finite throughout, to features `(B, C, F)`. `sample_lengths` are the
    /// valid samples of each item; `None`: all are.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        samples: Tensor,
        sample_lengths: Option<&[usize]>,
    ) -> tensor_core::Result<Tensor> {
        // Valid frames after each convolution.
        let lengths: Option<Arc<Vec<Vec<usize>>>> = sample_lengths.map(|samples| {
            let after = self.convolutions.iter().scan(samples.to_vec(), |n, &(kernel, stride)| {
                n.iter_mut().for_each(|n| *n = (*n - kernel) / stride + 1);
                Some(n.clone())
            });
            Arc::new(after.collect())
        });
        let (features, _) =
            self.layers.forward(ctx, vec![samples], false, move |layer, ctx, inputs| {
                let lengths = lengths.as_ref().map(|lengths| &lengths[layer.index][..]);
                layer.forward(ctx, &inputs[0], lengths)
            })?;
        Ok(features)
    }
}

/// What stands between a convolution and its activation.
#[derive(Debug)]
enum Norm {
    /// Each channel over time: weight and bias `(C,)`.
    Channel(Var, Var),
    /// Each frame over its channels.
    Frame(LayerNorm),
    None,
}

/// Convolution, norm if any, activation.
#[derive(Debug)]
struct ConvLayer {
    index: usize,
    weight: Var,
    bias: Option<Var>,
    stride: usize,
    norm: Norm,
    activation: Activation,
}

impl ConvLayer {
    fn new(builder: &Builder, config: &HubertConfig, index: usize) -> Result<Self> {
        let inputs = if index == 0 { 1 } else { config.conv_dim[index - 1] };
        let (outputs, kernel) = (config.conv_dim[index], config.conv_kernel[index]);
        let init = Init::Normal((2.0 / (inputs * kernel) as f64).sqrt());
        let conv = builder.scope("conv");
        let weight = conv.get("weight", &[outputs, inputs, kernel], init)?;
        let bias = match config.conv_bias {
            true => Some(conv.get("bias", &[outputs], Init::Zeros)?),
            false => None,
        };
        let scope = builder.scope("layer_norm");
        let norm = match config.feat_extract_norm {
            FeatExtractNorm::Group if index == 0 => Norm::Channel(
                scope.get("weight", &[outputs], Init::Ones)?,
                scope.get("bias", &[outputs], Init::Zeros)?,
            ),
            FeatExtractNorm::Group => Norm::None,
            FeatExtractNorm::Layer => Norm::Frame(LayerNorm::new(&scope, outputs, NORM_EPS)?),
        };
        let activation = Activation::from_name(&config.feat_extract_activation)?;
        Ok(Self { index, weight, bias, stride: config.conv_stride[index], norm, activation })
    }

    /// `(B, I, T)` to `(B, O, T')`; `lengths` are the valid frames of each item in `T'`.
    fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        lengths: Option<&[usize]>,
    ) -> tensor_core::Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| ctx.weight(bias)).transpose()?;
        let options = Conv1dOptions { stride: self.stride, ..Conv1dOptions::default() };
        let x = ctx.cast(x)?.conv1d(&ctx.weight(&self.weight)?, bias.as_ref(), options)?;
        // From here on with channels last, as the next convolution likes them too.
        let x = match &self.norm {
            Norm::Channel(weight, bias) => {
                let normed = norm_channels(&x, &ctx.param(weight), &ctx.param(bias), lengths)?;
                normed.transpose(1, 2)?
            }
            Norm::Frame(norm) => norm.forward(ctx, &x.transpose(1, 2)?)?,
            Norm::None => x.transpose(1, 2)?,
        };
        self.activation.forward(&x)?.transpose(1, 2)
    }
}

/// Normalises each channel of `x` `(B, C, T)` over the item's valid frames; later frames are zero.
fn norm_channels(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    lengths: Option<&[usize]>,
) -> tensor_core::Result<Tensor> {
    let (channels, time) = (x.shape()[1], x.shape()[2]);
    let norm = |x: &Tensor| x.group_norm(channels, weight, bias, NORM_EPS);
    let Some(lengths) = lengths else { return norm(x) };
    let items = lengths.iter().enumerate().map(|(item, &len)| {
        let normed = norm(&x.narrow(0, item, 1)?.narrow(2, 0, len)?)?;
        if len == time {
            return Ok(normed);
        }
        let rest = Tensor::zeros(&[1, channels, time - len], normed.dtype(), normed.device())?;
        Tensor::cat(&[&normed, &rest], 2)
    });
    let items = items.collect::<tensor_core::Result<Vec<_>>>()?;
    Tensor::cat(&items.iter().collect::<Vec<_>>(), 0)
}
