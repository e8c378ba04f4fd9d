//! Several pairs of clouds at once, as when every layer of an encoder is aligned.

use cpu_math::parallel::map_tasks;
use ndarray::Array2;

use super::contrast::Contrast;
use super::{Options, Output, weighted};
use crate::error::{KernelError, Result};
use crate::place::{Host, Place};

/// One pair of clouds.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a, P: Place = Host> {
    /// Anchors, `(N, D)`.
    pub x: P::Points<'a>,
    /// Partners and negatives, `(M, D)`.
    pub y: P::Points<'a>,
    /// Of this layer, in place of the options'.
    pub temperature: f64,
    /// Factor of this layer's loss in the sum.
    pub weight: f64,
}

/// The sum over layers, and what each gives to it.
#[derive(Debug, Clone)]
pub struct Layers<V = Array2<f32>> {
    /// `sum_l weight_l L_l`.
    pub value: f64,
    /// Values and gradients of the layers, times their weights.
    pub layers: Vec<Output<V>>,
}

/// Multiply-adds of a layer that keep several threads busy; smaller layers run side by side.
const LARGE_WORK: usize = 1 << 26;

/// Weighted sum of InfoNCE over layers, with gradients.
///
/// ```text
/// L = sum_l weight_l * info_nce(x_l, y_l; temperature_l)
/// ```
///
/// Extents may differ from layer to layer, as long as masks fit them. On a
/// device all layers of one form go through each kernel together.
///
/// # Errors
///
/// As [`info_nce`](fn@super::info_nce), for the first layer that has one;
/// [`Option`](crate::ErrorKind::Option) when a weight is not finite.
pub fn info_nce_layers<P: Contrast>(
    layers: &[Layer<'_, P>],
    options: &Options<'_>,
) -> Result<Layers<P::Gradient>> {
    if let Some((l, layer)) = layers.iter().enumerate().find(|(_, layer)| !layer.weight.is_finite())
    {
        let text = format!("weight of layer {l} is {}, expected finite", layer.weight);
        return Err(KernelError::option("info_nce_layers", text, "0 leaves a layer out"));
    }
    let layers = P::contrast_layers(layers, options)?;
    Ok(Layers { value: layers.iter().map(|layer| layer.value).sum(), layers })
}

/// The layers on the host.
pub(super) fn run(layers: &[Layer<'_>], options: &Options<'_>) -> Result<Vec<Output>> {
    let run = |layer: &Layer<'_>| {
        let options = Options { temperature: layer.temperature, ..*options };
        weighted(layer.x, layer.y, &options, layer.weight)
    };
    let work = |layer: &Layer<'_>| layer.x.count() * layer.y.count() * layer.x.width();
    if layers.iter().any(|layer| work(layer) > LARGE_WORK) {
        layers.iter().map(run).collect()
    } else {
        map_tasks(layers.len(), |l| run(&layers[l])).into_iter().collect()
    }
}
