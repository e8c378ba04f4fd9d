//! Occupancy: how many CTAs of a kernel an SM holds at once.

use std::ffi::{c_int, c_uint};
use std::sync::atomic::Ordering::Relaxed;

use crate::device::{BLOCKS_PER_SM, RESERVED_SHARED};
use crate::error::{Result, code};
use crate::function::function;
use crate::launch::cluster_of;
use crate::object::function::Function;
use crate::types::{CUfunction, CUlaunchConfig, CUoccupancyB2DSize, In, Out};

/// Registers are given to a warp in steps of this many.
const REGISTER_STEP: u32 = 256;
/// Shared memory is given to a CTA in steps of this many bytes.
const SHARED_STEP: u32 = 128;
/// SMs that a cluster may spread over; devices have groups of about that size.
const GROUP: u32 = 16;

impl Function {
    /// CTAs of `threads` threads that an SM holds.
    pub(crate) fn blocks_per_sm(&self, threads: u32, dynamic_shared: u32) -> Result<u32> {
        let spec = self.spec();
        let kernel = self.kernel()?;
        if threads == 0 || threads > self.max_threads()? {
            return Ok(0);
        }
        let warps = threads.div_ceil(32);
        let registers = (32 * self.registers()?).next_multiple_of(REGISTER_STEP);
        let shared = kernel.shared_bytes().saturating_add(dynamic_shared);
        if shared > spec.shared_per_block {
            return Ok(0);
        }
        let shared = shared.next_multiple_of(SHARED_STEP) + RESERVED_SHARED;
        let limits = [
            BLOCKS_PER_SM,
            spec.threads_per_sm / 32 / warps,
            spec.registers_per_sm / (registers * warps),
            spec.shared_per_sm / shared,
        ];
        Ok(limits.into_iter().min().unwrap_or(0))
    }

    /// Clusters of `count` CTAs that the device holds.
    fn clusters(&self, blocks_per_sm: u32, count: u32) -> u32 {
        let sms = self.spec().sms;
        let full = sms / GROUP * (GROUP * blocks_per_sm / count);
        full + sms % GROUP * blocks_per_sm / count
    }

    /// The block with the most resident threads, and the CTAs that then fill the device.
    fn best_block(&self, shared: impl Fn(u32) -> u32, limit: u32) -> Result<(u32, u32)> {
        let most = self.max_threads()?.min(if limit == 0 { u32::MAX } else { limit });
        let mut best = (0, 0);
        // From the largest down, so that it wins where several hold the same threads.
        let mut threads = most;
        while threads > 0 {
            let blocks = self.blocks_per_sm(threads, shared(threads))?;
            if blocks * threads > best.0 * best.1 {
                best = (blocks, threads);
            }
            threads = (threads - 1) / 32 * 32;
        }
        Ok((best.0 * self.spec().sms, best.1))
    }
}

fn blocks(
    out: Out<'_, c_int>,
    handle: CUfunction,
    threads: c_int,
    dynamic_shared: usize,
) -> Result {
    let function = function(handle)?;
    let threads = u32::try_from(threads).ok().filter(|threads| *threads > 0);
    let threads = threads.ok_or(code::INVALID_VALUE)?;
    let shared = u32::try_from(dynamic_shared).unwrap_or(u32::MAX);
    out.set(function.blocks_per_sm(threads, shared)? as c_int)
}

fn potential(
    grid: Out<'_, c_int>,
    block: Out<'_, c_int>,
    handle: CUfunction,
    shared_of: CUoccupancyB2DSize,
    shared: usize,
    limit: c_int,
) -> Result {
    let function = function(handle)?;
    let limit = u32::try_from(limit).map_err(|_| code::INVALID_VALUE)?;
    let shared = |threads: u32| {
        let bytes = match shared_of {
            // SAFETY: the caller gave the function to be called with a number of threads.
            Some(shared_of) => unsafe { shared_of(threads as c_int) },
            None => shared,
        };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
    let (blocks, threads) = function.best_block(shared, limit)?;
    grid.set(blocks as c_int)?;
    block.set(threads as c_int)
}

fn config_of(handle: CUfunction, config: In<'_, CUlaunchConfig>) -> Result<(u32, u32, u32)> {
    let function = function(handle)?;
    let config = config.get()?;
    let threads = config.block.iter().copied().fold(1, u32::saturating_mul);
    let blocks = function.blocks_per_sm(threads, config.shared_bytes)?;
    let shape = cluster_of(&function, &config)?.unwrap_or([1; 3]);
    let count = shape.iter().copied().fold(1, u32::saturating_mul);
    Ok((blocks, count, function.clusters(blocks, count.max(1))))
}

exports! {
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        out: Out<'_, c_int>,
        handle: CUfunction,
        threads: c_int,
        dynamic_shared: usize,
    ) {
        blocks(out, handle, threads, dynamic_shared)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: Out<'_, c_int>,
        handle: CUfunction,
        threads: c_int,
        dynamic_shared: usize,
        _flags: c_uint,
    ) {
        blocks(out, handle, threads, dynamic_shared)
    }

    fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<'_, c_int>,
        block: Out<'_, c_int>,
        handle: CUfunction,
        shared_of: CUoccupancyB2DSize,
        shared: usize,
        limit: c_int,
    ) {
        potential(grid, block, handle, shared_of, shared, limit)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<'_, c_int>,
        block: Out<'_, c_int>,
        handle: CUfunction,
        shared_of: CUoccupancyB2DSize,
        shared: usize,
        limit: c_int,
        _flags: c_uint,
    ) {
        potential(grid, block, handle, shared_of, shared, limit)
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(
        out: Out<'_, usize>,
        handle: CUfunction,
        blocks: c_int,
        threads: c_int,
    ) {
        let function = function(handle)?;
        let count = u32::try_from(blocks).ok().filter(|count| *count > 0);
        let threads = u32::try_from(threads).map_err(|_| code::INVALID_VALUE)?;
        let count = count.ok_or(code::INVALID_VALUE)?;
        if function.blocks_per_sm(threads, 0)? < count {
            return Err(code::INVALID_VALUE.into());
        }
        let spec = function.spec();
        let share = spec.shared_per_sm / count / SHARED_STEP * SHARED_STEP;
        let each = share.saturating_sub(RESERVED_SHARED).min(spec.shared_per_block);
        out.set(each.saturating_sub(function.kernel()?.shared_bytes()) as usize)
    }

    /// As if the SMs stood in groups of 16, within which a cluster stays.
    fn cuOccupancyMaxActiveClusters(
        out: Out<'_, c_int>,
        handle: CUfunction,
        config: In<'_, CUlaunchConfig>,
    ) {
        out.set(config_of(handle, config)?.2 as c_int)
    }

    fn cuOccupancyMaxPotentialClusterSize(
        out: Out<'_, c_int>,
        handle: CUfunction,
        config: In<'_, CUlaunchConfig>,
    ) {
        let (blocks, ..) = config_of(handle, config)?;
        let most = if function(handle)?.large_clusters.load(Relaxed) { 16 } else { 8 };
        let hopper = function(handle)?.spec().compute_capability.0 >= 9;
        out.set(if blocks == 0 { 0 } else if hopper { most } else { 1 })
    }
}
