//! The CUDA driver behind ordinary errors.
//!
//! Programs that use this crate build and start on machines without a GPU, a driver or a CUDA
//! toolkit: `libcuda` is opened at run time, and [`Device::cuda`] answers with an error that says
//! what is missing and what to do. No missing library, function or device makes it panic.
//!
//! ```no_run
//! use gpu_runtime::{Device, DeviceBuffer, Launch, Module, Stream, args};
//!
//! # fn main() -> gpu_runtime::Result<()> {
//! # let source = "";
//! let device = Device::cuda(0)?;
//! let stream = Stream::new(&device)?;
//! let square = Module::load_ptx(&device, "square.ptx", source)?.kernel("square_u32")?;
//!
//! let x = DeviceBuffer::from_slice(&stream, &[1u32, 2, 3])?;
//! let mut out = DeviceBuffer::<u32>::uninit(&stream, 3)?;
//! // SAFETY: the kernel reads three values of x and writes three of out.
//! unsafe { square.launch(&stream, &Launch::over(3, 128), args![&mut out, &x, 3u32])? };
//! assert_eq!(out.to_vec()?, [1, 4, 9]);
//! # Ok(())
//! # }
//! ```
//!
//! | question | answer |
//! |---|---|
//! | is there a GPU? | [`probe()`], [`Device::cuda`], [`doctor::examine`] |
//! | what is it? | [`Device::facts`] |
//! | run a kernel | [`Module::load_ptx`], [`Kernel::launch`], [`args!`] |
//! | order and time work | [`Stream`], [`Event`], [`Device::time_launches`] |
//! | memory | [`DeviceBuffer`], [`DeviceSlice`], [`PinnedBuffer`], [`Device::memory_stats`] |
//! | bulk copies of tensors | [`TensorMap`] |
//! | run many kernels as one | [`Stream::capture`], [`Graph`] |
//! | matrix products | [`Blas`] |
//!
//! A launch is `unsafe`: a kernel is foreign code that receives addresses. What can be checked
//! is: number, size and kind of the arguments against the kernel's PTX, and the shape of the
//! launch against the device. A kernel that fails while it runs is reported by a later call,
//! which names the launches since the last wait; [`DeviceOptions::launch_blocking`] makes the
//! launch itself report.
//!
//! Features: `cuda13` (default) needs driver 580 or newer, `cuda12` 570 or newer; choose one.

mod args;
mod blas;
mod device;
pub mod doctor;
mod error;
mod event;
mod facts;
mod graph;
mod kernel;
mod kind;
mod launch;
mod launch_times;
mod library;
mod loaded;
mod memory;
mod module;
mod probe;
mod ptx_text;
mod status;
mod stream;
mod tensor_map;
mod timed_launches;
mod trace;
mod versions;

pub use args::Arg;
pub use blas::{Blas, BlasElement, Matmul};
pub use device::{Device, DeviceOptions};
pub use error::{GpuError, Result};
pub use event::Event;
pub use facts::DeviceFacts;
pub use graph::Graph;
pub use kernel::Kernel;
pub use kind::ErrorKind;
pub use launch::Launch;
pub use launch_times::LaunchTime;
pub use loaded::KernelAttributes;
pub use memory::buffer::DeviceBuffer;
pub use memory::pinned::PinnedBuffer;
pub use memory::pool::MemoryStats;
pub use memory::slice::{DeviceSlice, DeviceSliceMut};
pub use module::Module;
pub use probe::{Listed, Probe, probe};
pub use ptx_text::{Entry, Param, ParamKind, PtxText};
pub use stream::{Priority, Stream};
pub use tensor_map::{MapElement, Swizzle, TensorMap, Tiled};
pub use versions::{COMPUTE_FLOOR, ComputeCapability, CudaVersion, DRIVER_FLOOR, PtxVersion};
