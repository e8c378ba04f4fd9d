//! One of several pairs of clouds.

use crate::place::{Host, Place};

/// One pair of clouds.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a, P: Place = Host> {
    /// Anchors, `(N, D)`.
    pub x: P::Points<'a>,
    /// Partners and negatives, `(M, D)`.
    pub y: P::Points<'a>,
    /// Of this layer, in place of the options'.
    pub temperature: f64,
    /// Factor of this layer's loss in the sum.
    pub weight: f64,
}
