//! Facts about an address.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use crate::error::{Result, code};
use crate::host::{Block, Owner};
use crate::host_memory;
use crate::object::context::Context;
use crate::state::{State, state};
use crate::types::{CUdeviceptr, In, Out};

/// What the kinds of memory are numbered as.
const HOST: c_uint = 1;
const DEVICE: c_uint = 2;

/// What an address is known as.
struct Place {
    context: Arc<Context>,
    /// Start and size on the side that the address is of.
    range: (u64, u64),
    /// The range on the host, where there is one.
    host: Option<Block>,
    on_device: bool,
}

fn place(state: &State, ptr: u64) -> Option<Place> {
    let current = state.current_even_lost().ok();
    for context in current.iter().chain(state.contexts.values()) {
        if let Some(range) = context.gpu.allocation(ptr) {
            let host = context.host.mapped_at(range.0);
            return Some(Place { context: Arc::clone(context), range, host, on_device: true });
        }
    }
    let (context, block) = host_memory::owner(state, ptr)?;
    let range = (block.host, block.bytes as u64);
    Some(Place { context, range, host: Some(block), on_device: false })
}

impl Place {
    fn write(&self, state: &State, out: Out<'_, c_void>, number: c_uint, ptr: u64) -> Result {
        let offset = ptr - self.range.0;
        let managed = |block: Block| matches!(block.owner, Owner::Pages { .. });
        let managed = self.host.is_some_and(managed);
        let on_device = if self.on_device {
            Some(ptr)
        } else {
            self.host.and_then(|block| block.device).map(|device| device + offset)
        };
        let taken = state.taken.get(&(self.context.handle, self.range.0));
        match number {
            1 => out.cast().set(self.context.handle),
            2 => {
                let host = self.host.is_some() && !managed;
                out.cast().set(if host { HOST } else { DEVICE })
            }
            3 => out.cast().set(on_device.ok_or(code::INVALID_VALUE)?),
            4 => out.cast().set(self.host.ok_or(code::INVALID_VALUE)?.host + offset),
            // Whether copies wait: they all do.
            6 => out.cast().set(1 as c_int),
            7 => out.cast().set(self.range.0),
            8 => out.cast().set(c_uint::from(managed)),
            9 => out.cast().set(self.context.device),
            10 => out.cast().set(0 as c_int),
            11 => out.cast().set(self.range.0),
            12 => out.cast().set(self.range.1 as usize),
            13 => out.cast().set(c_int::from(on_device.is_some())),
            17 => out.cast().set(taken.map_or(0, |taken| taken.pool)),
            _ => Err(code::INVALID_VALUE.into()),
        }
    }
}

exports! {
    /// An address that no context knows is an invalid value.
    fn cuPointerGetAttribute(out: Out<'_, c_void>, number: c_uint, ptr: CUdeviceptr) {
        let state = state()?;
        let place = place(&state, ptr).ok_or(code::INVALID_VALUE)?;
        place.write(&state, out, number, ptr)
    }

    /// For an address that no context knows, every answer is 0.
    fn cuPointerGetAttributes(
        count: c_uint,
        numbers: In<'_, c_uint>,
        outs: In<'_, *mut c_void>,
        ptr: CUdeviceptr,
    ) {
        let state = state()?;
        let place = place(&state, ptr);
        let numbers = numbers.list(count as usize)?;
        let outs = outs.list(count as usize)?;
        for (number, out) in numbers.into_iter().zip(outs) {
            // SAFETY: the caller from C gives a place of the attribute's type for each attribute.
            let out = unsafe { Out::at(out) };
            let written = match &place {
                Some(place) => place.write(&state, out, number, ptr),
                None => Err(code::INVALID_VALUE.into()),
            };
            if written.is_err() {
                match number {
                    1 | 3 | 4 | 7 | 11 | 12 | 17 => out.cast::<u64>().set(0)?,
                    9 => out.cast::<c_int>().set(-2)?,
                    _ => out.cast::<c_int>().set(0)?,
                }
            }
        }
        Ok(())
    }
}
