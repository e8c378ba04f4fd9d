//! Where buffers get their memory: a pool in stream order, or plain allocations.
//!
//! With a pool, taking and giving back memory is work on a stream like any other: a buffer can
//! be dropped while kernels that use it are still queued, and its memory serves the next buffer
//! without a wait. The pool keeps what is given back until [`crate::Device::trim_memory`].

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUmemPool_attribute as Attribute};

use crate::error::{ErrorKind, GpuError, Result};
use crate::library::check;
use crate::stream::Stream;

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
    /// Buffers dropped while their stream was captured: a graph must not free them.
    deferred: Mutex<Vec<Deferred>>,
}

struct Deferred {
    stream: Stream,
    address: u64,
    bytes: usize,
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

    /// Takes `bytes` > 0 bytes, in the order of the stream.
    ///
    /// When the device is full, waits for it, gives back what the pool keeps, and tries again.
    pub(crate) fn alloc(&self, stream: &Stream, bytes: usize) -> Result<u64> {
        stream.refuse_in_capture("allocation")?;
        self.release_deferred();
        let address = match self.take(stream, bytes) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                stream.device().trim_memory(0)?;
                self.take(stream, bytes).map_err(|error| self.explain(error, stream, bytes))?
            }
            other => other?,
        };
        let now = self.in_use.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Ok(address)
    }

    fn take(&self, stream: &Stream, bytes: usize) -> Result<u64> {
        stream.bind()?;
        let mut address = 0;
        let status = match self.handle {
            // SAFETY: pool and stream are alive; the driver writes one address.
            Some(pool) => unsafe {
                sys::cuMemAllocFromPoolAsync(&raw mut address, bytes, pool, stream.raw())
            },
            // SAFETY: the context is current; the driver writes one address.
            None => unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) },
        };
        stream.check("allocation", status)?;
        Ok(address)
    }

    /// Says how full the device is.
    fn explain(&self, error: GpuError, stream: &Stream, bytes: usize) -> GpuError {
        let mine = self.in_use.load(Ordering::Relaxed);
        match stream.device().free_memory() {
            Ok((free, total)) => error.more(&shortage(bytes, free, total, mine)),
            Err(_) => error,
        }
    }

    /// Gives memory back, in the order of the stream. Errors are dropped: they follow a fault.
    ///
    /// # Safety
    ///
    /// `address` came from [`Pool::alloc`] with this size and is given back once; work on other
    /// streams that uses it comes before, in the order of `stream`.
    pub(crate) unsafe fn free(&self, stream: &Stream, address: u64, bytes: usize) {
        match stream.is_capturing() {
            Ok(false) => self.give_back(stream, address, bytes),
            Ok(true) => self.deferred().push(Deferred { stream: stream.clone(), address, bytes }),
            Err(_) => {}
        }
    }

    fn give_back(&self, stream: &Stream, address: u64, bytes: usize) {
        match self.handle {
            // SAFETY: by `free`'s contract.
            Some(_) => drop(unsafe { sys::cuMemFreeAsync(address, stream.raw()) }),
            None => {
                // Plain memory is not given back in stream order, so wait for its last user.
                // SAFETY: the stream is alive; the rest by `free`'s contract.
                unsafe {
                    let _ = sys::cuStreamSynchronize(stream.raw());
                    let _ = sys::cuMemFree_v2(address);
                }
            }
        }
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives back buffers that were dropped in a capture, once their stream runs again.
    pub(crate) fn release_deferred(&self) {
        let waiting = std::mem::take(&mut *self.deferred());
        for Deferred { stream, address, bytes } in waiting {
            // SAFETY: the promise that was made to `free` when it put this off.
            unsafe { self.free(&stream, address, bytes) };
        }
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

    fn deferred(&self) -> MutexGuard<'_, Vec<Deferred>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortage(bytes: usize, free: usize, total: usize, mine: usize) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let others = total.saturating_sub(free).saturating_sub(mine);
    format!(
        "; asked for {} MiB, {} of {} MiB are free, {} are in this program's buffers, {} elsewhere",
        mib(bytes),
        mib(free),
        mib(total),
        mib(mine),
        mib(others)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_who_has_the_memory() {
        let mib = 1 << 20;
        assert_eq!(
            shortage(100 * mib, 40 * mib, 1000 * mib, 900 * mib),
            "; asked for 100 MiB, 40 of 1000 MiB are free, 900 are in this program's buffers, \
             60 elsewhere"
        );
        assert!(shortage(1, 0, 0, 5).ends_with("0 elsewhere"));
    }

    #[test]
    fn plain_allocations_hold_what_they_use() {
        let pool = Pool::unpooled();
        pool.in_use.store(7, Ordering::Relaxed);
        pool.peak.store(9, Ordering::Relaxed);
        let expected = MemoryStats { in_use: 7, in_use_peak: 9, held: 7, held_peak: 9 };
        assert_eq!(pool.stats().unwrap(), expected);
    }
}
