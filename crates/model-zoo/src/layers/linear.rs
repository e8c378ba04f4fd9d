//! Affine maps.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Beside, Builder, Init, Matrix};

/// `y = x W^T + b` over the last dimension, and what the [`Builder`] attaches: an update of low rank
/// beside it, or a block behind it.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Var>,
    beside: Option<Beside>,
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
        let beside = builder.beside(&weight, [outputs, inputs])?;
        Ok(Self { weight, bias: None, beside })
    }

    /// A map whose parameters belong to something else, such as a tied vocabulary projection.
    pub fn from_vars(weight: Var, bias: Option<Var>) -> Self {
        Self { weight: Matrix::Var(weight), bias, beside: None }
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
        match &self.beside {
            Some(beside) => beside.apply(ctx, &x, y),
            None => Ok(y),
        }
    }
}
