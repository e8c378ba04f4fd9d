//! Device memory: taken, given back, asked about.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use crate::error::{Error, Result, code};
use crate::host::Owner;
use crate::object::context::Context;
use crate::object::operation::{GraphMemory, Operation};
use crate::state::{State, state};
use crate::types::{CUdeviceptr, CUmemLocation, CUmemoryPool, CUstream, Out};

/// The flag of managed memory that every stream may use, and of that which no stream may.
const ATTACH_GLOBAL: c_uint = 1;
const ATTACH_HOST: c_uint = 2;

/// Takes memory, or says that there is no more.
pub(crate) fn take(context: &Context, bytes: usize) -> Result<u64> {
    let (used, all) = context.gpu.memory_usage();
    if bytes as u64 > all - used {
        let story = format!("{bytes} bytes, expected at most {} free of {all}", all - used);
        return Err(Error::with(code::OUT_OF_MEMORY, story));
    }
    context.gpu.alloc(bytes).map_err(|fault| Error::with(code::OUT_OF_MEMORY, &fault))
}

/// Gives memory back, to its pool where it came from one; null is nothing.
fn free(state: &mut State, context: &Context, ptr: u64) -> Result {
    if ptr == 0 {
        return Ok(());
    }
    let managed = context.host.find(ptr).filter(|block| block.host == ptr);
    if managed.is_some_and(|block| matches!(block.owner, Owner::Pages { .. })) {
        return context.host.remove(&context.gpu, ptr, |_| true);
    }
    context.gpu.free(ptr).map_err(|fault| Error::memory(&fault))?;
    if let Some(taken) = state.taken.remove(&(context.handle, ptr)) {
        state.pools.get_mut(taken.pool)?.give(taken.bytes);
    }
    Ok(())
}

/// Takes memory in stream order. While the stream is captured, the graph owns it.
pub(crate) fn alloc_async(
    out: Out<'_, CUdeviceptr>,
    bytes: usize,
    pool: Option<CUmemoryPool>,
    stream: CUstream,
) -> Result {
    let mut state = state()?;
    let context = state.context_of(stream)?;
    let pool = match pool {
        Some(pool) => pool,
        None => state.device(context.device)?.current_pool,
    };
    state.pools.get(pool)?;
    if bytes == 0 {
        return out.set(0);
    }
    if out.is_null() {
        return Err(code::INVALID_VALUE.into());
    }
    let ptr = take(&context, bytes)?;
    if state.tail(stream)?.is_some() {
        let memory = GraphMemory { context: Arc::clone(&context), ptr };
        state.record(stream, Operation::Alloc(Arc::new(memory)))?;
    } else {
        state.take_from_pool(pool, &context, ptr, bytes)?;
    }
    out.set(ptr)
}

/// A stretch of memory that a call names must be one that there is.
fn known(ptr: CUdeviceptr, bytes: usize) -> Result<Arc<Context>> {
    let context = state()?.current()?;
    let inside =
        context.gpu.allocation(ptr).is_some_and(|(base, size)| ptr - base + bytes as u64 <= size);
    if inside { Ok(context) } else { Err(code::INVALID_VALUE.into()) }
}

exports! {
    fn cuMemGetInfo_v2(free: Out<'_, usize>, total: Out<'_, usize>) {
        let state = state()?;
        let device = state.current()?.device;
        let here = state.contexts.values().filter(|context| context.device == device);
        let used: u64 = here.map(|context| context.gpu.memory_usage().0).sum();
        let all = state.settings.options.spec.memory_bytes;
        free.set(all.saturating_sub(used) as usize)?;
        total.set(all as usize)
    }

    fn cuMemAlloc_v2(out: Out<'_, CUdeviceptr>, bytes: usize) {
        let mut state = state()?;
        let context = state.current()?;
        state.refuse_while_capturing()?;
        if bytes == 0 || out.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        out.set(take(&context, bytes)?)
    }

    /// Rows begin at multiples of 512 bytes.
    fn cuMemAllocPitch_v2(
        out: Out<'_, CUdeviceptr>,
        pitch: Out<'_, usize>,
        width: usize,
        height: usize,
        _element: c_uint,
    ) {
        let mut state = state()?;
        let context = state.current()?;
        state.refuse_while_capturing()?;
        let row = width.checked_next_multiple_of(512).filter(|row| *row != 0);
        let bytes = row.and_then(|row| row.checked_mul(height)).filter(|bytes| *bytes != 0);
        let (Some(row), Some(bytes), false) = (row, bytes, out.is_null()) else {
            return Err(code::INVALID_VALUE.into());
        };
        pitch.set(row)?;
        out.set(take(&context, bytes)?)
    }

    fn cuMemFree_v2(ptr: CUdeviceptr) {
        let mut state = state()?;
        let context = state.current()?;
        state.refuse_while_capturing()?;
        free(&mut state, &context, ptr)
    }

    fn cuMemAllocAsync(out: Out<'_, CUdeviceptr>, bytes: usize, stream: CUstream) {
        alloc_async(out, bytes, None, stream)
    }

    fn cuMemFreeAsync(ptr: CUdeviceptr, stream: CUstream) {
        let mut state = state()?;
        let context = state.context_of(stream)?;
        match state.record(stream, Operation::Free)? {
            None => Ok(()),
            Some(_) => free(&mut state, &context, ptr),
        }
    }

    /// Host and device see each other's writes after a launch, not during it.
    fn cuMemAllocManaged(out: Out<'_, CUdeviceptr>, bytes: usize, flags: c_uint) {
        let mut state = state()?;
        let context = state.current()?;
        state.refuse_while_capturing()?;
        if bytes == 0 || out.is_null() || !matches!(flags, ATTACH_GLOBAL | ATTACH_HOST) {
            return Err(code::INVALID_VALUE.into());
        }
        out.set(context.host.alloc_managed(&context.gpu, bytes, flags)?)
    }

    fn cuMemGetAddressRange_v2(
        base: Out<'_, CUdeviceptr>,
        bytes: Out<'_, usize>,
        ptr: CUdeviceptr,
    ) {
        let context = state()?.current()?;
        let (start, size) = context.gpu.allocation(ptr).ok_or(code::NOT_FOUND)?;
        base.offer(start);
        bytes.offer(size as usize);
        Ok(())
    }

    /// Without effect.
    fn cuMemAdvise_v2(ptr: CUdeviceptr, bytes: usize, _advice: c_uint, _place: CUmemLocation) {
        known(ptr, bytes).map(drop)
    }

    /// Without effect.
    fn cuMemAdvise(ptr: CUdeviceptr, bytes: usize, _advice: c_uint, _device: c_int) {
        known(ptr, bytes).map(drop)
    }

    /// Without effect.
    fn cuMemPrefetchAsync_v2(
        ptr: CUdeviceptr,
        bytes: usize,
        _place: CUmemLocation,
        _flags: c_uint,
        stream: CUstream,
    ) {
        state()?.context_of(stream)?;
        known(ptr, bytes).map(drop)
    }

    /// Without effect.
    fn cuMemPrefetchAsync(ptr: CUdeviceptr, bytes: usize, _device: c_int, stream: CUstream) {
        state()?.context_of(stream)?;
        known(ptr, bytes).map(drop)
    }

    /// Without effect.
    fn cuStreamAttachMemAsync(
        stream: CUstream,
        ptr: CUdeviceptr,
        _bytes: usize,
        _flags: c_uint,
    ) {
        let context = state()?.context_of(stream)?;
        let block = context.host.find(ptr).filter(|block| block.host == ptr);
        block.map(drop).ok_or(code::INVALID_VALUE.into())
    }
}
