//! A batch of pairs, and what the twin and a plain loop make of each.

use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{Acceleration, Fixed, Mode, Options, Output, Weights, sinkhorn};
use gpu_runtime::Stream;

use crate::batch::{Cloud, Form, wide};
use crate::plain;

/// Clouds of paired items, and the options of a call.
#[derive(Clone)]
pub struct Case {
    pub x: Cloud,
    pub y: Cloud,
    pub options: Options,
}

pub fn fixed(eps: f64, max_iters: usize, tol: f64, acceleration: Acceleration) -> Options {
    let fixed = Fixed { eps, max_iters, tol, acceleration };
    Options { mode: Mode::Fixed(fixed), ..Options::default() }
}

pub fn plainly(eps: f64, max_iters: usize, tol: f64) -> Options {
    fixed(eps, max_iters, tol, Acceleration::Plain)
}

/// What is expected of a pair.
pub struct Wanted {
    pub twin: twin::Solution,
    pub f: Vec<f32>,
    pub g: Vec<f32>,
    pub plan: Vec<f32>,
    pub value: f64,
}

impl Case {
    pub fn new(lengths: [&[usize]; 2], width: usize, options: Options) -> Self {
        let [x, y] = lengths;
        Self { x: Cloud::new(x, width, 3), y: Cloud::new(y, width, 4), options }
    }

    pub fn with_holes(mut self) -> Self {
        (self.x, self.y) = (self.x.with_holes(), self.y.with_holes());
        self
    }

    pub fn weights(&self) -> Weights<'_> {
        Weights { a: Some(&self.x.weights), b: Some(&self.y.weights) }
    }

    pub fn on_device(&self, stream: &Stream) -> Output {
        let (x, y) = (self.x.send(stream, Form::Tight), self.y.send(stream, Form::Tight));
        sinkhorn(&x.ragged(), &y.ragged(), self.weights(), &self.options).unwrap()
    }

    pub fn on_host(&self) -> Output {
        sinkhorn(&self.x.host(), &self.y.host(), self.weights(), &self.options).unwrap()
    }

    pub fn pairs(&self) -> usize {
        self.x.items()
    }

    pub fn fixed(&self) -> Fixed {
        let Mode::Fixed(fixed) = self.options.mode else { panic!("no other mode is tested") };
        fixed
    }

    /// Pair `k` alone.
    pub fn only(&self, k: usize) -> Self {
        let of = |cloud: &Cloud| {
            let weights = cloud.item_weights(k).to_vec();
            Cloud { points: cloud.item(k).to_owned(), offsets: vec![0, weights.len()], weights }
        };
        Self { x: of(&self.x), y: of(&self.y), options: self.options }
    }

    pub fn wanted(&self, k: usize) -> Wanted {
        let (x, y, fixed) = (self.x.item(k), self.y.item(k), self.fixed());
        let (a, b) = (self.x.item_weights(k), self.y.item_weights(k));
        let kind = twin::PointCost::SqEuclidean;
        let cost = twin::cost_matrix(kind, &wide(x), &wide(y), self.x.width()).unwrap();
        let rho = self.options.reach.map(|reach| reach.powi(2));
        let Fixed { eps, max_iters, tol, .. } = fixed;
        let options = twin::SolveOptions { eps, max_iters, tol, rho };
        let twin = twin::solve(&cost, &wide(a), &wide(b), options).unwrap();
        let cost = plain::costs(x, y, self.options.cost);
        let damping = (1.0 / (1.0 + eps / rho.unwrap_or(f64::INFINITY))) as f32;
        let problem = plain::Problem { cost: &cost, a, b, eps: eps as f32, damping };
        let (f, g) = problem.solve(twin.iterations);
        let plan = problem.plan(&f, &g);
        let value = f64::from(problem.value(&f, &g, &plan));
        Wanted { twin, f, g, plan, value }
    }
}
