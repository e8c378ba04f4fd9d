//! Several pairs of clouds at once, as when every layer of an encoder is aligned.

use ndarray::Array2;

use super::contrast::Contrast;
use super::layer::Layer;
use super::{Options, Output};
use crate::error::{KernelError, Result};

/// The sum over layers, and what each gives to it.
#[derive(Debug, Clone)]
pub struct Layers<V = Array2<f32>> {
    /// `sum_l weight_l L_l`.
    pub value: f64,
    /// Values and gradients of the layers, times their weights.
    pub layers: Vec<Output<V>>,
}

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
