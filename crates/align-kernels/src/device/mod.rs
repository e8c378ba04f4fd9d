//! Clouds on a GPU, and the path that they take.
//!
//! [`DevicePoints`] are rows in device memory, f32 or bf16. Packed by [`Ragged::on_device`], they go to
//! the same functions as points on the host: [`sinkhorn`](fn@crate::sinkhorn::sinkhorn),
//! [`sinkhorn_with_gradient`](crate::sinkhorn::sinkhorn_with_gradient),
//! [`Output::backward`](crate::sinkhorn::Output::backward),
//! [`pairwise_cost`](fn@crate::pairwise_cost::pairwise_cost), [`mmd`](fn@crate::mmd::mmd),
//! [`median_bandwidth`](crate::mmd::median_bandwidth) and [`nst`](fn@crate::nst::nst).
//! [`info_nce`](fn@crate::info_nce::info_nce) and its kin take them as they are, without batches, and
//! tokens beside their clips go by [`Tokens::on_device`](crate::nst::Tokens::on_device). The kernels are
//! hand-written PTX, listed in [`registry`](crate::registry).
//!
//! All work of a call goes to the stream of `x`, after what is already there and on the stream of `y`.
//! Memory comes from the device's pool, and kernels are assembled once a device. Results have the same
//! bits in every run on one device; they are not bit for bit those of the host.
//!
//! ```no_run
//! use align_kernels::Ragged;
//! use align_kernels::device::DevicePoints;
//! use align_kernels::sinkhorn::{Options, Weights, sinkhorn_with_gradient};
//! use gpu_runtime::{Device, DeviceBuffer, Stream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::new(&Device::cuda(0)?)?;
//! let x = DeviceBuffer::from_slice(&stream, &[0.0f32, 0.0, 1.0, 0.0])?;
//! let y = DeviceBuffer::from_slice(&stream, &[0.0f32, 3.0, 1.0, 3.0])?;
//! let x = Ragged::single_on_device(DevicePoints::new(&stream, &x, 2, 2)?);
//! let y = Ragged::single_on_device(DevicePoints::new(&stream, &y, 2, 2)?);
//! let (output, gradients) =
//!     sinkhorn_with_gradient(&x, &y, Weights::default(), &Options::default(), None)?;
//! println!("{} {:?}", output.value[0], gradients.x.to_vec()?);
//! # Ok(())
//! # }
//! ```
//!
//! Both clouds of a call lie in one place, and what has no device path takes points on the host alone:
//! anything else does not compile.
//!
//! ```compile_fail,E0308
//! use align_kernels::{Ragged, device::Gpu, mmd};
//!
//! fn f(x: &Ragged<'_>, y: &Ragged<'_, Gpu>) -> bool {
//!     mmd::mmd(x, y, &mmd::Options::linear()).is_ok()
//! }
//! ```

mod clouds;
mod crd;
mod form;
mod info_nce;
mod layout;
mod mmd;
mod nst;
mod pairwise_cost;
mod parcel;
mod points;
mod session;
mod sinkhorn;

pub use crd::DeviceTable;
pub use gpu_math::Precision;
pub use points::{DevicePoints, DeviceValues};
pub use sinkhorn::{DeviceCostGradients, DeviceCosts, DeviceGradients};

use gpu_runtime::DeviceBuffer;

use crate::error::Result;
use crate::pairwise_cost::{Costs, PairwiseCost};
use crate::place::{Cloud, Place, Placed, sealed};
use crate::ragged::Ragged;
use crate::sinkhorn::{Cost, Options, Output, Pairing, Transport, Weights};

/// Points in the memory of a GPU: `Ragged<'_, Gpu>` is a batch of them.
#[derive(Debug, Clone, Copy)]
pub enum Gpu {}

impl sealed::Sealed for Gpu {}

impl Place for Gpu {
    type Points<'a> = DevicePoints<'a>;
    type Values = DeviceBuffer<f32>;
}

impl<'a> Placed<'a> for DevicePoints<'a> {
    type Place = Gpu;

    fn placed(self) -> DevicePoints<'a> {
        self
    }
}

impl Cloud for DevicePoints<'_> {
    fn count(&self) -> usize {
        DevicePoints::count(self)
    }

    fn width(&self) -> usize {
        DevicePoints::width(self)
    }
}

impl PairwiseCost for Gpu {
    fn costs(
        x: &Ragged<'_, Gpu>,
        y: &Ragged<'_, Gpu>,
        cost: Cost,
        pairing: Pairing,
    ) -> Result<Costs<DeviceBuffer<f32>>> {
        pairwise_cost::run(x, y, cost, pairing)
    }
}

impl Transport for Gpu {
    type Gradients = DeviceGradients;

    fn transport(
        x: &Ragged<'_, Gpu>,
        y: &Ragged<'_, Gpu>,
        weights: Weights<'_>,
        options: &Options,
    ) -> Result<Output> {
        sinkhorn::run(x, y, weights, options)
    }

    fn transport_with_gradient(
        x: &Ragged<'_, Gpu>,
        y: &Ragged<'_, Gpu>,
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
    ) -> Result<(Output, DeviceGradients)> {
        sinkhorn::run_with_gradient(x, y, weights, options, upstream, saved)
    }

    fn transport_through(
        x: &[&Ragged<'_, Gpu>],
        y: &[&Ragged<'_, Gpu>],
        weights: &[Weights<'_>],
        options: &Options,
        upstream: impl FnOnce(&Output) -> Result<Vec<f32>>,
    ) -> Result<(Output, Vec<DeviceGradients>)> {
        sinkhorn::run_through(x, y, weights, options, upstream)
    }
}
