//! A batch and what is asked of it, on both places.

use align_kernels::GradientSides;
use align_kernels::device::DeviceGradients;
use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::sinkhorn::{
    Acceleration, Fixed, GeomLoss, Gradients, Mode, Options, Output, Weights,
    sinkhorn_with_gradient,
};
use gpu_runtime::Stream;

use crate::batch::{Cloud, Form};

#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub x: Cloud,
    pub y: Cloud,
    pub form: Form,
    pub options: Options,
}

pub fn fixed(eps: f64, max_iters: usize, tol: f64) -> Mode {
    Mode::Fixed(Fixed { eps, max_iters, tol, acceleration: Acceleration::Plain })
}

pub fn annealed(blur: f64, diameter: Option<f64>) -> Mode {
    Mode::GeomLoss(GeomLoss { blur, scaling: 0.5, diameter })
}

impl Case {
    pub fn new(name: &str, lengths: [&[usize]; 2], width: usize, options: Options) -> Self {
        let [x, y] = lengths;
        let (x, y) = (Cloud::new(x, width, 3), Cloud::new(y, width, 4));
        let name = format!(
            "{name} {:?} {:?} reach {:?} debias {}",
            options.cost, options.pairing, options.reach, options.debias
        );
        Self { name, x, y, form: Form::Tight, options }.with_holes()
    }

    fn with_holes(mut self) -> Self {
        (self.x, self.y) = (self.x.with_holes(), self.y.with_holes());
        self
    }

    pub fn of_form(mut self, form: Form) -> Self {
        (self.x, self.y) = (self.x.rounded(form), self.y.rounded(form));
        self.form = form;
        self
    }

    pub fn weights(&self) -> Weights<'_> {
        Weights { a: Some(&self.x.weights), b: Some(&self.y.weights) }
    }

    /// Blocks, and items of `x` and of `y` in each.
    fn blocks(&self) -> [usize; 3] {
        let blocks = match self.options.pairing {
            Pairing::Paired => self.x.items(),
            Pairing::AllPairs => 1,
            Pairing::Blocks(blocks) => blocks,
        };
        [blocks, self.x.items() / blocks.max(1), self.y.items() / blocks.max(1)]
    }

    pub fn pairs(&self) -> usize {
        self.blocks().iter().product()
    }

    pub fn items(&self, k: usize) -> (usize, usize) {
        let [_, x, y] = self.blocks();
        let (block, k) = (k / (x * y), k % (x * y));
        (block * x + k / y, block * y + k % y)
    }

    /// Weights of the pairs, all different.
    pub fn upstream(&self) -> Vec<f32> {
        (0..self.pairs()).map(|k| 0.4 + k as f32 / 7.0).collect()
    }

    pub fn on_device(&self, stream: &Stream) -> (Output, DeviceGradients) {
        let (x, y) = (self.x.send(stream, self.form), self.y.send(stream, self.form));
        let (x, y, upstream) = (x.ragged(), y.ragged(), self.upstream());
        sinkhorn_with_gradient(&x, &y, self.weights(), &self.options, Some(&upstream)).unwrap()
    }

    pub fn on_host(&self) -> (Output, Gradients) {
        let (x, y, upstream) = (self.x.host(), self.y.host(), self.upstream());
        sinkhorn_with_gradient(&x, &y, self.weights(), &self.options, Some(&upstream)).unwrap()
    }
}

/// Every combination of what the modes offer, on one batch.
pub fn all(lengths: [&[usize]; 2], width: usize, pairing: Pairing) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, mode) in [
        ("fixed", fixed(0.1, 6, 0.0)),
        ("own schedules", annealed(0.3, None)),
        ("one schedule", annealed(0.25, Some(1.7))),
    ] {
        for cost in [Cost::SqEuclidean, Cost::Cosine, Cost::Euclidean] {
            for (debias, reach) in
                [(false, None), (true, None), (false, Some(0.8)), (true, Some(0.8))]
            {
                let (project_x, project_y) = (debias, reach.is_some());
                let options = Options {
                    pairing,
                    cost,
                    mode,
                    reach,
                    debias,
                    plan: reach.is_none(),
                    project_x,
                    project_y,
                    gradients: GradientSides::Both,
                };
                cases.push(Case::new(name, lengths, width, options));
            }
        }
    }
    cases
}
