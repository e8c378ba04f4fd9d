//! The driver's types as they cross the C boundary.
//!
//! Pointers come wrapped: an argument `Out<T>` is a `T *` that the function writes, an `In<T>` a
//! `const T *` that it reads. C callers make them by calling; the exported functions are `unsafe`,
//! and their callers promise that a pointer is null or good for what the driver's documentation
//! says. With that promise the methods here need no further one.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;

use crate::error::{Error, Result, code};

/// A status; see [`crate::errors`].
pub type CUresult = u32;
/// An ordinal.
pub type CUdevice = c_int;
/// An address on the device.
pub type CUdeviceptr = u64;
/// A handle: a number, never an address, so that a wrong one is found and not followed.
pub type CUcontext = u64;
/// A handle of a stream; 0 is the default stream, 1 and 2 name it in its two flavours.
pub type CUstream = u64;
/// A handle.
pub type CUevent = u64;
/// A handle.
pub type CUmodule = u64;
/// A handle.
pub type CUfunction = u64;
/// A handle.
pub type CUgraph = u64;
/// A handle.
pub type CUgraphExec = u64;
/// A handle.
pub type CUgraphNode = u64;
/// A handle.
pub type CUmemoryPool = u64;
/// A function of the caller's that runs in stream order.
pub type CUhostFn = Option<unsafe extern "C" fn(*mut c_void)>;
/// A function of the caller's that runs in stream order and is told the stream's status.
pub type CUstreamCallback = Option<unsafe extern "C" fn(CUstream, CUresult, *mut c_void)>;
/// From threads of a block to bytes of dynamic shared memory.
pub type CUoccupancyB2DSize = Option<unsafe extern "C" fn(c_int) -> usize>;

/// Where something lies: a kind of place and which of them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUmemLocation {
    /// 1 is a device.
    pub kind: c_uint,
    /// The device's ordinal.
    pub id: c_int,
}

/// The part of the properties of a pool that is read.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUmemPoolProps {
    /// 1 is pinned, the only kind.
    pub alloc_type: c_uint,
    /// 0: not shared with other processes.
    pub handle_types: c_uint,
    /// The device.
    pub location: CUmemLocation,
}

/// Something special about a launch.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct CUlaunchAttribute {
    /// What.
    pub id: c_uint,
    /// Nothing.
    pub pad: u32,
    /// The union of all values, of which only words are read.
    pub value: [u32; 16],
}

/// A launch.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CUlaunchConfig {
    /// CTAs along x, y and z.
    pub grid: [c_uint; 3],
    /// Threads of a CTA along x, y and z.
    pub block: [c_uint; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: c_uint,
    /// The stream.
    pub stream: CUstream,
    /// An array of them.
    pub attributes: *const CUlaunchAttribute,
    /// How many.
    pub attribute_count: c_uint,
}

/// A place for a result.
#[repr(transparent)]
#[derive(Debug)]
pub struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> Clone for Out<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<'_, T> {}

impl<'a, T> From<&'a mut T> for Out<'a, T> {
    fn from(place: &'a mut T) -> Self {
        Out(place, PhantomData)
    }
}

impl<T> Out<'_, T> {
    /// No place.
    pub const fn null() -> Self {
        Out(std::ptr::null_mut(), PhantomData)
    }

    /// The place at an address.
    ///
    /// # Safety
    /// It is null, or holds as many `T` as the function that takes it documents, for the call.
    pub const unsafe fn at(place: *mut T) -> Self {
        Out(place, PhantomData)
    }

    /// The address itself.
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Whether there is no place.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn set(self, value: T) -> Result {
        if self.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        // SAFETY: not null, hence a place for a `T` by the promise of the caller from C.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Sets it where there is a place.
    pub(crate) fn offer(self, value: T) {
        // The only failure is that there is no place.
        let _ = self.set(value);
    }

    /// The place of an element of an array.
    pub(crate) fn element(self, index: usize) -> Self {
        Out(self.0.wrapping_add(index), PhantomData)
    }

    pub(crate) fn get(self) -> Result<T>
    where
        T: Copy,
    {
        In::<T>(self.0, PhantomData).get()
    }

    pub(crate) fn cast<U>(self) -> Out<'static, U> {
        Out(self.0.cast(), PhantomData)
    }
}

