//! Pinned host memory, which the device copies from and to without the host's help.
//!
//! A copy of ordinary memory goes through a staging area of the driver and the host waits. A
//! copy of pinned memory is queued like a kernel; meanwhile the host must not touch the memory.
//! So the buffer remembers which streams use it, and waits before it shows its values.

use std::marker::PhantomData;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;
use cudarc::driver::sys;

use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::event::Event;
use crate::kind::ErrorKind;
use crate::stream::Stream;

/// `len` values of type `T` in pinned host memory.
pub struct PinnedBuffer<T: Pod> {
    device: Device,
    values: *mut T,
    len: usize,
    /// The end of the last copy on each stream that uses the memory.
    pending: Mutex<Vec<(Stream, Event)>>,
    _values: PhantomData<T>,
}

// SAFETY: it owns its memory as a Vec<T> does, and T: Pod is Send + Sync data.
unsafe impl<T: Pod + Send> Send for PinnedBuffer<T> {}
// SAFETY: `&self` gives out `&[T]` alone; the list of copies is behind a lock.
unsafe impl<T: Pod + Sync> Sync for PinnedBuffer<T> {}

impl<T: Pod> PinnedBuffer<T> {
    /// Pinned memory full of zero bytes.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the system cannot pin that much.
    pub fn zeroed(device: &Device, len: usize) -> Result<PinnedBuffer<T>> {
        let Some(bytes) = len.checked_mul(size_of::<T>()) else {
            let detail = format!("{len} values of {} bytes, over usize", size_of::<T>());
            return Err(GpuError::new(ErrorKind::OutOfMemory, "pinned memory", detail));
        };
        let mut values = ptr::null_mut();
        if bytes > 0 {
            device.bind()?;
            // SAFETY: the context is current; the driver writes one address.
            let status = unsafe { sys::cuMemHostAlloc(&raw mut values, bytes, 0) };
            device.check("pinned memory", status)?;
            // SAFETY: the memory has `bytes` bytes.
            unsafe { ptr::write_bytes(values.cast::<u8>(), 0, bytes) };
        }
        let values = match values.is_null() {
            true => ptr::dangling_mut(),
            false => values.cast(),
        };
        let pending = Mutex::default();
        Ok(PinnedBuffer { device: device.clone(), values, len, pending, _values: PhantomData })
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, once queued copies have ended.
    ///
    /// # Errors
    ///
    /// `Fault` when a kernel before a copy failed.
    pub fn as_slice(&self) -> Result<&[T]> {
        self.wait()?;
        // SAFETY: `len` values, initialised; no copy runs, and one that writes needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(self.values, self.len) })
    }

    /// The values to write, once queued copies have ended.
    ///
    /// # Errors
    ///
    /// As [`PinnedBuffer::as_slice`].
    pub fn as_slice_mut(&mut self) -> Result<&mut [T]> {
        self.wait()?;
        // SAFETY: `len` values, initialised; no copy runs, and none can start while borrowed.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.values, self.len) })
    }

    /// Waits for the queued copies.
    ///
    /// # Errors
    ///
    /// As [`PinnedBuffer::as_slice`].
    pub fn wait(&self) -> Result<()> {
        let mut pending = self.pending();
        for (_, event) in pending.iter() {
            event.synchronize()?;
        }
        pending.clear();
        Ok(())
    }

    /// Notes a copy that was just queued. When that fails, waits for the stream at once.
    pub(crate) fn in_use_by(&self, stream: &Stream) -> Result<()> {
        let event = Event::untimed(stream.device());
        match event.and_then(|event| event.record(stream).map(|()| event)) {
            Ok(event) => {
                let mut pending = self.pending();
                pending.retain(|(other, _)| other.id() != stream.id());
                pending.push((stream.clone(), event));
                Ok(())
            }
            Err(error) => {
                stream.synchronize()?;
                Err(error)
            }
        }
    }

    pub(crate) fn as_ptr(&self) -> *const T {
        self.values
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.values
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(Stream, Event)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Pod> std::fmt::Debug for PinnedBuffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedBuffer<{}>({})", std::any::type_name::<T>(), self.len)
    }
}

impl<T: Pod> Drop for PinnedBuffer<T> {
    fn drop(&mut self) {
        let _ = self.wait();
        if self.len * size_of::<T>() > 0 && self.device.bind().is_ok() {
            // SAFETY: allocated once, freed once; no copy runs.
            let _ = unsafe { sys::cuMemFreeHost(self.values.cast()) };
        }
    }
}
