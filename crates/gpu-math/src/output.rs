//! Where products go, and with what factors.

use gpu_runtime::Arg;

/// Factors of the product, and of what `out` held before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the old `out`; at 0 it is not read.
    pub beta: f32,
}

impl Default for Scale {
    /// The product alone.
    fn default() -> Self {
        Self { alpha: 1.0, beta: 0.0 }
    }
}

/// Where a product goes: `out`, or the workspace of partial sums.
pub(crate) struct Place<'a> {
    pub values: Arg<'a>,
    pub stride: usize,
    pub step: usize,
    pub is_bf16: bool,
}
