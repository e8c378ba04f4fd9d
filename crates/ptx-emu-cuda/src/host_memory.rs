//! Host memory that the driver gives out or is told of.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;

use crate::error::{Result, code};
use crate::host::{Block, Owner};
use crate::object::context::Context;
use crate::state::{State, state};
use crate::types::{CUdeviceptr, Out};

/// The flag of memory that gets an address on the device at once.
const DEVICE_MAP: c_uint = 2;
/// All flags that there are.
const ALL_FLAGS: c_uint = 15;

/// The context whose host memory holds an address: the current one, or any other.
pub(crate) fn owner(state: &State, address: u64) -> Option<(Arc<Context>, Block)> {
    let current = state.current_even_lost().ok();
    let all = current.iter().chain(state.contexts.values());
    all.filter_map(|context| Some((Arc::clone(context), context.host.find(address)?))).next()
}

fn alloc(out: Out<'_, u64>, bytes: usize, flags: c_uint) -> Result {
    let mut state = state()?;
    let context = state.current()?;
    state.refuse_while_capturing()?;
    if bytes == 0 || out.is_null() || flags & !ALL_FLAGS != 0 {
        return Err(code::INVALID_VALUE.into());
    }
    let host = context.host.alloc(bytes, flags)?;
    if flags & DEVICE_MAP != 0 {
        context.host.device_address(&context.gpu, host)?;
    }
    out.set(host)
}

exports! {
    fn cuMemHostAlloc(out: Out<'_, u64>, bytes: usize, flags: c_uint) {
        alloc(out, bytes, flags)
    }

    fn cuMemAllocHost_v2(out: Out<'_, u64>, bytes: usize) {
        alloc(out, bytes, 0)
    }

    fn cuMemFreeHost(host: Out<'_, c_void>) {
        let state = state()?;
        if host.is_null() {
            return Ok(());
        }
        let (context, block) = owner(&state, host.address()).ok_or(code::INVALID_VALUE)?;
        context.check()?;
        let heap = |block: &Block| matches!(block.owner, Owner::Heap(_));
        if block.host != host.address() {
            return Err(code::INVALID_VALUE.into());
        }
        context.host.remove(&context.gpu, block.host, heap)
    }

    fn cuMemHostRegister_v2(host: Out<'_, c_void>, bytes: usize, flags: c_uint) {
        let context = state()?.current()?;
        if host.is_null() || bytes == 0 || flags & !ALL_FLAGS != 0 {
            return Err(code::INVALID_VALUE.into());
        }
        context.host.register(host.address(), bytes, flags)?;
        if flags & DEVICE_MAP != 0 {
            context.host.device_address(&context.gpu, host.address())?;
        }
        Ok(())
    }

    fn cuMemHostUnregister(host: Out<'_, c_void>) {
        let context = state()?.current()?;
        let caller = |block: &Block| block.owner == Owner::Caller;
        context
            .host
            .remove(&context.gpu, host.address(), caller)
            .map_err(|_| code::HOST_MEMORY_NOT_REGISTERED.into())
    }

    /// The two addresses differ; the bytes are copied before and after work runs.
    fn cuMemHostGetDevicePointer_v2(
        out: Out<'_, CUdeviceptr>,
        host: Out<'_, c_void>,
        flags: c_uint,
    ) {
        let state = state()?;
        state.current()?;
        let (context, _) = owner(&state, host.address()).ok_or(code::INVALID_VALUE)?;
        if flags != 0 {
            return Err(code::INVALID_VALUE.into());
        }
        out.set(context.host.device_address(&context.gpu, host.address())?)
    }

    fn cuMemHostGetFlags(out: Out<'_, c_uint>, host: Out<'_, c_void>) {
        let state = state()?;
        let (_, block) = owner(&state, host.address()).ok_or(code::INVALID_VALUE)?;
        out.set(block.flags)
    }
}
