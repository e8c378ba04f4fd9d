//! Slices: borrowed parts of device memory.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use bytemuck::Pod;

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;

/// Device memory that is borrowed to read.
#[derive(Debug)]
pub struct DeviceSlice<'a, T: Pod> {
    address: u64,
    len: usize,
    _borrow: PhantomData<&'a [T]>,
}

/// Device memory that is borrowed to write.
#[derive(Debug)]
pub struct DeviceSliceMut<'a, T: Pod> {
    address: u64,
    len: usize,
    _borrow: PhantomData<&'a mut [T]>,
}

impl<T: Pod> Clone for DeviceSlice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Pod> Copy for DeviceSlice<'_, T> {}

impl<'a, T: Pod> DeviceSlice<'a, T> {
    /// Memory that something else keeps, such as another library.
    ///
    /// # Safety
    ///
    /// At `address` are `len` values in memory of the device whose streams will use the slice,
    /// alive and not written as long as the slice and the work that uses it.
    pub unsafe fn from_raw(address: u64, len: usize) -> DeviceSlice<'a, T> {
        DeviceSlice { address, len, _borrow: PhantomData }
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The device address of the first value.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// A part of it.
    ///
    /// # Errors
    ///
    /// `Argument` when the range is not inside.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<DeviceSlice<'a, T>> {
        let (start, len) = part(&range, self.len)?;
        Ok(DeviceSlice { address: offset::<T>(self.address, start), len, _borrow: PhantomData })
    }
}

impl<'a, T: Pod> DeviceSliceMut<'a, T> {
    /// Memory that something else keeps, such as another library.
    ///
    /// # Safety
    ///
    /// At `address` are `len` values in memory of the device whose streams will use the slice,
    /// alive and used by nobody else as long as the slice and the work that uses it.
    pub unsafe fn from_raw(address: u64, len: usize) -> DeviceSliceMut<'a, T> {
        DeviceSliceMut { address, len, _borrow: PhantomData }
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The device address of the first value.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The same memory, to read.
    pub fn as_slice(&self) -> DeviceSlice<'_, T> {
        DeviceSlice { address: self.address, len: self.len, _borrow: PhantomData }
    }

    /// The same memory, for a shorter time.
    pub fn reborrow(&mut self) -> DeviceSliceMut<'_, T> {
        DeviceSliceMut { address: self.address, len: self.len, _borrow: PhantomData }
    }

    /// A part of it.
    ///
    /// # Errors
    ///
    /// `Argument` when the range is not inside.
    pub fn slice(self, range: impl RangeBounds<usize>) -> Result<DeviceSliceMut<'a, T>> {
        let (start, len) = part(&range, self.len)?;
        Ok(DeviceSliceMut { address: offset::<T>(self.address, start), len, _borrow: PhantomData })
    }

    /// The values before `at`, and the others.
    ///
    /// # Errors
    ///
    /// `Argument` when `at` is past the end.
    pub fn split_at(self, at: usize) -> Result<(DeviceSliceMut<'a, T>, DeviceSliceMut<'a, T>)> {
        let (start, len) = part(&(at..), self.len)?;
        let front = DeviceSliceMut { len: at, ..self };
        let back =
            DeviceSliceMut { address: offset::<T>(front.address, start), len, ..front.same() };
        Ok((front, back))
    }

    fn same(&self) -> DeviceSliceMut<'a, T> {
        DeviceSliceMut { address: self.address, len: self.len, _borrow: PhantomData }
    }
}

fn offset<T>(address: u64, values: usize) -> u64 {
    address + (values * size_of::<T>()) as u64
}

/// Start and length of a range in `len` values.
fn part(range: &impl RangeBounds<usize>, len: usize) -> Result<(usize, usize)> {
    let start = match range.start_bound() {
        Bound::Included(&start) => Some(start),
        Bound::Excluded(&before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.checked_add(1),
        Bound::Excluded(&end) => Some(end),
        Bound::Unbounded => Some(len),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= len => Ok((start, end - start)),
        _ => {
            let text = (range.start_bound(), range.end_bound());
            let detail = format!("range {text:?} is not inside {len} values");
            Err(GpuError::new(ErrorKind::Argument, "slice", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u64, len: usize) -> DeviceSliceMut<'static, f32> {
        // SAFETY: no test below lets a device touch the address.
        unsafe { DeviceSliceMut::from_raw(address, len) }
    }

    #[test]
    fn parts_have_the_addresses_of_their_values() {
        let all = at(0x1000, 10);
        let view = all.as_slice();
        for (part, address, len) in [
            (view.slice(..), 0x1000, 10),
            (view.slice(3..7), 0x100c, 4),
            (view.slice(3..=7), 0x100c, 5),
            (view.slice(10..), 0x1028, 0),
            (view.slice(..0), 0x1000, 0),
        ] {
            let part = part.unwrap();
            assert_eq!((part.address(), part.len()), (address, len));
        }
        let nested = view.slice(2..8).unwrap().slice(1..3).unwrap();
        assert_eq!((nested.address(), nested.len()), (0x100c, 2));
    }

    #[test]
    fn parts_outside_are_refused() {
        let view = at(0x1000, 10);
        let view = view.as_slice();
        let back = std::ops::Range { start: 7, end: 3 };
        for part in
            [view.slice(..11), view.slice(11..), view.slice(back), view.slice(..=usize::MAX)]
        {
            assert_eq!(part.unwrap_err().kind(), ErrorKind::Argument);
        }
    }

    #[test]
    fn halves_meet_and_do_not_overlap() {
        for cut in [0, 4, 10] {
            let (front, back) = at(0x1000, 10).split_at(cut).unwrap();
            assert_eq!((front.address(), front.len()), (0x1000, cut));
            assert_eq!((back.address(), back.len()), (0x1000 + 4 * cut as u64, 10 - cut));
        }
        assert!(at(0x1000, 10).split_at(11).is_err());
    }
}
