//! contr-wasser: InfoNCE by Sinkhorn divergence between the tokens of texts and of recordings.

use align_kernels::info_nce::Options;
use align_kernels::reference::info_nce::of_similarities;
use align_kernels::reference::sinkhorn::{GeomlossOptions, PointCost, geomloss};
use align_kernels::sinkhorn::{self, Weights};
use align_kernels::wasserstein_info_nce::{
    Layer, Layers, contr_wasser, wasserstein_info_nce_layers,
};
use align_kernels::{GradientSides, Ragged};
use anyhow::bail;
use ndarray::{Array2, s};
use serde_json::{Value, json};

use super::check::{Comparison, Errors, widened};
use super::inputs::{Input, clustered};
use super::sinkhorn::offsets;
use super::{Answer, Work, norm};

/// That of the paper.
const TEMPERATURE: f64 = 0.1;

/// That of its code.
const BLUR: f64 = 0.05;

/// Texts against recordings in every layer. Texts are constants: gradients are by the recordings.
#[derive(Debug, Clone, Copy)]
pub struct Wasserstein {
    /// Losses that are summed.
    pub layers: usize,
    /// Tokens of each text.
    pub x_lengths: &'static [usize],
    /// Tokens of each recording, as many of these.
    pub y_lengths: &'static [usize],
    /// Extent of a token.
    pub width: usize,
}

/// Tokens of each layer, and what the last run made of them.
pub(super) struct WassersteinWork {
    case: Wasserstein,
    layers: Vec<(Array2<f32>, Array2<f32>)>,
    x_offsets: Vec<usize>,
    y_offsets: Vec<usize>,
    output: Option<Layers>,
}

impl WassersteinWork {
    pub fn new(case: Wasserstein) -> Self {
        let [x_offsets, y_offsets] = [case.x_lengths, case.y_lengths].map(offsets);
        let tokens = |offsets: &[usize], number: u64| {
            clustered(offsets[offsets.len() - 1], case.width, number)
        };
        let layer = |layer: usize| {
            let number = 2 * layer as u64 + 1;
            (tokens(&x_offsets, number), tokens(&y_offsets, number + 1))
        };
        let layers = (0..case.layers).map(layer).collect();
        Self { case, layers, x_offsets, y_offsets, output: None }
    }

    /// One recording of a layer by the reference: its divergences from all texts, and the gradient of the
    /// loss for the slopes of those that the run found.
    fn reference(
        &self,
        (x, y): (&Array2<f32>, &Array2<f32>),
        recording: usize,
        slopes: &[f64],
    ) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let width = self.case.width;
        let item = |all: &Array2<f32>, offsets: &[usize], k: usize| -> (Vec<f64>, Vec<f64>) {
            let rows = all.slice(s![offsets[k]..offsets[k + 1], ..]);
            let weights = vec![1.0 / rows.nrows() as f64; rows.nrows()];
            (widened(rows.iter()).collect(), weights)
        };
        let (speech, b) = item(y, &self.y_offsets, recording);
        let options =
            GeomlossOptions { cost: PointCost::Cosine, blur: BLUR, ..GeomlossOptions::default() };
        let (mut divergences, mut gradient) = (Vec::new(), vec![0.0; speech.len()]);
        for (i, slope) in slopes.iter().enumerate() {
            let (text, a) = item(x, &self.x_offsets, i);
            let found = geomloss((&text, &a), (&speech, &b), width, options)?;
            divergences.push(found.value);
            gradient.iter_mut().zip(found.grad_y).for_each(|(sum, grad)| *sum += slope * grad);
        }
        Ok((divergences, gradient))
    }
}

impl Work for WassersteinWork {
    fn run(&mut self) -> anyhow::Result<()> {
        let mut layers = Vec::new();
        for (x, y) in &self.layers {
            let x = Ragged::new(x.view().into(), &self.x_offsets)?;
            let y = Ragged::new(y.view().into(), &self.y_offsets)?;
            let weights = Weights::default();
            layers.push(Layer { x, y, weights, temperature: TEMPERATURE, weight: 1.0 });
        }
        let transport = sinkhorn::Options { gradients: GradientSides::Y, ..contr_wasser(BLUR) };
        let output = wasserstein_info_nce_layers(&layers, &transport, &Options::default())?;
        self.output = Some(output);
        Ok(())
    }

    fn answer(&self) -> Answer {
        let Some(output) = &self.output else { return Answer::default() };
        let gradients = output.layers.iter().map(|layer| &layer.gradients.y);
        Answer { values: vec![output.value], grad_norm: Some(norm(gradients)) }
    }

    /// One recording of the first and of the last layer against all texts, and of every layer the softmax
    /// of the divergences that were found.
    fn check(&self) -> anyhow::Result<Errors> {
        let Some(output) = &self.output else { bail!("wasserstein-info-nce: nothing was run") };
        let (mut values, mut gradients) = (Comparison::default(), Comparison::default());
        for (layer, found) in output.layers.iter().enumerate() {
            let items = self.case.y_lengths.len();
            let near: Vec<f64> = found.divergence.iter().map(|divergence| -divergence).collect();
            let options = Options { temperature: TEMPERATURE, ..Options::default() };
            let want = of_similarities(&near, items, &options)?;
            values.add([found.value], [want.value]);
            gradients
                .add(found.grad_divergence.iter().copied(), want.grad.iter().map(|slope| -slope));
            if layer != 0 && layer + 1 != output.layers.len() {
                continue;
            }
            let recording = items / 2;
            let slopes = found.grad_divergence.column(recording).to_vec();
            let (x, y) = &self.layers[layer];
            let (divergences, gradient) = self.reference((x, y), recording, &slopes)?;
            values.add(found.divergence.column(recording).iter().copied(), divergences);
            let rows = s![self.y_offsets[recording]..self.y_offsets[recording + 1], ..];
            let mut by_points = Comparison::default();
            by_points.add(widened(found.gradients.y.slice(rows).iter()), gradient);
            // Relative to gradients by points alone, which are small beside the slopes.
            gradients.add([by_points.error()], [0.0]);
        }
        Ok(Errors { value: values.error(), gradient: Some(gradients.error()) })
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let mut all = Vec::new();
        for (layer, (x, y)) in self.layers.iter().enumerate() {
            all.push(Input::matrix(format!("x{layer}"), x));
            all.push(Input::matrix(format!("y{layer}"), y));
        }
        all
    }

    fn parameters(&self) -> Value {
        json!({
            "layers": self.case.layers,
            "x_lengths": self.case.x_lengths,
            "y_lengths": self.case.y_lengths,
            "temperature": TEMPERATURE,
            "blur": BLUR,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_layers_pass_their_check() {
        let case =
            Wasserstein { layers: 3, x_lengths: &[5, 9, 2], y_lengths: &[11, 7, 20], width: 30 };
        let mut work = WassersteinWork::new(case);
        assert!(work.check().is_err());
        work.run().unwrap();
        work.check().unwrap().accept().unwrap();
        assert_eq!((work.inputs().len(), work.answer().values.len()), (6, 1));
    }
}
