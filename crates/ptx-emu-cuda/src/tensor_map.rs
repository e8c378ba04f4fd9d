//! Tensor maps: descriptors that bulk copies of tiles take.

use std::ffi::{c_uint, c_void};

use ptx_emu::{Interleave, L2Promotion, OobFill, Swizzle, TensorMap, TensorType};

use crate::error::{Error, Result, code};
use crate::types::{In, Out};

/// The values of an array of the caller's, and filling after them.
fn padded<T: Copy, const N: usize>(list: In<'_, T>, count: usize, fill: T) -> Result<[T; N]> {
    let given = list.list(count)?;
    Ok(std::array::from_fn(|axis| given.get(axis).copied().unwrap_or(fill)))
}

/// The value of a number of the driver, or an error that names it.
fn value<T>(what: &str, number: c_uint, found: Option<T>) -> Result<T> {
    let unknown = || Error::with(code::INVALID_VALUE, format!("tensor map: {what} {number}"));
    found.ok_or_else(unknown)
}

exports! {
    /// The bytes mean something to the interpreter alone.
    fn cuTensorMapEncodeTiled(
        out: Out<'_, [u8; 128]>,
        data_type: c_uint,
        rank: c_uint,
        address: In<'_, c_void>,
        global_dim: In<'_, u64>,
        global_strides: In<'_, u64>,
        box_dim: In<'_, c_uint>,
        element_strides: In<'_, c_uint>,
        interleave: c_uint,
        swizzle: c_uint,
        l2_promotion: c_uint,
        oob_fill: c_uint,
    ) {
        if !(1..=5).contains(&rank) {
            return Err(code::INVALID_VALUE.into());
        }
        let count = rank as usize;
        let map = TensorMap {
            data_type: value("data type", data_type, TensorType::from_number(data_type))?,
            rank,
            global_address: address.address(),
            global_dim: padded(global_dim, count, 1)?,
            global_strides: padded(global_strides, count - 1, 0)?,
            box_dim: padded(box_dim, count, 1)?,
            element_strides: padded(element_strides, count, 1)?,
            interleave: value("interleave", interleave, Interleave::from_number(interleave))?,
            swizzle: value("swizzle", swizzle, Swizzle::from_number(swizzle))?,
            l2_promotion: value("promotion", l2_promotion, L2Promotion::from_number(l2_promotion))?,
            oob_fill: value("fill", oob_fill, OobFill::from_number(oob_fill))?,
        };
        out.set(map.encode().map_err(|fault| Error::memory(&fault))?)
    }

    /// The same map of another tensor.
    fn cuTensorMapReplaceAddress(out: Out<'_, [u8; 128]>, address: In<'_, c_void>) {
        let map = TensorMap::decode(&out.get()?).ok_or(code::INVALID_VALUE)?;
        let map = TensorMap { global_address: address.address(), ..map };
        out.set(map.encode().map_err(|fault| Error::memory(&fault))?)
    }
}
