//! The path of a discrepancy on each place.

use ndarray::Array2;

use super::options::Options;
use super::{Output, bandwidth, on_host};
use crate::error::Result;
use crate::place::{Host, Place};
use crate::ragged::Ragged;

/// A place that compares samples: what [`mmd`](fn@super::mmd) does there.
pub trait Discrepancy: Place {
    /// A gradient by points, `(N, D)`: an [`Array2`], or a `DeviceBuffer` without gaps between rows.
    type Gradient;

    /// [`fn@super::mmd`] of checked arguments.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn discrepancy(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        options: &Options,
    ) -> Result<Output<Self::Gradient>>;

    /// Squared distances of the points that [`super::median_bandwidth`] takes, of all items.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn squared_distances(x: &Ragged<'_, Self>, y: &Ragged<'_, Self>) -> Result<Vec<f64>>;
}

impl Discrepancy for Host {
    type Gradient = Array2<f32>;

    fn discrepancy(x: &Ragged<'_>, y: &Ragged<'_>, options: &Options) -> Result<Output> {
        Ok(on_host(x, y, options))
    }

    fn squared_distances(x: &Ragged<'_>, y: &Ragged<'_>) -> Result<Vec<f64>> {
        Ok(bandwidth::on_host(x, y))
    }
}
