//! A checked call, for a path that solves elsewhere and brings back numbers.

use super::checks::{check_saved, check_sides, check_upstream};
use super::given::Given;
use super::grid::Grid;
use super::options::Options;
use super::output::{Output, OwnTrace, Trace};
use super::side::{masses, weights_of};
use super::weights::Weights;
use crate::error::Result;
use crate::place::Place;
use crate::ragged::Ragged;

/// What a path needs to know of one side, but for its points.
pub(crate) struct Items<'a> {
    pub offsets: &'a [usize],
    pub weights: Vec<f32>,
    /// Sum of the weights of each item.
    pub mass: Vec<f64>,
}

/// A call whose options, shapes and weights were checked.
pub(crate) struct Call<'a> {
    pub options: &'a Options,
    pub x: Items<'a>,
    pub y: Items<'a>,
    pub grid: Grid,
    /// Strength of the marginal penalties; infinite when balanced.
    pub rho: f64,
}

/// What a path found, pair after pair.
pub(crate) struct Found {
    pub value: Vec<f64>,
    pub gap: Vec<f64>,
    pub marginal_error: Vec<f64>,
    pub iterations: Vec<usize>,
    pub f: Vec<f32>,
    pub g: Vec<f32>,
    /// Potentials before the last update of GeomLoss.
    pub before: Option<[Vec<f32>; 2]>,
    pub plan: Vec<f32>,
    /// Means of both sides, where they were asked for.
    pub projected: [Vec<f32>; 2],
    /// Own problems of both sides, with debiasing.
    pub own: Option<[Vec<Vec<OwnTrace>>; 2]>,
}

impl<'a> Call<'a> {
    pub fn new<P: Place>(
        x: &'a Ragged<'_, P>,
        y: &'a Ragged<'_, P>,
        weights: Weights<'_>,
        options: &'a Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<Self> {
        options.check()?;
        check_sides("sinkhorn", x, y, options.pairing)?;
        let rho = options.rho().unwrap_or(f64::INFINITY);
        let x = Items::new("x", x.offsets(), weights.a)?;
        let y = Items::new("y", y.offsets(), weights.b)?;
        let grid = options.pairing.grid(x.items(), y.items());
        let call = Self { options, x, y, grid, rho };
        if let Some(upstream) = upstream {
            check_upstream(upstream, call.pairs())?;
        }
        if let Some(saved) = saved {
            check_saved(saved, options, call.pairs(), |k| {
                let (i, j) = call.items(k);
                (call.x.count(i), call.y.count(j))
            })?;
        }
        Ok(call)
    }

    /// Problems whose costs are given, one by one.
    pub fn given(
        (rows, columns): (&'a [usize], &'a [usize]),
        given: &Given,
        options: &'a Options,
    ) -> Self {
        let items = |offsets, weights: &[f32]| Items {
            offsets,
            weights: weights.to_vec(),
            mass: masses(weights, offsets),
        };
        let (x, y) = (items(rows, &given.a), items(columns, &given.b));
        let grid = options.pairing.grid(x.items(), y.items());
        Self { options, x, y, grid, rho: options.rho().unwrap_or(f64::INFINITY) }
    }

    pub fn pairs(&self) -> usize {
        self.grid.pairs()
    }

    /// The items of pair `k`.
    pub fn items(&self, k: usize) -> (usize, usize) {
        self.grid.items(k)
    }

    /// Whether both sides of a pair have mass (or NaN).
    pub fn has_mass(&self, k: usize) -> bool {
        let (i, j) = self.items(k);
        self.x.mass[i] != 0.0 && self.y.mass[j] != 0.0
    }

    /// Lays out what was found at the temperature `eps`.
    pub fn output(&self, eps: f64, found: Found) -> Output {
        let (mut f_offsets, mut g_offsets) = (vec![0], vec![0]);
        for k in 0..self.pairs() {
            let (i, j) = self.items(k);
            f_offsets.push(f_offsets[k] + self.x.count(i));
            g_offsets.push(g_offsets[k] + self.y.count(j));
        }
        let Found { value, gap, marginal_error, iterations, f, g, plan, .. } = found;
        let [projected_x, projected_y] = found.projected;
        let [f_before, g_before] = found.before.unwrap_or_default();
        let own = found.own.unwrap_or_default();
        let trace = Trace { eps: vec![eps; self.pairs()], f_before, g_before, own };
        Output {
            value,
            gap,
            marginal_error,
            iterations,
            f,
            f_offsets,
            g,
            g_offsets,
            plan,
            projected_x,
            projected_y,
            trace,
        }
    }
}

impl<'a> Items<'a> {
    fn new(name: &str, offsets: &'a [usize], weights: Option<&[f32]>) -> Result<Self> {
        let weights = weights_of(name, weights, offsets)?;
        let mass = masses(&weights, offsets);
        Ok(Self { offsets, weights, mass })
    }

    pub fn items(&self) -> usize {
        self.mass.len()
    }

    /// Points of item `k`.
    pub fn count(&self, k: usize) -> usize {
        self.offsets[k + 1] - self.offsets[k]
    }

    pub fn item_weights(&self, k: usize) -> &[f32] {
        &self.weights[self.offsets[k]..self.offsets[k + 1]]
    }
}
