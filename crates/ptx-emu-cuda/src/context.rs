//! Contexts: a simulated device's memory with what was made in it, alive until a kernel fails.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use ptx_emu::Gpu;

use crate::error::{Error, Result, code};
use crate::object::context::Context;
use crate::object::stream::GREATEST_PRIORITY;
use crate::state::{State, started, state, with_contexts};
use crate::types::{CUcontext, CUdevice, Out};

fn create(out: Out<'_, CUcontext>, flags: c_uint, device: CUdevice) -> Result {
    let mut state = state()?;
    let handle = state.new_context(device, flags)?;
    out.set(handle)?;
    with_contexts(|contexts| contexts.push(handle))
}

impl State {
    fn new_context(&mut self, device: CUdevice, flags: u32) -> Result<CUcontext> {
        self.device(device)?;
        let gpu = Gpu::new(self.settings.options.clone());
        let make = |handle| Arc::new(Context::new(handle, device, flags, gpu));
        Ok(self.contexts.insert_with(make))
    }
}

exports! {
    fn cuCtxCreate_v2(out: Out<'_, CUcontext>, flags: c_uint, device: CUdevice) {
        create(out, flags, device)
    }

    /// Execution affinity is left aside.
    fn cuCtxCreate_v3(
        out: Out<'_, CUcontext>,
        _affinity: Out<'_, c_void>,
        _count: c_int,
        flags: c_uint,
        device: CUdevice,
    ) {
        create(out, flags, device)
    }

    /// The parameters, execution affinity and graphics, are left aside.
    fn cuCtxCreate_v4(
        out: Out<'_, CUcontext>,
        _params: Out<'_, c_void>,
        flags: c_uint,
        device: CUdevice,
    ) {
        create(out, flags, device)
    }

    fn cuCtxDestroy_v2(context: CUcontext) {
        let mut state = state()?;
        if state.devices.iter().any(|device| device.primary == Some(context)) {
            return Err(Error::with(code::INVALID_CONTEXT, "the primary context is released"));
        }
        state.destroy_context(context)?;
        with_contexts(|contexts| {
            if contexts.last() == Some(&context) {
                contexts.pop();
            }
        })
    }

    fn cuCtxPushCurrent_v2(context: CUcontext) {
        state()?.context(context)?;
        with_contexts(|contexts| contexts.push(context))
    }

    fn cuCtxPopCurrent_v2(out: Out<'_, CUcontext>) {
        started()?;
        let top = with_contexts(Vec::pop)?.ok_or(code::INVALID_CONTEXT)?;
        out.offer(top);
        Ok(())
    }

    fn cuCtxSetCurrent(context: CUcontext) {
        let state = state()?;
        if context != 0 {
            state.context(context)?;
        }
        with_contexts(|contexts| {
            contexts.pop();
            if context != 0 {
                contexts.push(context);
            }
        })
    }

    fn cuCtxGetCurrent(out: Out<'_, CUcontext>) {
        started()?;
        out.set(with_contexts(|contexts| contexts.last().copied().unwrap_or(0))?)
    }

    fn cuCtxGetDevice(out: Out<'_, CUdevice>) {
        out.set(state()?.current_even_lost()?.device)
    }

    fn cuCtxGetId(context: CUcontext, out: Out<'_, u64>) {
        let state = state()?;
        let handle = match context {
            0 => state.current()?.handle,
            handle => state.context(handle)?.handle,
        };
        out.set(handle)
    }

    fn cuCtxGetApiVersion(context: CUcontext, out: Out<'_, c_uint>) {
        let state = state()?;
        if context != 0 {
            state.context(context)?;
        }
        out.set(3020)
    }

    fn cuCtxGetFlags(out: Out<'_, c_uint>) {
        out.set(state()?.current()?.flags.load(Relaxed))
    }

    fn cuCtxSetFlags(flags: c_uint) {
        state()?.current()?.flags.store(flags, Relaxed);
        Ok(())
    }

    /// All work has ended already; what remains is to report a lost context.
    fn cuCtxSynchronize() {
        let mut state = state()?;
        let context = state.current()?;
        state.refuse_in_capture_of(&context)
    }

    fn cuCtxGetLimit(out: Out<'_, usize>, limit: c_uint) {
        let context = state()?.current()?;
        let limits = context.limits.lock().unwrap_or_else(PoisonError::into_inner);
        out.set(*limits.get(limit as usize).ok_or(code::UNSUPPORTED_LIMIT)?)
    }

    /// The value is kept, and has no effect.
    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        let context = state()?.current()?;
        let mut limits = context.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits.get_mut(limit as usize).ok_or(code::UNSUPPORTED_LIMIT)? = value;
        Ok(())
    }

    fn cuCtxGetCacheConfig(out: Out<'_, c_uint>) {
        out.set(state()?.current()?.cache.load(Relaxed))
    }

    fn cuCtxSetCacheConfig(config: c_uint) {
        if config > 3 {
            return Err(code::INVALID_VALUE.into());
        }
        state()?.current()?.cache.store(config, Relaxed);
        Ok(())
    }

    fn cuCtxGetStreamPriorityRange(least: Out<'_, c_int>, greatest: Out<'_, c_int>) {
        state()?.current()?;
        least.offer(0);
        greatest.offer(GREATEST_PRIORITY);
        Ok(())
    }

    /// The simulated devices do not reach each other's memory.
    fn cuCtxEnablePeerAccess(peer: CUcontext, _flags: c_uint) {
        let state = state()?;
        state.current()?;
        state.context(peer)?;
        Err(code::PEER_ACCESS_UNSUPPORTED.into())
    }

    fn cuCtxDisablePeerAccess(peer: CUcontext) {
        let state = state()?;
        state.current()?;
        state.context(peer)?;
        Err(code::PEER_ACCESS_NOT_ENABLED.into())
    }

    fn cuDevicePrimaryCtxRetain(out: Out<'_, CUcontext>, device: CUdevice) {
        let mut state = state()?;
        let (primary, flags) = {
            let device = state.device(device)?;
            (device.primary, device.flags)
        };
        let handle = match primary {
            Some(handle) => handle,
            None => state.new_context(device, flags)?,
        };
        let device = state.device(device)?;
        device.primary = Some(handle);
        device.retained += 1;
        out.set(handle)
    }

    /// The last release takes the context away, and with it a fault that it was lost by.
    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) {
        let mut state = state()?;
        let device = state.device(device)?;
        device.retained = device.retained.checked_sub(1).ok_or(code::INVALID_CONTEXT)?;
        if device.retained == 0
            && let Some(handle) = device.primary.take()
        {
            state.destroy_context(handle)?;
        }
        Ok(())
    }

    /// Later retains get a new context; the old handle means nothing any more.
    fn cuDevicePrimaryCtxReset_v2(device: CUdevice) {
        let mut state = state()?;
        let device = state.device(device)?;
        device.retained = 0;
        if let Some(handle) = device.primary.take() {
            state.destroy_context(handle)?;
        }
        Ok(())
    }

    fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: Out<'_, c_uint>, on: Out<'_, c_int>) {
        let mut state = state()?;
        let device = state.device(device)?;
        flags.set(device.flags)?;
        on.set(c_int::from(device.primary.is_some()))
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint) {
        let mut state = state()?;
        let device = state.device(device)?;
        device.flags = flags;
        let primary = device.primary;
        if let Some(handle) = primary {
            state.context(handle)?.flags.store(flags, Relaxed);
        }
        Ok(())
    }
}
