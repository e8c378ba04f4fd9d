//! The memory of a device: a pool, or plain allocations.
//!
//! The pool keeps what is given back until [`crate::Device::trim_memory`].

use std::any::Any;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUmemPool_attribute as Attribute};

use crate::error::Result;
use crate::library::check;

/// How much memory a device's buffers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Bytes in buffers.
    pub in_use: usize,
    /// The most bytes that were in buffers at once.
    pub in_use_peak: usize,
    /// Bytes taken from the system: in buffers, or kept for later.
    pub held: usize,
    /// The most bytes that were taken from the system at once.
    pub held_peak: usize,
}

/// The memory of a device.
pub(crate) struct Pool {
    /// `None`: plain allocations.
    handle: Option<sys::CUmemoryPool>,
    in_use: AtomicUsize,
    peak: AtomicUsize,
    /// What was dropped while its stream was captured, since a graph must not free it: it gives its
    /// memory back when it is dropped for good.
    deferred: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Pool {
    /// Plain allocations, for devices without pools.
    pub(crate) fn unpooled() -> Pool {
        let (in_use, peak, deferred) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::default());
        Pool { handle: None, in_use, peak, deferred }
    }

    /// A pool of our own on a device, so that the counts are ours alone. The context is current.
    pub(crate) fn on_device(ordinal: i32) -> Result<Pool> {
        let props = sys::CUmemPoolProps {
            allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            handleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
            location: sys::CUmemLocation {
                type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
                id: ordinal,
            },
            win32SecurityAttributes: ptr::null_mut(),
            maxSize: 0,
            usage: 0,
            reserved: [0; 54],
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the properties live over the call; the driver writes one handle.
        let status = unsafe { sys::cuMemPoolCreate(&raw mut handle, &raw const props) };
        check("memory pool", status)?;
        let pool = Pool { handle: Some(handle), ..Pool::unpooled() };
        // Keep all that is given back: training asks for the same sizes again and again.
        let mut threshold = u64::MAX;
        let which = Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the pool is alive; this attribute is a u64.
        let status =
            unsafe { sys::cuMemPoolSetAttribute(handle, which, (&raw mut threshold).cast()) };
        check("memory pool", status)?;
        Ok(pool)
    }

    /// Takes `bytes` > 0 bytes, in the order of the stream: status and address. The context is
    /// current.
    pub(super) fn take(&self, stream: sys::CUstream, bytes: usize) -> (sys::CUresult, u64) {
        let mut address = 0;
        let status = match self.handle {
            // SAFETY: pool and stream are alive; the driver writes one address.
            Some(pool) => unsafe {
                sys::cuMemAllocFromPoolAsync(&raw mut address, bytes, pool, stream)
            },
            // SAFETY: the context is current; the driver writes one address.
            None => unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) },
        };
        (status, address)
    }

    /// Counts bytes that were taken.
    pub(super) fn count(&self, bytes: usize) {
        let now = self.in_use.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Bytes in buffers.
    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Gives counted memory back, in the order of the stream. Errors are dropped: they follow a
    /// fault.
    ///
    /// # Safety
    ///
    /// `address` came from [`Pool::take`] with this size, is given back once, and has no user that
    /// does not come before in the order of the stream, which is alive.
    pub(super) unsafe fn give_back(&self, stream: sys::CUstream, address: u64, bytes: usize) {
        match self.handle {
            // SAFETY: the caller's promise.
            Some(_) => drop(unsafe { sys::cuMemFreeAsync(address, stream) }),
            None => {
                // Plain memory is not given back in stream order, so wait for its last user.
                // SAFETY: the caller's promise.
                unsafe {
                    let _ = sys::cuStreamSynchronize(stream);
                    let _ = sys::cuMemFree_v2(address);
                }
            }
        }
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keeps a value until nothing is captured.
    pub(super) fn defer(&self, value: Box<dyn Any + Send>) {
        self.deferred().push(value);
    }

    /// Drops what was kept. What is still captured comes back.
    pub(crate) fn release_deferred(&self) {
        let waiting = std::mem::take(&mut *self.deferred());
        drop(waiting);
    }

    pub(crate) fn trim(&self, keep_bytes: usize) -> Result<()> {
        self.release_deferred();
        match self.handle {
            // SAFETY: the pool is alive.
            Some(pool) => check("memory trim", unsafe { sys::cuMemPoolTrimTo(pool, keep_bytes) }),
            None => Ok(()),
        }
    }

    pub(crate) fn stats(&self) -> Result<MemoryStats> {
        let (in_use, in_use_peak) =
            (self.in_use.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed));
        let Some(pool) = self.handle else {
            return Ok(MemoryStats { in_use, in_use_peak, held: in_use, held_peak: in_use_peak });
        };
        let get = |which| {
            let mut value = 0u64;
            // SAFETY: the pool is alive; these attributes are u64.
            let status =
                unsafe { sys::cuMemPoolGetAttribute(pool, which, (&raw mut value).cast()) };
            check("memory statistics", status)?;
            Ok(usize::try_from(value).unwrap_or(usize::MAX))
        };
        Ok(MemoryStats {
            in_use,
            in_use_peak,
            held: get(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            held_peak: get(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)?,
        })
    }

    /// Gives the pool up; called once, when its device closes.
    pub(crate) fn destroy(&self) {
        if let Some(pool) = self.handle {
            // SAFETY: created once, destroyed once; no buffer is left.
            let _ = unsafe { sys::cuMemPoolDestroy(pool) };
        }
    }

    fn deferred(&self) -> MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_allocations_hold_what_they_use() {
        let pool = Pool::unpooled();
        pool.in_use.store(7, Ordering::Relaxed);
        pool.peak.store(9, Ordering::Relaxed);
        let expected = MemoryStats { in_use: 7, in_use_peak: 9, held: 7, held_peak: 9 };
        assert_eq!(pool.stats().unwrap(), expected);
    }
}
