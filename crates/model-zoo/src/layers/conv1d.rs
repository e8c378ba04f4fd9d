//! One-dimensional convolution.

use tensor_core::{Context, Conv1dOptions, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// Convolution over time with a bias, one group.
#[derive(Debug, Clone)]
pub struct Conv1d {
    weight: Var,
    bias: Var,
    stride: usize,
    padding: usize,
}

impl Conv1d {
    /// `weight` `(out, in, kernel)` drawn by `init`, `bias` `(out,)` of zeros, stride 1 and
    /// zero padding that keeps the length when `kernel` is odd.
    pub fn new(builder: &Builder, shape: [usize; 3], init: Init) -> Result<Self> {
        let [outputs, _, kernel] = shape;
        Ok(Self {
            weight: builder.get("weight", &shape, init)?,
            bias: builder.get("bias", &[outputs], Init::Zeros)?,
            stride: 1,
            padding: kernel / 2,
        })
    }

    /// The same convolution at every `stride`-th place.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// `(B, in, T)` to `(B, out, (T - 1) / stride + 1)` for an odd kernel.
    pub fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let options =
            Conv1dOptions { stride: self.stride, padding: self.padding, dilation: 1, groups: 1 };
        let bias = ctx.weight(&self.bias)?;
        ctx.cast(x)?.conv1d(&ctx.weight(&self.weight)?, Some(&bias), options)
    }
}
