//! Layer normalisation.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// `(x - mean) / sqrt(var + norm_eps) * weight + bias` over the last dimension.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Var,
    bias: Var,
    norm_eps: f64,
}

impl LayerNorm {
    /// `weight` of ones and `bias` of zeros, both `(width,)`.
    pub fn new(builder: &Builder, width: usize, norm_eps: f64) -> Result<Self> {
        Ok(Self {
            weight: builder.get("weight", &[width], Init::Ones)?,
            bias: builder.get("bias", &[width], Init::Zeros)?,
            norm_eps,
        })
    }

    /// Normalises `(.., width)`; moments are taken in f32 or wider.
    pub fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        x.layer_norm(&ctx.param(&self.weight), &ctx.param(&self.bias), self.norm_eps)
    }
}
