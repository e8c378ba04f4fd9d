//! Maximum mean discrepancy with Gaussian kernels, and the sampled check that NST shares.

use align_kernels::Ragged;
use align_kernels::mmd::{Kernel, Options, Output, mmd};
use align_kernels::reference::mmd::kernel as reference_kernel;
use anyhow::bail;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::check::{Comparison, Errors, error, widened};
use super::inputs::{Input, scattered};
use super::{Answer, Work, norm};

/// Points of a side whose value the reference can compute in about a second.
pub(super) const VALUE_SAMPLE: usize = 640;

/// Rows whose gradient is checked on the whole shape.
const GRADIENT_ROWS: usize = 4;

/// The biased estimator with a sum of Gaussians, as many points on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Mmd {
    /// Points of a side.
    pub count: usize,
    /// Extent of a point.
    pub width: usize,
    /// Of the Gaussians.
    pub bandwidths: &'static [f64],
}

/// Clouds of two distributions, and what the last run made of them.
pub(super) struct MmdWork {
    case: Mmd,
    options: Options,
    x: Array2<f32>,
    y: Array2<f32>,
    output: Option<Output>,
}

impl MmdWork {
    pub fn new(case: Mmd) -> Self {
        let x = scattered(case.count, case.width, 0.0, 1);
        // Moved, so that the discrepancy is not lost among its own terms.
        let y = scattered(case.count, case.width, 0.3, 2);
        Self { case, options: Options::gaussian(case.bandwidths), x, y, output: None }
    }
}

impl Work for MmdWork {
    fn run(&mut self) -> anyhow::Result<()> {
        self.output = Some(mmd(&single(self.x.view()), &single(self.y.view()), &self.options)?);
        Ok(())
    }

    fn answer(&self) -> Answer {
        let Some(output) = &self.output else { return Answer::default() };
        let grad_norm = Some(norm([&output.grad_x, &output.grad_y]));
        Answer { values: output.value.clone(), grad_norm }
    }

    /// Gradients of some rows of the whole shape, and the value of its first points.
    fn check(&self) -> anyhow::Result<Errors> {
        let Some(output) = &self.output else { bail!("mmd: nothing was run") };
        let sample = self.case.count.min(VALUE_SAMPLE);
        let (x, y) = (self.x.slice(s![..sample, ..]), self.y.slice(s![..sample, ..]));
        let part = mmd(&single(x), &single(y), &self.options)?;
        let kernel = &self.options.kernel;
        let want = value(&x.mapv(f64::from), &y.mapv(f64::from), kernel);
        let (x, y) = (self.x.mapv(f64::from), self.y.mapv(f64::from));
        let mut gradients = Comparison::default();
        for (own, other, got) in [(&x, &y, &output.grad_x), (&y, &x, &output.grad_y)] {
            for row in sample_rows(self.case.count) {
                gradients.add(widened(got.row(row)), gradient_row(own, other, row, kernel));
            }
        }
        Ok(Errors { value: error(part.value, [want]), gradient: Some(gradients.error()) })
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input::matrix("x", &self.x), Input::matrix("y", &self.y)]
    }

    fn parameters(&self) -> Value {
        json!({ "bandwidths": self.case.bandwidths })
    }
}

/// A batch of one cloud.
pub(super) fn single(points: ArrayView2<'_, f32>) -> Ragged<'_> {
    Ragged::single(points.into())
}

/// Rows from the first to the last.
pub(super) fn sample_rows(count: usize) -> impl Iterator<Item = usize> {
    let rows = GRADIENT_ROWS.min(count);
    (0..rows).map(move |k| k * (count - 1) / (rows - 1).max(1))
}

/// The biased discrepancy in f64, by the reference's kernel.
pub(super) fn value(x: &Array2<f64>, y: &Array2<f64>, kernel: &Kernel) -> f64 {
    let mean = |p: &Array2<f64>, q: &Array2<f64>| {
        let row = |i: usize| {
            let mut slope = vec![0.0; p.ncols()];
            (0..q.nrows()).map(|j| of_rows(p, i, q, j, kernel, &mut slope)).sum::<f64>()
        };
        // Gathered in order, so that the sum does not depend on threads.
        let rows: Vec<f64> = (0..p.nrows()).into_par_iter().map(row).collect();
        rows.iter().sum::<f64>() / (p.nrows() * q.nrows()) as f64
    };
    mean(x, x) + mean(y, y) - 2.0 * mean(x, y)
}

/// Derivative of the biased discrepancy by one point of `own`, in f64.
///
/// `2 / n^2 sum_j k'(x_i, x_j) - 2 / (n m) sum_j k'(x_i, y_j)`, by the symmetry of `k`.
pub(super) fn gradient_row(
    own: &Array2<f64>,
    other: &Array2<f64>,
    at: usize,
    kernel: &Kernel,
) -> Vec<f64> {
    let n = own.nrows() as f64;
    let mut sum = vec![0.0; own.ncols()];
    let mut slope = vec![0.0; own.ncols()];
    for (cloud, weight) in [(own, 2.0 / (n * n)), (other, -2.0 / (n * other.nrows() as f64))] {
        for j in 0..cloud.nrows() {
            of_rows(own, at, cloud, j, kernel, &mut slope);
            sum.iter_mut().zip(&slope).for_each(|(sum, slope)| *sum += weight * slope);
        }
    }
    sum
}

fn of_rows(
    p: &Array2<f64>,
    i: usize,
    q: &Array2<f64>,
    j: usize,
    kernel: &Kernel,
    slope: &mut [f64],
) -> f64 {
    let (p, q) = (p.row(i), q.row(j));
    let rows = (p.to_slice(), q.to_slice());
    reference_kernel(rows.0.unwrap_or_default(), rows.1.unwrap_or_default(), kernel, slope)
}

#[cfg(test)]
mod tests {
    use align_kernels::reference::mmd::mmd as reference;

    use super::*;

    #[test]
    fn the_sampled_sums_are_those_of_the_reference() {
        let (x, y) = (scattered(5, 7, 0.0, 1), scattered(4, 7, 0.3, 2));
        let (x, y) = (x.mapv(f64::from), y.mapv(f64::from));
        let rows = |points: &Array2<f64>| points.iter().copied().collect::<Vec<_>>();
        for options in [Options::gaussian(&[0.7, 1.4]), Options::polynomial(2, 0.0)] {
            let whole = reference(&rows(&x), &rows(&y), 7, &options);
            assert!((value(&x, &y, &options.kernel) - whole.value).abs() < 1e-14);
            let row = gradient_row(&y, &x, 2, &options.kernel);
            assert!(error(row, whole.grad_y[14..21].iter().copied()) < 1e-12);
        }
    }

    #[test]
    fn a_small_case_passes_its_check() {
        let mut work = MmdWork::new(Mmd { count: 9, width: 20, bandwidths: &[0.7, 1.0] });
        work.run().unwrap();
        work.check().unwrap().accept().unwrap();
        assert_eq!(sample_rows(9).collect::<Vec<_>>(), [0, 2, 5, 8]);
        assert_eq!(sample_rows(1).collect::<Vec<_>>(), [0]);
    }
}
