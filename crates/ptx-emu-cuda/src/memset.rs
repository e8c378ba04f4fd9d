//! Fills, of elements of 1, 2 and 4 bytes.

use std::ffi::c_uint;

use crate::error::{Error, Result, code};
use crate::object::operation::Operation;
use crate::stream::{submit, wait_for};
use crate::types::{CUdeviceptr, CUstream};

/// A fill; elements lie at multiples of their width.
fn fill(at: CUdeviceptr, value: u32, width: usize, count: usize) -> Result<Operation> {
    if !at.is_multiple_of(width as u64) {
        let story = format!("memset at {at:#x}, expected a multiple of {width}");
        return Err(Error::with(code::INVALID_VALUE, story));
    }
    count.checked_mul(width).ok_or(code::INVALID_VALUE)?;
    Ok(Operation::Fill { at, value, width, count })
}

exports! {
    fn cuMemsetD8_v2(at: CUdeviceptr, value: u8, count: usize) {
        wait_for(&fill(at, value.into(), 1, count)?)
    }

    fn cuMemsetD16_v2(at: CUdeviceptr, value: u16, count: usize) {
        wait_for(&fill(at, value.into(), 2, count)?)
    }

    fn cuMemsetD32_v2(at: CUdeviceptr, value: c_uint, count: usize) {
        wait_for(&fill(at, value, 4, count)?)
    }

    fn cuMemsetD8Async(at: CUdeviceptr, value: u8, count: usize, stream: CUstream) {
        submit(stream, fill(at, value.into(), 1, count)?)
    }

    fn cuMemsetD16Async(at: CUdeviceptr, value: u16, count: usize, stream: CUstream) {
        submit(stream, fill(at, value.into(), 2, count)?)
    }

    fn cuMemsetD32Async(at: CUdeviceptr, value: c_uint, count: usize, stream: CUstream) {
        submit(stream, fill(at, value, 4, count)?)
    }
}
