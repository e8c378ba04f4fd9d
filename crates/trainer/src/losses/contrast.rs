//! Contrasts between recordings and texts over several layers of a language model.
//!
//! Texts are constants: their states do not depend on what is trained. Both functions return the sum
//! over layers and items of InfoNCE, arXiv 2412.15712 (eq. 1), and differ in what is compared.

use align_kernels::info_nce::{self, info_nce_layers};
use align_kernels::sinkhorn::{self, Weights};
use align_kernels::wasserstein_info_nce::{Layer, contr_wasser, wasserstein_info_nce_layers};
use align_kernels::{GradientSides, Ragged};
use ndarray::Array2;
use tensor_core::{DType, Device, Result, Tensor};

use super::fused::{fused_of, matrix, of_kernel, tensor};
use crate::recipe::Direction;

/// How sides are compared.
#[derive(Debug, Clone, Copy)]
pub struct ContrastOptions<'a> {
    /// Divides similarities, unless one is learned.
    pub temperature: f64,
    /// A scalar whose exponential divides similarities, and which has a gradient.
    pub log_temperature: Option<&'a Tensor>,
    /// Which side has the anchors.
    pub direction: Direction,
}

impl ContrastOptions<'_> {
    fn temperature(&self) -> Result<f64> {
        Ok(match self.log_temperature {
            Some(log) => log.item()?.exp(),
            None => self.temperature,
        })
    }

    fn of_kernel(&self) -> Result<info_nce::Options<'static>> {
        let symmetric = self.direction == Direction::Symmetric;
        let temperature = self.temperature()?;
        Ok(info_nce::Options { temperature, symmetric, ..info_nce::Options::default() })
    }

    /// The side with the anchors first.
    fn ordered<T>(&self, text: T, speech: T) -> (T, T) {
        match self.direction {
            Direction::TextToSpeech | Direction::Symmetric => (text, speech),
            Direction::SpeechToText => (speech, text),
        }
    }
}

/// By the cosine of one vector an item: a `(B, D)` a layer on either side.
///
/// # Errors
///
/// [`Shape`](tensor_core::ErrorKind::Shape) unless both sides have the same extents, and
/// [`Option`](tensor_core::ErrorKind::Option) when the temperature is not positive.
pub fn contrast_cosine(
    text: &[Tensor],
    speech: &[Tensor],
    options: &ContrastOptions<'_>,
) -> Result<Tensor> {
    let (texts, own) = (matrices("text", text)?, matrices("speech", speech)?);
    let contrast = options.of_kernel()?;
    let layers: Vec<info_nce::Layer<'_>> = texts
        .iter()
        .zip(&own)
        .map(|(text, speech)| {
            let (x, y) = options.ordered(text.view().into(), speech.view().into());
            info_nce::Layer { x, y, temperature: contrast.temperature, weight: 1.0 }
        })
        .collect();
    let found = info_nce_layers(&layers, &contrast).map_err(of_kernel)?;
    let slopes = found.layers.into_iter().map(|layer| {
        let (_, of_speech) = options.ordered(layer.grad_x, layer.grad_y);
        (of_speech, layer.grad_temperature)
    });
    let items = texts.first().map_or(0, Array2::nrows);
    summed(speech, options, items, found.value, slopes.collect())
}

/// Vectors of a batch at one layer: `(rows, D)`, those of an item behind those of the one before.
#[derive(Debug, Clone)]
pub struct Clouds {
    /// All vectors.
    pub rows: Tensor,
    /// Where items begin and the last one ends.
    pub offsets: Vec<usize>,
}

