//! Entropic optimal transport.

use align_kernels::Ragged;
use align_kernels::reference::sinkhorn::{
    GeomlossOptions, PointCost, SolveOptions, cost_matrix, geomloss, point_gradients, solve,
};
use align_kernels::sinkhorn::{
    Fixed, GeomLoss, Gradients, Mode, Options, Output, Pairing, Weights, sinkhorn,
    sinkhorn_with_gradient,
};
use anyhow::ensure;
use ndarray::Array2;
use serde_json::{Value, json};

use super::check::{Comparison, Errors, widened};
use super::inputs::{Input, clustered};
use super::{Answer, Work, norm};

/// Every item of `x` against every item of `y`, uniform weights, cost `|x - y|^2 / 2`.
#[derive(Debug, Clone, Copy)]
pub struct Sinkhorn {
    /// Points of each item of `x`.
    pub x_lengths: &'static [usize],
    /// Points of each item of `y`.
    pub y_lengths: &'static [usize],
    /// Extent of a point.
    pub width: usize,
    /// How potentials are found.
    pub solver: Solver,
    /// Whether gradients by the points are part of the work.
    pub gradient: bool,
}

/// What both sides do, and how often.
#[derive(Debug, Clone, Copy)]
pub enum Solver {
    /// A number of iterations at one temperature.
    Fixed {
        /// Temperature.
        eps: f64,
        /// All of which are done: the tolerance is 0.
        iterations: usize,
    },
    /// GeomLoss's falling temperature, debiased.
    GeomLoss {
        /// Last length scale.
        blur: f64,
        /// Ratio of successive ones.
        scaling: f64,
    },
}

/// Clouds, and what the last run made of them.
pub(super) struct SinkhornWork {
    case: Sinkhorn,
    options: Options,
    /// First length scale of both sides, where there is a schedule.
    diameter: f64,
    x: Array2<f32>,
    y: Array2<f32>,
    x_offsets: Vec<usize>,
    y_offsets: Vec<usize>,
    output: Option<(Output, Option<Gradients>)>,
}

/// What one pair should come to.
struct Reference {
    value: f64,
    /// The transport value before own problems are taken off.
    scale: f64,
    grad_x: Vec<f64>,
    grad_y: Vec<f64>,
}

impl SinkhornWork {
    pub fn new(case: Sinkhorn) -> Self {
        let [x_offsets, y_offsets] = [case.x_lengths, case.y_lengths].map(offsets);
        let x = clustered(x_offsets[case.x_lengths.len()], case.width, 1);
        let y = clustered(y_offsets[case.y_lengths.len()], case.width, 2);
        let diameter = box_diagonal(&x, &y);
        let (mode, debias) = match case.solver {
            // Over-relaxation is our default, and stays on.
            Solver::Fixed { eps, iterations } => {
                let fixed = Fixed { eps, max_iters: iterations, tol: 0.0, ..Fixed::default() };
                (Mode::Fixed(fixed), false)
            }
            Solver::GeomLoss { blur, scaling } => {
                (Mode::GeomLoss(GeomLoss { blur, scaling, diameter: Some(diameter) }), true)
            }
        };
        let options = Options { pairing: Pairing::AllPairs, mode, debias, ..Options::default() };
        Self { case, options, diameter, x, y, x_offsets, y_offsets, output: None }
    }

    fn batches(&self) -> anyhow::Result<(Ragged<'_>, Ragged<'_>)> {
        let x = Ragged::new(self.x.view().into(), &self.x_offsets)?;
        Ok((x, Ragged::new(self.y.view().into(), &self.y_offsets)?))
    }

    /// The first, a middle and the last pair, which share no items.
    fn sample(&self) -> Vec<(usize, usize)> {
        let last = self.case.x_lengths.len().min(self.case.y_lengths.len()) - 1;
        let mut items = vec![0, last / 2, last];
        items.dedup();
        items.into_iter().map(|item| (item, item)).collect()
    }

    /// One pair by the reference.
    fn reference(&self, (i, j): (usize, usize)) -> anyhow::Result<Reference> {
        let width = self.case.width;
        let points = |all: &Array2<f32>, offsets: &[usize], item: usize| -> Vec<f64> {
            let rows = offsets[item]..offsets[item + 1];
            widened(rows.flat_map(|row| all.row(row)).collect::<Vec<_>>()).collect()
        };
        let (x, y) = (points(&self.x, &self.x_offsets, i), points(&self.y, &self.y_offsets, j));
        let uniform = |points: &[f64]| {
            let count = points.len() / width;
            vec![1.0 / count as f64; count]
        };
        let (a, b) = (uniform(&x), uniform(&y));
        let cost = PointCost::SqEuclidean;
        match self.case.solver {
            Solver::Fixed { eps, iterations } => {
                let costs = cost_matrix(cost, &x, &y, width)?;
                // It has converged long before, and more iterations change nothing.
                let options = SolveOptions { eps, max_iters: iterations, tol: 1e-9, rho: None };
                let solution = solve(&costs, &a, &b, options)?;
                let gradients = if self.case.gradient {
                    point_gradients(cost, &x, &y, width, &solution.plan)?
                } else {
                    Default::default()
                };
                let (grad_x, grad_y) = gradients;
                Ok(Reference { value: solution.value, scale: solution.value, grad_x, grad_y })
            }
            Solver::GeomLoss { blur, scaling } => {
                let diameter = Some(self.diameter);
                let options =
                    GeomlossOptions { cost, blur, scaling, diameter, reach: None, debias: true };
                let found = geomloss((&x, &a), (&y, &b), width, options)?;
                let mean =
                    |potential: &[f64]| potential.iter().sum::<f64>() / potential.len() as f64;
                Ok(Reference {
                    value: found.value,
                    scale: mean(&found.f) + mean(&found.g),
                    grad_x: found.grad_x,
                    grad_y: found.grad_y,
                })
            }
        }
    }
}

