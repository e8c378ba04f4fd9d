//! Symmetric InfoNCE, the loss of CLIP, on one layer or several.

use align_kernels::info_nce::{Layer, Options, Output, Similarity, info_nce, info_nce_layers};
use align_kernels::reference::info_nce::info_nce as reference;
use anyhow::bail;
use ndarray::{Array2, s};
use serde_json::{Value, json};

use super::check::{Comparison, Errors, widened};
use super::inputs::{Input, partners, scattered};
use super::mmd::sample_rows;
use super::{Answer, Work, norm};

/// open_clip's initial temperature.
const TEMPERATURE: f64 = 0.07;

/// Pairs that the reference can do in about a second.
const SAMPLE: usize = 256;

/// Unit vectors, dot products, one temperature.
#[derive(Debug, Clone, Copy)]
pub struct InfoNce {
    /// Losses that are summed.
    pub layers: usize,
    /// Pairs of a layer.
    pub batch: usize,
    /// Extent of a vector.
    pub width: usize,
}

/// Vectors of each layer, and what the last run made of them.
pub(super) struct InfoNceWork {
    case: InfoNce,
    layers: Vec<(Array2<f32>, Array2<f32>)>,
    output: Vec<Output>,
}

impl InfoNceWork {
    pub fn new(case: InfoNce) -> Self {
        let layer = |layer: usize| {
            let number = 2 * layer as u64 + 1;
            let x = scattered(case.batch, case.width, 0.0, number);
            let y = partners(&x, number + 1);
            (x, y)
        };
        Self { case, layers: (0..case.layers).map(layer).collect(), output: Vec::new() }
    }

    fn options() -> Options<'static> {
        let similarity = Similarity::Dot;
        Options { temperature: TEMPERATURE, similarity, symmetric: true, ..Options::default() }
    }
}

impl Work for InfoNceWork {
    fn run(&mut self) -> anyhow::Result<()> {
        self.output.clear();
        if let [(x, y)] = &self.layers[..] {
            self.output.push(info_nce(x.view(), y.view(), &Self::options())?);
            return Ok(());
        }
        let layers: Vec<Layer<'_>> = self
            .layers
            .iter()
            .map(|(x, y)| Layer {
                x: x.view().into(),
                y: y.view().into(),
                temperature: TEMPERATURE,
                weight: 1.0,
            })
            .collect();
        self.output = info_nce_layers(&layers, &Self::options())?.layers;
        Ok(())
    }

    fn answer(&self) -> Answer {
        if self.output.is_empty() {
            return Answer::default();
        }
        let value = self.output.iter().map(|output| output.value).sum();
        let gradients = self.output.iter().flat_map(|output| [&output.grad_x, &output.grad_y]);
        Answer { values: vec![value], grad_norm: Some(norm(gradients)) }
    }

    /// The whole reference on the first pairs; on the whole shape, some rows' and columns'
    /// normalisers, and rows of the gradient given all normalisers. Normalisers count as values, so
    /// that the error is relative to logits, not to a loss that may be near 0.
    fn check(&self) -> anyhow::Result<Errors> {
        if self.output.is_empty() {
            bail!("info-nce: nothing was run");
        }
        let (mut values, mut gradients) = (Comparison::default(), Comparison::default());
        for ((x, y), output) in self.layers.iter().zip(&self.output) {
            check_first_pairs(x, y, &mut values, &mut gradients)?;
            check_rows(x, y, output, &mut values, &mut gradients);
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
            "batch": self.case.batch,
            "temperature": TEMPERATURE,
        })
    }
}

fn check_first_pairs(
    x: &Array2<f32>,
    y: &Array2<f32>,
    values: &mut Comparison,
    gradients: &mut Comparison,
) -> anyhow::Result<()> {
    let options = InfoNceWork::options();
    let sample = x.nrows().min(SAMPLE);
    let (x, y) = (x.slice(s![..sample, ..]), y.slice(s![..sample, ..]));
    let got = info_nce(x, y, &options)?;
    let [wide_x, wide_y] = [x, y].map(|side| widened(side).collect::<Vec<_>>());
    let want = reference(&wide_x, &wide_y, x.ncols(), &options)?;
    values.add([got.value], [want.value]);
    gradients.add(widened(&got.grad_x), want.grad_x);
    gradients.add(widened(&got.grad_y), want.grad_y);
    Ok(())
}

fn check_rows(
    x: &Array2<f32>,
    y: &Array2<f32>,
    output: &Output,
    values: &mut Comparison,
    gradients: &mut Comparison,
) {
    let (row_lse, column_lse) = (&output.row_lse, &output.column_lse);
    for i in sample_rows(x.nrows()) {
        for (own, other, lse, other_lse, grad) in [
            (x, y, row_lse, column_lse, &output.grad_x),
            (y, x, column_lse, row_lse, &output.grad_y),
        ] {
            let dot = |q: ndarray::ArrayView1<'_, f32>| -> f64 {
                widened(own.row(i)).zip(widened(q)).map(|(p, q)| p * q).sum()
            };
            let logits: Vec<f64> = other.rows().into_iter().map(|q| dot(q) / TEMPERATURE).collect();
            let most = logits.iter().copied().fold(f64::MIN, f64::max);
            let own_lse = most + logits.iter().map(|l| (l - most).exp()).sum::<f64>().ln();
            values.add([lse[i]], [own_lse]);
            let mut want = vec![0.0; x.ncols()];
            for (j, (&logit, q)) in logits.iter().zip(other.rows()).enumerate() {
                let both = (logit - own_lse).exp() + (logit - other_lse[j]).exp();
                let slope = both / 2.0 - f64::from(u8::from(i == j));
                let factor = slope / (TEMPERATURE * x.nrows() as f64);
                want.iter_mut().zip(q).for_each(|(want, &q)| *want += factor * f64::from(q));
            }
            gradients.add(widened(grad.row(i)), want);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_and_several_pass_their_check() {
        for layers in [1, 3] {
            let mut work = InfoNceWork::new(InfoNce { layers, batch: 11, width: 30 });
            assert!(work.check().is_err());
            work.run().unwrap();
            work.check().unwrap().accept().unwrap();
            assert_eq!(work.inputs().len(), 2 * layers);
        }
    }
}