/// A place with an argument.
#[repr(transparent)]
#[derive(Debug)]
pub struct In<'a, T>(*const T, PhantomData<&'a T>);

impl<T> Clone for In<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<'_, T> {}

impl<'a, T> From<&'a T> for In<'a, T> {
    fn from(place: &'a T) -> Self {
        In(place, PhantomData)
    }
}

impl<'a> From<&'a CStr> for In<'a, c_char> {
    fn from(text: &'a CStr) -> Self {
        In(text.as_ptr(), PhantomData)
    }
}

impl<T> In<'_, T> {
    /// No place.
    pub const fn null() -> Self {
        In(std::ptr::null(), PhantomData)
    }

    /// The place at an address.
    ///
    /// # Safety
    /// It is null, or holds as many `T` as the function that takes it documents, for the call.
    pub const unsafe fn at(place: *const T) -> Self {
        In(place, PhantomData)
    }

    /// The address itself.
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Whether there is no place.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn get(self) -> Result<T>
    where
        T: Copy,
    {
        if self.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        // SAFETY: not null, hence a `T` by the promise of the caller from C.
        Ok(unsafe { self.0.read_unaligned() })
    }

    pub(crate) fn list(self, count: usize) -> Result<Vec<T>>
    where
        T: Copy,
    {
        (0..count).map(|index| self.element(index).get()).collect()
    }

    /// The place of an element of an array.
    pub(crate) fn element(self, index: usize) -> Self {
        In(self.0.wrapping_add(index), PhantomData)
    }

    pub(crate) fn cast<U>(self) -> In<'static, U> {
        In(self.0.cast(), PhantomData)
    }
}

impl In<'_, c_char> {
    /// A C string.
    pub(crate) fn text(self) -> Result<String> {
        if self.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        // SAFETY: not null, hence ended by a NUL by the promise of the caller from C.
        let text = unsafe { CStr::from_ptr(self.0) };
        let text = text.to_str().map_err(|fault| Error::with(code::INVALID_VALUE, fault))?;
        Ok(text.to_owned())
    }
}

/// Copies text into a buffer of C: cut where it is full, always ended by a NUL.
///
/// Gives the bytes written, without the NUL.
pub(crate) fn put_text(buffer: Out<'_, c_char>, room: usize, text: &[u8]) -> usize {
    if buffer.is_null() || room == 0 {
        return 0;
    }
    let bytes = &text[..text.len().min(room - 1)];
    for (index, &byte) in bytes.iter().enumerate() {
        buffer.element(index).offer(byte.cast_signed());
    }
    buffer.element(bytes.len()).offer(0);
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_lie_in_memory_as_the_driver_has_them() {
        assert_eq!((size_of::<CUlaunchAttribute>(), align_of::<CUlaunchAttribute>()), (72, 8));
        assert_eq!(size_of::<CUlaunchConfig>(), 56);
        assert_eq!(std::mem::offset_of!(CUlaunchConfig, stream), 32);
        assert_eq!(std::mem::offset_of!(CUmemPoolProps, location), 8);
    }

    #[test]
    fn text_is_cut_and_ended() {
        let mut buffer = [7; 4];
        // SAFETY: the buffer has four places.
        let out = unsafe { Out::at(buffer.as_mut_ptr()) };
        assert_eq!(put_text(out, 4, b"abcdef"), 3);
        assert_eq!(buffer, [97, 98, 99, 0]);
        assert_eq!(put_text(out, 4, b""), 0);
        assert_eq!(put_text(out, 0, b"x"), 0);
        assert_eq!(buffer, [0, 98, 99, 0]);
    }

    #[test]
    fn a_null_pointer_is_an_invalid_value() {
        assert_eq!(Out::<u32>::null().set(1), Err(code::INVALID_VALUE.into()));
        assert_eq!(In::<u32>::null().get(), Err(code::INVALID_VALUE.into()));
        assert!(In::<c_char>::null().text().is_err());
        Out::<u32>::null().offer(1);
    }
}
