//! Buffers: device memory that a value owns.

use std::marker::PhantomData;
use std::ops::RangeBounds;

use bytemuck::Pod;

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::memory::block::Block;
use crate::memory::slice::{DeviceSlice, DeviceSliceMut};
use crate::stream::Stream;

/// `len` values of type `T` in device memory.
///
/// A buffer belongs to the stream it was made on: its memory is taken and given back in that
/// stream's order. Work of other streams that uses it must be ordered by the caller: after the
/// buffer is made and filled, and before it is dropped ([`Stream::wait_for`]).
pub struct DeviceBuffer<T: Pod> {
    block: Block,
    len: usize,
    _values: PhantomData<T>,
}

impl<T: Pod> DeviceBuffer<T> {
    /// Memory with no particular contents.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`; `Capture` while the stream is captured into a graph.
    pub fn uninit(stream: &Stream, len: usize) -> Result<DeviceBuffer<T>> {
        let Some(bytes) = len.checked_mul(size_of::<T>()) else {
            let detail = format!("{len} values of {} bytes, over usize", size_of::<T>());
            return Err(GpuError::new(ErrorKind::OutOfMemory, "allocation", detail));
        };
        Ok(DeviceBuffer { block: Block::take(stream, bytes)?, len, _values: PhantomData })
    }

    /// Memory full of zero bytes.
    ///
    /// # Errors
    ///
    /// As [`DeviceBuffer::uninit`].
    pub fn zeroed(stream: &Stream, len: usize) -> Result<DeviceBuffer<T>> {
        let mut buffer = DeviceBuffer::uninit(stream, len)?;
        buffer.as_slice_mut().fill_zero(stream)?;
        Ok(buffer)
    }

    /// A copy of host values. Returns when they are copied.
    ///
    /// # Errors
    ///
    /// As [`DeviceBuffer::uninit`], and `Memory` when the copy fails.
    pub fn from_slice(stream: &Stream, values: &[T]) -> Result<DeviceBuffer<T>> {
        let mut buffer = DeviceBuffer::uninit(stream, values.len())?;
        buffer.copy_from_slice(values)?;
        Ok(buffer)
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> &Stream {
        self.block.stream()
    }

    /// The device address of the first value; 0 for an empty buffer.
    pub fn address(&self) -> u64 {
        self.block.address()
    }

    /// All of it, to read.
    pub fn as_slice(&self) -> DeviceSlice<'_, T> {
        // SAFETY: the buffer is alive as long as the borrow.
        unsafe { DeviceSlice::from_raw(self.address(), self.len) }
    }

    /// All of it, to write.
    pub fn as_slice_mut(&mut self) -> DeviceSliceMut<'_, T> {
        // SAFETY: the buffer is alive and borrowed mutably as long as the slice.
        unsafe { DeviceSliceMut::from_raw(self.address(), self.len) }
    }

    /// A part of it, to read.
    ///
    /// # Errors
    ///
    /// `Argument` when the range is not inside.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<DeviceSlice<'_, T>> {
        self.as_slice().slice(range)
    }

    /// A part of it, to write.
    ///
    /// # Errors
    ///
    /// `Argument` when the range is not inside.
    pub fn slice_mut(&mut self, range: impl RangeBounds<usize>) -> Result<DeviceSliceMut<'_, T>> {
        self.as_slice_mut().slice(range)
    }

    /// A host copy, on the buffer's own stream. Waits for it.
    ///
    /// # Errors
    ///
    /// `Fault` when a kernel before it failed; `Capture` while the stream is captured.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.as_slice().to_vec(self.stream())
    }

    /// Copies host values into it, on the buffer's own stream. Returns when they are copied.
    ///
    /// # Errors
    ///
    /// `Argument` when the lengths differ, else as [`DeviceBuffer::to_vec`].
    pub fn copy_from_slice(&mut self, values: &[T]) -> Result<()> {
        let stream = self.stream().clone();
        self.as_slice_mut().copy_from_slice(&stream, values)
    }
}

impl<'a, T: Pod> From<&'a DeviceBuffer<T>> for DeviceSlice<'a, T> {
    fn from(buffer: &'a DeviceBuffer<T>) -> Self {
        buffer.as_slice()
    }
}

impl<'a, T: Pod> From<&'a mut DeviceBuffer<T>> for DeviceSliceMut<'a, T> {
    fn from(buffer: &'a mut DeviceBuffer<T>) -> Self {
        buffer.as_slice_mut()
    }
}

impl<T: Pod> std::fmt::Debug for DeviceBuffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ty = std::any::type_name::<T>();
        write!(f, "DeviceBuffer<{ty}>({} at {:#x})", self.len, self.address())
    }
}