/// By minus the Sinkhorn divergence (eq. 2) between all vectors of two items, a layer an entry.
///
/// # Errors
///
/// As [`contrast_cosine`], and when there are not as many texts as recordings.
pub fn contrast_wasserstein(
    text: &[Clouds],
    speech: &[Clouds],
    blur: f64,
    options: &ContrastOptions<'_>,
) -> Result<Tensor> {
    let contrast = options.of_kernel()?;
    let (_, gradients) = options.ordered(GradientSides::X, GradientSides::Y);
    let transport = sinkhorn::Options { gradients, ..contr_wasser(blur) };
    let rows = |name, side: &[Clouds]| {
        side.iter().map(|layer| matrix(OP, name, &layer.rows)).collect::<Result<Vec<_>>>()
    };
    let (texts, own) = (rows("text", text)?, rows("speech", speech)?);
    let layers = (texts.iter().zip(text).zip(own.iter().zip(speech)))
        .map(|((texts, text), (own, speech))| {
            let texts = Ragged::new(texts.view().into(), &text.offsets).map_err(of_kernel)?;
            let own = Ragged::new(own.view().into(), &speech.offsets).map_err(of_kernel)?;
            let (x, y) = options.ordered(texts, own);
            let (weights, temperature) = (Weights::default(), contrast.temperature);
            Ok(Layer { x, y, weights, temperature, weight: 1.0 })
        })
        .collect::<Result<Vec<_>>>()?;
    let found = wasserstein_info_nce_layers(&layers, &transport, &contrast).map_err(of_kernel)?;
    let slopes = found.layers.into_iter().map(|layer| {
        let (_, of_speech) = options.ordered(layer.gradients.x, layer.gradients.y);
        (of_speech, layer.grad_temperature)
    });
    let items = text.first().map_or(0, |text| text.offsets.len() - 1);
    let rows: Vec<Tensor> = speech.iter().map(|speech| speech.rows.clone()).collect();
    summed(&rows, options, items, found.value, slopes.collect())
}

const OP: &str = "contrast";

fn matrices(name: &str, layers: &[Tensor]) -> Result<Vec<Array2<f32>>> {
    layers.iter().map(|states| matrix(OP, name, states)).collect()
}

/// `items` times a mean over items, with its slopes by the layers of `speech` and by the temperature.
fn summed(
    speech: &[Tensor],
    options: &ContrastOptions<'_>,
    items: usize,
    mean: f64,
    slopes: Vec<(Array2<f32>, f64)>,
) -> Result<Tensor> {
    let items = items as f64;
    let by_temperature: f64 = slopes.iter().map(|(_, slope)| slope).sum();
    let mut inputs: Vec<&Tensor> = speech.iter().collect();
    let mut gradients = slopes
        .into_iter()
        .map(|(gradient, _)| tensor(gradient.mapv_into(|slope| slope * items as f32)))
        .collect::<Result<Vec<_>>>()?;
    if let Some(log) = options.log_temperature {
        inputs.push(log);
        let slope = by_temperature * options.temperature()? * items;
        gradients.push(Tensor::full(log.shape(), slope, DType::F32, Device::Cpu)?);
    }
    fused_of(&inputs, mean * items, gradients)
}

#[cfg(test)]
mod tests {
    use super::super::golden::noise;
    use super::*;

    /// Both losses between texts and recordings, at two layers.
    fn both(text: u64, speech: u64, direction: Direction) -> [f64; 2] {
        let options = ContrastOptions { temperature: 0.3, log_temperature: None, direction };
        let layers = |seed| [noise(&[5, 3], seed), noise(&[5, 3], seed + 1)];
        let clouds =
            |seed| layers(seed).map(|rows| Clouds { rows, offsets: vec![0, 2, 3, 5] }).to_vec();
        let cosine = contrast_cosine(&layers(text), &layers(speech), &options).unwrap();
        let moved = contrast_wasserstein(&clouds(text), &clouds(speech), 0.05, &options).unwrap();
        [cosine, moved].map(|loss| loss.item().unwrap())
    }

    #[test]
    fn directions_are_each_other_with_the_sides_exchanged() {
        let (there, back) = (Direction::TextToSpeech, Direction::SpeechToText);
        assert_eq!(both(1, 7, there), both(7, 1, back));
        assert!(both(1, 7, there) != both(1, 7, back));
        let (one, other) = (both(1, 7, Direction::Symmetric), both(7, 1, Direction::Symmetric));
        for (one, other) in one.into_iter().zip(other) {
            assert!((one - other).abs() < 1e-5 * one, "{one}, {other}");
        }
    }
}
