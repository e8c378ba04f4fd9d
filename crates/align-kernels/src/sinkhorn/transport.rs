//! The path of transport on each place.

use super::gradient;
use super::options::Options;
use super::output::{Gradients, Output};
use super::weights::Weights;
use crate::error::Result;
use crate::place::{Host, Place};
use crate::ragged::Ragged;

/// A place that solves transport: what [`sinkhorn`](super::sinkhorn) and its gradients do there.
pub trait Transport: Place {
    /// Gradients: [`Gradients`], or `DeviceGradients`.
    type Gradients;

    /// [`fn@super::sinkhorn`].
    ///
    /// # Errors
    ///
    /// As there.
    fn transport(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        weights: Weights<'_>,
        options: &Options,
    ) -> Result<Output>;

    /// [`super::sinkhorn_with_gradient`]; potentials are taken from `saved` where it is given.
    ///
    /// # Errors
    ///
    /// As there.
    fn transport_with_gradient(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<(Output, Self::Gradients)>;

    /// Transport of several batches in one, and gradients of their values weighted as `upstream` says once
    /// it sees them. Several batches have one width and as many items each, and pair as
    /// [`Pairing::Blocks`](super::Pairing) of their number.
    ///
    /// # Errors
    ///
    /// As [`super::sinkhorn_with_gradient`], and those of `upstream`.
    fn transport_through(
        x: &[&Ragged<'_, Self>],
        y: &[&Ragged<'_, Self>],
        weights: &[Weights<'_>],
        options: &Options,
        upstream: impl FnOnce(&Output) -> Result<Vec<f32>>,
    ) -> Result<(Output, Vec<Self::Gradients>)>;
}

impl Transport for Host {
    type Gradients = Gradients;

    fn transport(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        weights: Weights<'_>,
        options: &Options,
    ) -> Result<Output> {
        gradient::run(x, y, weights, options)
    }

    fn transport_with_gradient(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<(Output, Gradients)> {
        gradient::run_with_gradient(x, y, weights, options, upstream, saved)
    }

    fn transport_through(
        x: &[&Ragged<'_>],
        y: &[&Ragged<'_>],
        weights: &[Weights<'_>],
        options: &Options,
        upstream: impl FnOnce(&Output) -> Result<Vec<f32>>,
    ) -> Result<(Output, Vec<Gradients>)> {
        gradient::run_through(x, y, weights, options, upstream)
    }
}
