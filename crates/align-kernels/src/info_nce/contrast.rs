//! What InfoNCE asks of a place.

use super::layer::Layer;
use super::lse::{Block, Lse};
use super::{Options, Output};
use crate::error::Result;
use crate::place::Place;

/// A place that contrasts points: what [`info_nce`](fn@super::info_nce) and its kin do there.
pub trait Contrast: Place {
    /// Gradient by the points of a cloud: an array, or a `DeviceBuffer<f32>`, `(N, D)`.
    type Gradient;

    /// [`info_nce`](fn@super::info_nce).
    ///
    /// # Errors
    ///
    /// As there.
    fn contrast(
        x: Self::Points<'_>,
        y: Self::Points<'_>,
        options: &Options<'_>,
    ) -> Result<Output<Self::Gradient>>;

    /// [`info_nce_layers`](super::info_nce_layers) of checked weights, a layer each.
    ///
    /// # Errors
    ///
    /// As there.
    fn contrast_layers(
        layers: &[Layer<'_, Self>],
        options: &Options<'_>,
    ) -> Result<Vec<Output<Self::Gradient>>>;

    /// [`info_nce_lse`](super::info_nce_lse).
    ///
    /// # Errors
    ///
    /// As there.
    fn log_sums(x: Self::Points<'_>, y: Self::Points<'_>, options: &Options<'_>) -> Result<Lse>;

    /// [`info_nce_given_lse`](super::info_nce_given_lse).
    ///
    /// # Errors
    ///
    /// As there.
    fn contrast_given(
        x: Self::Points<'_>,
        y: Self::Points<'_>,
        block: &Block<'_>,
        options: &Options<'_>,
    ) -> Result<Output<Self::Gradient>>;
}
