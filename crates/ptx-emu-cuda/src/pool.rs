//! Memory pools, as far as programs see them: what is in use, and what is kept for later.
//!
//! Memory comes from the device and goes back to it at once, so that a use after the release is
//! found. The pool counts as if it kept what the release threshold allows.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;

use crate::error::{Error, Result, code};
use crate::memory::alloc_async;
use crate::object::context::Context;
use crate::object::pool::{Pool, Taken};
use crate::state::{State, state};
use crate::types::{
    CUdevice, CUdeviceptr, CUmemLocation, CUmemPoolProps, CUmemoryPool, CUstream, In, Out,
};

/// The number of the kind of place that a device is.
const ON_DEVICE: c_uint = 1;

impl State {
    /// Counts memory as taken from a pool.
    pub(crate) fn take_from_pool(
        &mut self,
        pool: CUmemoryPool,
        context: &Arc<Context>,
        ptr: u64,
        bytes: usize,
    ) -> Result {
        let bytes = bytes as u64;
        self.pools.get_mut(pool)?.take(bytes);
        self.taken.insert((context.handle, ptr), Taken { pool, bytes });
        Ok(())
    }
}

exports! {
    fn cuMemPoolCreate(out: Out<'_, CUmemoryPool>, props: In<'_, CUmemPoolProps>) {
        let mut state = state()?;
        let props = props.get()?;
        if props.location.kind != ON_DEVICE || props.handle_types != 0 {
            let story = "expected a pool on a device, not shared with other processes";
            return Err(Error::with(code::NOT_SUPPORTED, story));
        }
        if props.alloc_type != 1 || out.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        state.device(props.location.id)?;
        out.set(state.pools.insert(Pool::new(props.location.id)))
    }

    /// Memory that is still in use stays; it belongs to its context.
    fn cuMemPoolDestroy(pool: CUmemoryPool) {
        let mut state = state()?;
        if state.devices.iter().any(|device| device.default_pool == pool) {
            return Err(Error::with(code::INVALID_VALUE, "a device's own pool is not destroyed"));
        }
        state.pools.remove(pool)?;
        state.taken.retain(|_, taken| taken.pool != pool);
        for device in &mut state.devices {
            if device.current_pool == pool {
                device.current_pool = device.default_pool;
            }
        }
        Ok(())
    }

    fn cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize) {
        state()?.pools.get_mut(pool)?.trim(keep as u64);
        Ok(())
    }

    fn cuMemPoolSetAttribute(pool: CUmemoryPool, number: c_uint, value: In<'_, c_void>) {
        let mut state = state()?;
        let pool = state.pools.get_mut(pool)?;
        match number {
            1..=3 => pool.reuse[number as usize - 1] = value.cast::<u32>().get()?,
            4 => pool.threshold = value.cast::<u64>().get()?,
            // The high-water marks can only be set back.
            6 if value.cast::<u64>().get()? == 0 => pool.reserved_high = pool.reserved,
            8 if value.cast::<u64>().get()? == 0 => pool.used_high = pool.used,
            _ => return Err(code::INVALID_VALUE.into()),
        }
        Ok(())
    }

    fn cuMemPoolGetAttribute(pool: CUmemoryPool, number: c_uint, out: Out<'_, c_void>) {
        let state = state()?;
        let pool = state.pools.get(pool)?;
        let wide = match number {
            1..=3 => return out.cast().set(pool.reuse[number as usize - 1]),
            4 => pool.threshold,
            5 => pool.reserved,
            6 => pool.reserved_high,
            7 => pool.used,
            8 => pool.used_high,
            _ => return Err(code::INVALID_VALUE.into()),
        };
        out.cast().set(wide)
    }

    /// 3, read and write, for the pool's own device; 0 for others.
    fn cuMemPoolGetAccess(
        out: Out<'_, c_uint>,
        pool: CUmemoryPool,
        place: In<'_, CUmemLocation>,
    ) {
        let state = state()?;
        let (pool, place) = (state.pools.get(pool)?, place.get()?);
        out.set(if place.kind == ON_DEVICE && place.id == pool.device { 3 } else { 0 })
    }

    fn cuMemAllocFromPoolAsync(
        out: Out<'_, CUdeviceptr>,
        bytes: usize,
        pool: CUmemoryPool,
        stream: CUstream,
    ) {
        alloc_async(out, bytes, Some(pool), stream)
    }

    fn cuDeviceGetDefaultMemPool(out: Out<'_, CUmemoryPool>, device: CUdevice) {
        out.set(state()?.device(device)?.default_pool)
    }

    fn cuDeviceGetMemPool(out: Out<'_, CUmemoryPool>, device: CUdevice) {
        out.set(state()?.device(device)?.current_pool)
    }

    fn cuDeviceSetMemPool(device: CUdevice, pool: CUmemoryPool) {
        let mut state = state()?;
        if state.pools.get(pool)?.device != device {
            return Err(code::INVALID_VALUE.into());
        }
        state.device(device)?.current_pool = pool;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_what_its_threshold_allows() {
        let mut pool = Pool::new(0);
        pool.take(5 << 20);
        assert_eq!((pool.used, pool.reserved), (5 << 20, 6 << 20));
        pool.give(5 << 20);
        assert_eq!((pool.used, pool.reserved), (0, 0));

        pool.threshold = u64::MAX;
        pool.take(5 << 20);
        pool.give(5 << 20);
        assert_eq!((pool.used, pool.reserved), (0, 6 << 20));
        pool.take(1);
        pool.trim(0);
        assert_eq!((pool.used, pool.reserved), (1, 2 << 20));
        assert_eq!((pool.used_high, pool.reserved_high), (5 << 20, 6 << 20));
    }
}
