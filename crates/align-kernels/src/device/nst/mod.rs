//! Neuron selectivity transfer on the device. `kernels/nst/README.md` tells of the kernels.

mod gauss;
mod gram;
mod lists;
mod poly;
mod rows;

use gpu_runtime::DeviceBuffer;

use super::Gpu;
use crate::error::Result;
use crate::mmd::Output;
use crate::nst::{Gradients, Selectivity, TokenOutput, Tokens};
use crate::ragged::Ragged;

type Buffer = DeviceBuffer<f32>;

impl Selectivity for Gpu {
    fn of_rows(x: &Ragged<'_, Gpu>, y: &Ragged<'_, Gpu>) -> Result<Output<Buffer>> {
        rows::run(x, y)
    }

    fn poly(tokens: &Tokens<'_, Gpu>, wanted: Gradients) -> Result<TokenOutput<Buffer>> {
        poly::run(tokens, wanted)
    }

    fn gram(tokens: &Tokens<'_, Gpu>, wanted: Gradients) -> Result<TokenOutput<Buffer>> {
        gram::run(tokens, wanted)
    }

    fn gauss(
        tokens: &Tokens<'_, Gpu>,
        bandwidth: f64,
        wanted: Gradients,
    ) -> Result<TokenOutput<Buffer>> {
        gauss::run(tokens, bandwidth, wanted)
    }
}
