//! Where points are, and with it the path that a call takes.

use std::fmt::Debug;

use crate::error::Result;
use crate::pairwise_cost::Costs;
use crate::points::{Points, Ragged};
use crate::sinkhorn::{self, Cost, Gradients, Options, Output, Pairing, Weights};

/// Where points are: [`Host`], or with the feature `cuda` `Gpu`. No other type implements this.
///
/// Functions over `Ragged<'_, P>` take both clouds of a call from the same place and compute there.
/// Small results come back on the host; those as large as the points or their costs stay.
pub trait Place: Path + Debug + Clone + Copy {
    /// Points of one cloud: [`Points`] or `DevicePoints`.
    type Points<'a>: Cloud;
    /// Many numbers: `Vec<f32>`, or a `DeviceBuffer<f32>`.
    type Values;
    /// Gradients of transport: [`Gradients`], or `DeviceGradients`.
    type Gradients;
}

/// Points in the host's memory.
#[derive(Debug, Clone, Copy)]
pub enum Host {}

/// What every cloud knows of itself.
pub trait Cloud: Copy + Debug {
    /// Number of points.
    fn count(&self) -> usize;

    /// Extent of a point.
    fn width(&self) -> usize;
}

/// What a place does for each function.
pub trait Path: Sized {
    /// [`pairwise_cost`](fn@crate::pairwise_cost::pairwise_cost) of checked arguments.
    fn costs(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        cost: Cost,
        pairing: Pairing,
    ) -> Result<Costs<Self::Values>>
    where
        Self: Place;

    /// [`fn@sinkhorn::sinkhorn`].
    fn transport(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        weights: Weights<'_>,
        options: &Options,
    ) -> Result<Output>
    where
        Self: Place;

    /// [`sinkhorn::sinkhorn_with_gradient`]; potentials are taken from `saved` where it is given.
    fn transport_with_gradient(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<(Output, Self::Gradients)>
    where
        Self: Place;
}

impl Place for Host {
    type Points<'a> = Points<'a>;
    type Values = Vec<f32>;
    type Gradients = Gradients;
}

impl Cloud for Points<'_> {
    fn count(&self) -> usize {
        Points::count(self)
    }

    fn width(&self) -> usize {
        Points::width(self)
    }
}

impl Path for Host {
    fn costs(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        cost: Cost,
        pairing: Pairing,
    ) -> Result<Costs<Vec<f32>>> {
        sinkhorn::cost_matrices(x, y, cost, pairing)
    }

    fn transport(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        weights: Weights<'_>,
        options: &Options,
    ) -> Result<Output> {
        sinkhorn::run(x, y, weights, options)
    }

    fn transport_with_gradient(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<(Output, Gradients)> {
        sinkhorn::run_with_gradient(x, y, weights, options, upstream, saved)
    }
}
