//! Weights that come with the points of a call.

/// Weights of the points of both sides, packed as the points are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weights<'a> {
    /// Weights of `x`, `(N,)`; `None` is `1 / n` for every point of an item of `n`.
    pub a: Option<&'a [f32]>,
    /// Weights of `y`, `(M,)`.
    pub b: Option<&'a [f32]>,
}
