//! Copies between the device and the host, and on the device.
//!
//! A copy from or to ordinary host memory returns when it has ended. One from or to pinned memory
//! and one on the device are queued like a kernel.

use bytemuck::Pod;
use cudarc::driver::sys;

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::memory::pinned::PinnedBuffer;
use crate::memory::slice::{DeviceSlice, DeviceSliceMut};
use crate::stream::Stream;

impl<T: Pod> DeviceSlice<'_, T> {
    /// A host copy. Waits for it.
    ///
    /// # Errors
    ///
    /// `Fault` when a kernel before it failed; `Capture` while the stream is captured.
    pub fn to_vec(&self, stream: &Stream) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); self.len()];
        self.copy_to_slice(stream, &mut values)?;
        Ok(values)
    }

    /// Copies to host values. Waits for it.
    ///
    /// # Errors
    ///
    /// `Argument` when the lengths differ, else as [`DeviceSlice::to_vec`].
    pub fn copy_to_slice(&self, stream: &Stream, values: &mut [T]) -> Result<()> {
        same_len("copy to the host", self.len(), values.len())?;
        stream.refuse_in_capture("copy to the host")?;
        // SAFETY: the wait below ends the copy before the borrow of `values` ends; should it
        // fail, the context is lost and copies no more.
        unsafe { download(stream, values.as_mut_ptr(), self.address(), self.len())? };
        stream.synchronize()
    }

    /// Queues a copy to the front of pinned host memory, and returns.
    ///
    /// # Errors
    ///
    /// `Argument` when the pinned memory is shorter; `Capture` while the stream is captured.
    pub fn copy_to_pinned(&self, stream: &Stream, values: &mut PinnedBuffer<T>) -> Result<()> {
        fits("copy to pinned memory", self.len(), values.len())?;
        stream.refuse_in_capture("copy to pinned memory")?;
        // SAFETY: the pinned memory lets nobody read and is not freed before the copy has ended.
        unsafe { download(stream, values.as_mut_ptr(), self.address(), self.len())? };
        values.in_use_by(stream)
    }
}

impl<T: Pod> DeviceSliceMut<'_, T> {
    /// Queues zero bytes over all of it, and returns.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn fill_zero(&mut self, stream: &Stream) -> Result<()> {
        let bytes = self.len() * size_of::<T>();
        if bytes == 0 {
            return Ok(());
        }
        stream.bind()?;
        // SAFETY: the memory is alive and has `bytes` bytes.
        let status = unsafe { sys::cuMemsetD8Async(self.address(), 0, bytes, stream.raw()) };
        stream.check("fill", status).map_err(memory)
    }

    /// Copies host values to it. Returns when they are copied.
    ///
    /// # Errors
    ///
    /// `Argument` when the lengths differ; `Capture` while the stream is captured.
    pub fn copy_from_slice(&mut self, stream: &Stream, values: &[T]) -> Result<()> {
        same_len("copy to the device", self.len(), values.len())?;
        stream.refuse_in_capture("copy to the device")?;
        // SAFETY: the wait below ends the copy before the borrow of `values` ends; should it
        // fail, the context is lost and copies no more.
        unsafe { upload(stream, self.address(), values.as_ptr(), self.len())? };
        stream.synchronize()
    }

    /// Queues a copy from the front of pinned host memory, and returns.
    ///
    /// # Errors
    ///
    /// `Argument` when the pinned memory is shorter; `Capture` while the stream is captured.
    pub fn copy_from_pinned(&mut self, stream: &Stream, values: &PinnedBuffer<T>) -> Result<()> {
        fits("copy from pinned memory", self.len(), values.len())?;
        stream.refuse_in_capture("copy from pinned memory")?;
        // SAFETY: the pinned memory lets nobody write and is not freed before the copy has ended.
        unsafe { upload(stream, self.address(), values.as_ptr(), self.len())? };
        values.in_use_by(stream)
    }

    /// Queues a copy from other memory of the device, and returns.
    ///
    /// # Errors
    ///
    /// `Argument` when the lengths differ.
    pub fn copy_from(&mut self, stream: &Stream, from: DeviceSlice<'_, T>) -> Result<()> {
        same_len("copy on the device", self.len(), from.len())?;
        let bytes = self.len() * size_of::<T>();
        if bytes == 0 {
            return Ok(());
        }
        stream.bind()?;
        // SAFETY: both are alive and have `bytes` bytes; borrows keep them apart.
        let status = unsafe {
            sys::cuMemcpyDtoDAsync_v2(self.address(), from.address(), bytes, stream.raw())
        };
        stream.check("copy on the device", status).map_err(memory)
    }
}

/// Queues a copy to the host.
///
/// # Safety
///
/// Both ends have room for `len` values until the copy has ended, and nobody touches the host's.
unsafe fn download<T: Pod>(stream: &Stream, to: *mut T, from: u64, len: usize) -> Result<()> {
    let bytes = len * size_of::<T>();
    if bytes == 0 {
        return Ok(());
    }
    stream.bind()?;
    // SAFETY: the caller's promise.
    let status = unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, stream.raw()) };
    stream.check("copy to the host", status).map_err(memory)
}

/// Queues a copy from the host.
///
/// # Safety
///
/// Both ends have room for `len` values until the copy has ended, and nobody writes the host's.
unsafe fn upload<T: Pod>(stream: &Stream, to: u64, from: *const T, len: usize) -> Result<()> {
    let bytes = len * size_of::<T>();
    if bytes == 0 {
        return Ok(());
    }
    stream.bind()?;
    // SAFETY: the caller's promise.
    let status = unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, stream.raw()) };
    stream.check("copy to the device", status).map_err(memory)
}

fn memory(error: GpuError) -> GpuError {
    error.or_kind(ErrorKind::Memory)
}

fn same_len(place: &str, device: usize, host: usize) -> Result<()> {
    match device == host {
        true => Ok(()),
        false => {
            let detail = format!("expected {device} values, got {host}");
            Err(GpuError::new(ErrorKind::Argument, place, detail))
        }
    }
}

fn fits(place: &str, device: usize, pinned: usize) -> Result<()> {
    match device <= pinned {
        true => Ok(()),
        false => {
            let detail = format!("expected room for {device} values, got {pinned}");
            Err(GpuError::new(ErrorKind::Argument, place, detail))
        }
    }
}