impl Work for SinkhornWork {
    fn run(&mut self) -> anyhow::Result<()> {
        let (x, y) = self.batches()?;
        let output = if self.case.gradient {
            let (output, gradients) =
                sinkhorn_with_gradient(&x, &y, Weights::default(), &self.options, None)?;
            (output, Some(gradients))
        } else {
            (sinkhorn(&x, &y, Weights::default(), &self.options)?, None)
        };
        self.output = Some(output);
        Ok(())
    }

    fn answer(&self) -> Answer {
        let Some((output, gradients)) = &self.output else { return Answer::default() };
        let grad_norm = gradients.as_ref().map(|gradients| norm([&gradients.x, &gradients.y]));
        Answer { values: output.value.clone(), grad_norm }
    }

    /// Values of the last run and, by an upstream gradient of those pairs alone, their gradients.
    fn check(&self) -> anyhow::Result<Errors> {
        let Some((output, _)) = &self.output else { anyhow::bail!("sinkhorn: nothing was run") };
        if let Solver::Fixed { iterations, .. } = self.case.solver {
            let fewest = output.iterations.iter().min().copied().unwrap_or_default();
            ensure!(
                fewest == iterations,
                "sinkhorn: a pair stopped after {fewest} iterations, expected all {iterations} \
                 that the peers do"
            );
        }
        let sample = self.sample();
        let (x, y) = self.batches()?;
        let number = |(i, j): (usize, usize)| i * y.items() + j;
        let mut upstream = vec![0.0; output.pairs()];
        sample.iter().for_each(|&pair| upstream[number(pair)] = 1.0);
        let gradients = if self.case.gradient {
            let upstream = Some(&upstream[..]);
            Some(sinkhorn_with_gradient(&x, &y, Weights::default(), &self.options, upstream)?.1)
        } else {
            None
        };
        let (mut of_values, mut of_gradients) = (Comparison::default(), Comparison::default());
        for &pair in &sample {
            let Reference { value, scale, grad_x, grad_y } = self.reference(pair)?;
            of_values.add([output.value[number(pair)]], [value]);
            of_values.scale(scale);
            if let Some(gradients) = &gradients {
                let rows = |all: &Array2<f32>, range: std::ops::Range<usize>| -> Vec<f64> {
                    widened(range.flat_map(|row| all.row(row)).collect::<Vec<_>>()).collect()
                };
                of_gradients.add(rows(&gradients.x, x.range(pair.0)), grad_x);
                of_gradients.add(rows(&gradients.y, y.range(pair.1)), grad_y);
            }
        }
        let gradient = gradients.is_some().then(|| of_gradients.error());
        Ok(Errors { value: of_values.error(), gradient })
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input::matrix("x", &self.x), Input::matrix("y", &self.y)]
    }

    fn parameters(&self) -> Value {
        let mut all = json!({
            "x_lengths": self.case.x_lengths,
            "y_lengths": self.case.y_lengths,
            "gradient": self.case.gradient,
        });
        match self.case.solver {
            Solver::Fixed { eps, iterations } => {
                all["eps"] = eps.into();
                all["iterations"] = iterations.into();
            }
            Solver::GeomLoss { blur, scaling } => {
                all["blur"] = blur.into();
                all["scaling"] = scaling.into();
                all["diameter"] = self.diameter.into();
            }
        }
        all
    }
}

/// Where items start, and where the last one ends.
pub(crate) fn offsets(lengths: &[usize]) -> Vec<usize> {
    let sums = lengths.iter().scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    std::iter::once(0).chain(sums).collect()
}

/// The diagonal of the box around all points: where GeomLoss starts its schedule for a batch.
fn box_diagonal(x: &Array2<f32>, y: &Array2<f32>) -> f64 {
    let extent = |column: usize| {
        let values = || x.column(column).into_iter().chain(y.column(column)).copied();
        f64::from(values().fold(f32::MIN, f32::max) - values().fold(f32::MAX, f32::min))
    };
    (0..x.ncols()).map(|column| extent(column).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn offsets_and_the_box_are_those_of_all_points() {
        assert_eq!(offsets(&[2, 0, 3]), [0, 2, 2, 5]);
        assert_eq!(box_diagonal(&array![[0.0, 1.0], [3.0, 1.0]], &array![[1.0, 5.0]]), 5.0);
    }

    #[test]
    fn both_solvers_pass_their_check_on_a_small_ragged_batch() {
        let lopsided = Sinkhorn {
            // Smaller pairs reach an error of exactly 0 and stop, which the check refuses.
            x_lengths: &[41, 33],
            y_lengths: &[51, 37, 45],
            width: 9,
            solver: Solver::Fixed { eps: 0.25, iterations: 100 },
            gradient: true,
        };
        let schedule = Solver::GeomLoss { blur: 0.5, scaling: 0.5 };
        for case in [lopsided, Sinkhorn { solver: schedule, ..lopsided }] {
            let mut work = SinkhornWork::new(case);
            assert!(work.check().is_err());
            work.run().unwrap();
            work.check().unwrap().accept().unwrap();
            assert_eq!(work.answer().values.len(), 6);
            assert!(work.answer().grad_norm.is_some_and(|norm| norm > 0.0));
        }
    }
}
