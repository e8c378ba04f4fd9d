//! Normalisation by the root mean square.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// `x / sqrt(mean(x^2) + norm_eps) * weight` over the last dimension.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Var,
    norm_eps: f64,
}

impl RmsNorm {
    /// `weight` `(width,)` of ones.
    pub fn new(builder: &Builder, width: usize, norm_eps: f64) -> Result<Self> {
        Ok(Self { weight: builder.get("weight", &[width], Init::Ones)?, norm_eps })
    }

    /// A norm whose gain `(width,)` has a name of its own.
    pub fn from_var(weight: Var, norm_eps: f64) -> Self {
        Self { weight, norm_eps }
    }

    /// Normalises `(.., width)`; the mean is taken in f32 or wider.
    pub fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        x.rms_norm(&ctx.param(&self.weight), self.norm_eps)
    }
}
