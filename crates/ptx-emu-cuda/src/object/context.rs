//! Contexts: a simulated device's memory with what was made in it, alive until a kernel fails.

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, PoisonError};

use ptx_emu::Gpu;

use crate::error::{Error, Result};
use crate::host::HostMemory;
use crate::types::{CUcontext, CUdevice};

/// Stack of a thread, printf buffer, heap, launch depth, pending launches, L2 granularity,
/// persisting L2: the driver's defaults, in the order of the limits' numbers.
const LIMITS: [usize; 7] = [1024, 1 << 20, 8 << 20, 2, 2048, 128, 0];

/// A context.
///
/// Each has a simulated device of its own, so that what happens in one cannot harm another.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) handle: CUcontext,
    pub(crate) device: CUdevice,
    pub(crate) gpu: Gpu,
    /// Host memory that the context has allocated or registered.
    pub(crate) host: HostMemory,
    pub(crate) flags: AtomicU32,
    pub(crate) cache: AtomicU32,
    pub(crate) limits: Mutex<[usize; 7]>,
    /// The fault that every later call reports.
    pub(crate) lost: Mutex<Option<Error>>,
    /// Held while work runs: one at a time.
    pub(crate) queue: Mutex<()>,
}

impl Context {
    pub(crate) fn new(handle: CUcontext, device: CUdevice, flags: u32, gpu: Gpu) -> Context {
        Context {
            handle,
            device,
            gpu,
            host: HostMemory::default(),
            flags: AtomicU32::new(flags),
            cache: AtomicU32::new(0),
            limits: Mutex::new(LIMITS),
            lost: Mutex::new(None),
            queue: Mutex::new(()),
        }
    }

    /// The fault that the context was lost by, as an error.
    pub(crate) fn check(&self) -> Result {
        match *self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The context is lost by this fault.
    pub(super) fn lose(&self, error: Error) {
        error.announce();
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}
