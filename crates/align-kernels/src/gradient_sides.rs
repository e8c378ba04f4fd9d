//! Whose gradients a call computes.

/// The side of a pair of clouds, or both, that gradients are wanted for.
///
/// The other side is a constant: what its gradients alone would need is not computed, and they come
/// out empty. Values, and the gradients of the wanted side, are the same to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GradientSides {
    /// Both clouds.
    #[default]
    Both,
    /// The points and weights of `x`.
    X,
    /// The points and weights of `y`.
    Y,
}

impl GradientSides {
    /// Whether `x` is wanted.
    pub(crate) fn has_x(self) -> bool {
        self != Self::Y
    }

    /// Whether `y` is wanted.
    pub(crate) fn has_y(self) -> bool {
        self != Self::X
    }
}
