//! The adapter proper: two maps through a narrow layer.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// `Ad(x) = SiLU(x M_down) M_up`, over the last dimension.
///
/// Both maps start as rectangular identities, so that fresh `Ad(x)` is `SiLU` of the first elements
/// and zero in the others.
#[derive(Debug)]
pub(super) struct Autoencoder {
    /// `(W, W / r)`.
    down: Var,
    /// `(W / r, W)`.
    up: Var,
}

impl Autoencoder {
    /// `projection_NAME_matrix_down` and `projection_NAME_matrix_up` below `builder`.
    pub fn new(builder: &Builder, name: &str, width: usize, inner: usize) -> Result<Self> {
        let map = |part: &str, shape: [usize; 2]| {
            builder.get(&format!("projection_{name}_matrix_{part}"), &shape, Init::Identity)
        };
        Ok(Self { down: map("down", [width, inner])?, up: map("up", [inner, width])? })
    }

    /// `(.., W)` to `(.., W)`.
    pub fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let inner = ctx.cast(x)?.matmul(&ctx.weight(&self.down)?)?.silu()?;
        inner.matmul(&ctx.weight(&self.up)?)
    }
}
