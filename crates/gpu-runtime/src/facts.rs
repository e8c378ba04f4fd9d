//! What a device is: its sizes and limits, read once when it is opened.

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use crate::error::Result;
use crate::library::check;
use crate::probe::attribute;
use crate::versions::{ComputeCapability, CudaVersion, PtxVersion};

/// Sizes and limits of a device, and the driver's version.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceFacts {
    /// The driver's number for the device.
    pub ordinal: usize,
    /// The product's name.
    pub name: String,
    /// The generation of the hardware.
    pub compute_capability: ComputeCapability,
    /// The CUDA version that the driver speaks.
    pub driver: CudaVersion,
    /// The newest PTX that the driver reads; `None` when it is newer than this crate knows.
    pub newest_ptx: Option<PtxVersion>,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Threads in a warp.
    pub warp_size: u32,
    /// Threads in a block, at most.
    pub threads_per_block: u32,
    /// Threads that live on an SM at once.
    pub threads_per_sm: u32,
    /// Extent of a block along x, y, z, at most.
    pub block_limit: [u32; 3],
    /// Extent of a grid along x, y, z, at most.
    pub grid_limit: [u32; 3],
    /// Bytes of shared memory that any block may use.
    pub shared_per_block: u32,
    /// Bytes of shared memory that a block may use after [`crate::Kernel::set_dynamic_shared`].
    pub shared_per_block_optin: u32,
    /// Bytes of shared memory of an SM.
    pub shared_per_sm: u32,
    /// 32-bit registers that a block may use.
    pub registers_per_block: u32,
    /// 32-bit registers of an SM.
    pub registers_per_sm: u32,
    /// Bytes of the second-level cache.
    pub l2_bytes: u32,
    /// Bytes of device memory.
    pub memory_bytes: usize,
    /// Clock of the SMs in kHz, at most.
    pub clock_khz: u32,
    /// Clock of the memory in kHz, at most.
    pub memory_clock_khz: u32,
    /// Width of the memory bus in bits.
    pub memory_bus_bits: u32,
    /// Whether a grid can be launched that meets at a barrier.
    pub cooperative: bool,
    /// Whether blocks can be launched in clusters.
    pub clusters: bool,
    /// Whether memory can be taken from pools in stream order.
    pub memory_pools: bool,
}

impl DeviceFacts {
    /// Asks the driver. The driver must be initialised.
    pub(crate) fn read(
        ordinal: usize,
        name: String,
        device: sys::CUdevice,
        driver: CudaVersion,
    ) -> Result<DeviceFacts> {
        use Attribute as A;
        let get = |which| attribute(device, which);
        let mut memory_bytes = 0;
        // SAFETY: the device came from the driver; it writes one size.
        let status = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, device) };
        check("cuDeviceTotalMem", status)?;
        Ok(DeviceFacts {
            ordinal,
            name,
            compute_capability: ComputeCapability {
                major: get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                minor: get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            },
            driver,
            newest_ptx: driver.newest_ptx(),
            sm_count: get(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            warp_size: get(A::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
            threads_per_block: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            threads_per_sm: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
            block_limit: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)?,
            ],
            grid_limit: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
            ],
            shared_per_block: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
            shared_per_block_optin: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            shared_per_sm: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
            registers_per_block: get(A::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK)?,
            registers_per_sm: get(A::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR)?,
            l2_bytes: get(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            memory_bytes,
            clock_khz: get(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            memory_clock_khz: get(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
            memory_bus_bits: get(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
            cooperative: get(A::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)? == 1,
            clusters: get(A::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)? == 1,
            memory_pools: get(A::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? == 1,
        })
    }

    /// Peak bytes per second of device memory: two transfers a clock over the whole bus.
    ///
    /// `None` where the driver does not say, as on the interpreter.
    pub fn memory_bandwidth(&self) -> Option<f64> {
        let (clock, bits) = (f64::from(self.memory_clock_khz), f64::from(self.memory_bus_bits));
        (clock > 0.0 && bits > 0.0).then_some(2.0 * clock * 1e3 * bits / 8.0)
    }

    #[cfg(test)]
    pub(crate) fn example() -> DeviceFacts {
        let driver = CudaVersion { major: 13, minor: 0 };
        DeviceFacts {
            ordinal: 0,
            name: "example".into(),
            compute_capability: ComputeCapability { major: 9, minor: 0 },
            driver,
            newest_ptx: driver.newest_ptx(),
            sm_count: 132,
            warp_size: 32,
            threads_per_block: 1024,
            threads_per_sm: 2048,
            block_limit: [1024, 1024, 64],
            grid_limit: [i32::MAX as u32, 65535, 65535],
            shared_per_block: 49152,
            shared_per_block_optin: 232_448,
            shared_per_sm: 233_472,
            registers_per_block: 65536,
            registers_per_sm: 65536,
            l2_bytes: 50 << 20,
            memory_bytes: 80 << 30,
            clock_khz: 1_980_000,
            memory_clock_khz: 2_619_000,
            memory_bus_bits: 5120,
            cooperative: true,
            clusters: true,
            memory_pools: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_two_transfers_a_clock_over_the_bus() {
        let facts = DeviceFacts::example();
        // 2 x 2.619 GHz x 640 bytes = 3352.32 GB/s, the data sheet's 3.35 TB/s.
        assert!((facts.memory_bandwidth().unwrap() - 3352.32e9).abs() < 1e6);
        assert_eq!(DeviceFacts { memory_clock_khz: 0, ..facts }.memory_bandwidth(), None);
    }
}
