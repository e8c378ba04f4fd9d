//! Several pairs of batches at once, as when every layer of a language model is aligned.

use super::{Output, Softmax, check_pairing, contrast_blocks};
use crate::error::{KernelError, Result};
use crate::info_nce;
use crate::place::{Cloud, Host, Place};
use crate::ragged::Ragged;
use crate::sinkhorn::{self, Gradients, Transport, Weights};

/// One pair of batches of clouds.
#[derive(Debug, Clone)]
pub struct Layer<'a, P: Place = Host> {
    /// Anchors, `(N, D)` in `B_x` items.
    pub x: Ragged<'a, P>,
    /// Partners and negatives, `(M, D)` in `B_y` items.
    pub y: Ragged<'a, P>,
    /// Weights of the points of both; uniform unless given.
    pub weights: Weights<'a>,
    /// Of this layer's softmax, in place of the options'.
    pub temperature: f64,
    /// Factor of this layer's loss in the sum.
    pub weight: f64,
}

/// The sum over layers, and what each gives to it.
#[derive(Debug, Clone)]
pub struct Layers<G = Gradients> {
    /// `sum_l weight_l L_l`.
    pub value: f64,
    /// Values and gradients of the layers, times their weights. Divergences, log-sum-exps and transport are
    /// without them.
    pub layers: Vec<Output<G>>,
}

/// Weighted sum of InfoNCE between clouds over layers, with gradients: contr-wasser-all.
///
/// ```text
/// L = sum_l weight_l * wasserstein_info_nce(x_l, y_l; temperature_l)
/// ```
///
/// All pairs of all layers, and all items with themselves, are one batch of transport. Layers have the same
/// numbers of items, which the masks of `contrast` are of, and points of one width; their items may be of
/// any lengths.
///
/// # Errors
///
/// As [`wasserstein_info_nce`](fn@super::wasserstein_info_nce);
/// [`Shape`](crate::ErrorKind::Shape) when layers differ in width or in the number of items;
/// [`Option`](crate::ErrorKind::Option) when a weight is not finite, and on a device when layers of a side
/// are not all f32 or all bf16, or not of one stride.
///
/// # Numerics
///
/// On the host a layer of weight 1 has the bits of a call by itself; other weights are one more rounding of
/// the slopes. A device may choose other kernels for larger batches.
///
/// # On a GPU
///
/// Points of all layers are copied into one piece, and gradients out of one.
///
/// # Source
///
/// arXiv:2412.15712, section 3.2 and its code: layers summed without weights.
///
/// # Examples
///
/// ```
/// use align_kernels::info_nce::Options;
/// use align_kernels::sinkhorn::{self, Weights};
/// use align_kernels::wasserstein_info_nce::{Layer, contr_wasser, wasserstein_info_nce_layers};
/// use align_kernels::{GradientSides, Ragged};
/// use ndarray::array;
///
/// // Two layers of two texts, of one token and of two, and of two recordings.
/// let text = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 1.0]];
/// let speech = array![[1.0f32, 0.1], [1.0, 0.0], [-0.5, 1.0]];
/// let layer = || {
///     let x = Ragged::new(text.view().into(), &[0, 1, 3])?;
///     let y = Ragged::new(speech.view().into(), &[0, 2, 3])?;
///     Ok(Layer { x, y, weights: Weights::default(), temperature: 0.1, weight: 1.0 })
/// };
/// // Texts are constants.
/// let transport = sinkhorn::Options { gradients: GradientSides::Y, ..contr_wasser(0.05) };
/// let layers = [layer()?, layer()?];
/// let out = wasserstein_info_nce_layers(&layers, &transport, &Options::default())?;
/// assert_eq!(out.value, out.layers[0].value + out.layers[1].value);
/// assert_eq!(out.layers[1].gradients.y.dim(), (3, 2));
/// assert!(out.layers[1].gradients.x.is_empty());
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn wasserstein_info_nce_layers<P: Transport>(
    layers: &[Layer<'_, P>],
    transport: &sinkhorn::Options,
    contrast: &info_nce::Options<'_>,
) -> Result<Layers<P::Gradients>> {
    check_pairing("wasserstein_info_nce_layers", transport)?;
    check(layers)?;
    if layers.is_empty() {
        return Ok(Layers { value: 0.0, layers: Vec::new() });
    }
    let (x, y): (Vec<_>, Vec<_>) = layers.iter().map(|layer| (&layer.x, &layer.y)).unzip();
    let weights: Vec<_> = layers.iter().map(|layer| layer.weights).collect();
    let softmax =
        |layer: &Layer<'_, P>| Softmax { temperature: layer.temperature, weight: layer.weight };
    let softmaxes: Vec<_> = layers.iter().map(softmax).collect();
    let layers = contrast_blocks(&x, &y, &weights, &softmaxes, transport, contrast)?;
    Ok(Layers { value: layers.iter().map(|layer| layer.value).sum(), layers })
}

/// Refuses layers that do not fit each other.
fn check<P: Place>(layers: &[Layer<'_, P>]) -> Result<()> {
    const OP: &str = "wasserstein_info_nce_layers";
    let Some(first) = layers.first() else { return Ok(()) };
    let width = first.x.points().width();
    for (l, layer) in layers.iter().enumerate() {
        if !layer.weight.is_finite() {
            let text = format!("weight of layer {l} is {}, expected finite", layer.weight);
            return Err(KernelError::option(OP, text, "0 leaves a layer out"));
        }
        for (name, side, items) in
            [("x", &layer.x, first.x.items()), ("y", &layer.y, first.y.items())]
        {
            let (got, got_items) = (side.points().width(), side.items());
            if got == 0 {
                let text = format!("{name} of layer {l} has width 0, expected at least 1");
                return Err(KernelError::shape(OP, text));
            }
            if got != width {
                let text =
                    format!("{name} of layer {l} has width {got}, expected that of all, {width}");
                return Err(KernelError::shape(OP, text));
            }
            if got_items != items {
                let text = format!(
                    "{name} of layer {l} has {got_items} items, expected those of layer 0, {items}"
                );
                return Err(KernelError::shape(OP, text));
            }
        }
    }
    Ok(())
}
