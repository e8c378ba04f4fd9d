//! What the tests that need a driver share.
//!
//! They run when `CONSONANCE_GPU_TESTS=1` is set, on a GPU or on the interpreter's drop-in
//! driver, and then fail where no device is found: a run that was asked for cannot pass by
//! skipping.

#![allow(dead_code, reason = "each test program uses a part")]

use gpu_runtime::{Device, GpuError, Kernel, Module, Stream};

/// y = a x + b, in place if the caller likes.
pub const AFFINE: &str = include_str!("kernels/affine_f32.ptx");
/// Reverses a block's values through dynamic shared memory.
pub const REVERSE: &str = include_str!("kernels/reverse_u32.ptx");
/// Blocks meet at a barrier of the grid and read what their neighbour wrote.
pub const GRID_BARRIER: &str = include_str!("kernels/grid_barrier_u32.ptx");
/// Each block writes its rank in its cluster.
pub const CLUSTER_RANK: &str = include_str!("kernels/cluster_rank_u32.ptx");

/// Whether GPU tests are asked for.
pub fn asked() -> bool {
    let asked = std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1");
    if !asked {
        println!("skipped: no GPU asked for");
    }
    asked
}

/// The first device, when GPU tests are asked for.
pub fn device() -> Option<Device> {
    asked().then(|| Device::cuda(0).unwrap_or_else(|error| panic!("{error}")))
}

/// A kernel and a new stream on a device.
pub fn kernel(device: &Device, source: &str, name: &str) -> (Kernel, Stream) {
    let load = || {
        let module = Module::load_ptx(device, &format!("{name}.ptx"), source)?;
        Ok((module.kernel(name)?, Stream::new(device)?))
    };
    load().unwrap_or_else(|error: GpuError| panic!("{error}"))
}
