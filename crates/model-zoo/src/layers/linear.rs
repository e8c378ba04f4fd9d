//! Affine maps.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init, LowRank, Matrix};

/// `y = x W^T + b` over the last dimension, and an update of low rank where the [`Builder`] attaches
/// one.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Var>,
    low_rank: Option<LowRank>,
}

impl Linear {
    /// `weight` `(out, in)` drawn by `init`, `bias` `(out,)` of zeros.
    pub fn new(builder: &Builder, inputs: usize, outputs: usize, init: Init) -> Result<Self> {
        let mut linear = Self::without_bias(builder, inputs, outputs, init)?;
        linear.bias = Some(builder.get("bias", &[outputs], Init::Zeros)?);
        Ok(linear)
    }

    /// As [`new`](Self::new), without a bias.
    pub fn without_bias(
        builder: &Builder,
        inputs: usize,
        outputs: usize,
        init: Init,
    ) -> Result<Self> {
        let weight = builder.get_matrix("weight", [outputs, inputs], init)?;
        let low_rank = builder.low_rank_beside(&weight, [outputs, inputs])?;
        Ok(Self { weight, bias: None, low_rank })
    }

    /// A map whose parameters belong to something else, such as a tied vocabulary projection.
    pub fn from_vars(weight: Var, bias: Option<Var>) -> Self {
        Self { weight: Matrix::Var(weight), bias, low_rank: None }
    }

    /// `(.., in)` to `(.., out)`, in the compute dtype; in that of `x` where there is none, also when the
    /// weight is kept in bf16 or f16.
    pub fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| ctx.weight(bias)).transpose()?;
        let x = ctx.cast(x)?;
        let y = match &self.weight {
            Matrix::Var(weight) => x.linear(&ctx.weight(weight)?, bias.as_ref())?,
            Matrix::Int8(weight) => x.linear_int8(weight, bias.as_ref())?,
        };
        match &self.low_rank {
            Some(update) => update.add_to(ctx, &x, y),
            None => Ok(y),
        }
    }
}
