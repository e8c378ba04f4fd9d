//! Tensor maps: what the bulk copies of Hopper must know of a tensor in device memory.
//!
//! `cp.async.bulk.tensor` moves a box of a tensor to shared memory, and fills what is outside the tensor
//! with zeros. The kernel takes the map by value, as a parameter of 128 bytes.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use bytemuck::Pod;
use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType as DataType, CUtensorMapFloatOOBfill as Fill,
    CUtensorMapInterleave as Interleave, CUtensorMapL2promotion as Promotion,
    CUtensorMapSwizzle as Raw,
};
use half::{bf16, f16};

use crate::args::Arg;
use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::tensor_map::sealed::Sealed;

/// Axes of a tensor, at most.
const MOST_AXES: usize = 5;
/// Bytes that the copy engine moves at once.
const PIECE: u64 = 16;
/// Where errors come from.
const PLACE: &str = "tensor map";

/// How 16-byte pieces are exchanged in shared memory, so that a column of them falls on all banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Swizzle {
    /// Not at all.
    #[default]
    None,
    /// Inside 32 bytes.
    Bytes32,
    /// Inside 64 bytes.
    Bytes64,
    /// Inside 128 bytes: what `wgmma` takes fastest.
    Bytes128,
}

/// A tensor in device memory and the boxes that it is copied by. The first axis is the one whose elements
/// are neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Tiled<'a> {
    /// Address of the first element: a multiple of 16.
    pub address: u64,
    /// Elements along each of 1 to 5 axes.
    pub extents: &'a [u64],
    /// Bytes from one element to the next along the second axis and up: multiples of 16.
    pub strides: &'a [u64],
    /// Elements of a box along each axis: at most 256, and whole pieces of 16 bytes along the first.
    pub tile: &'a [u32],
    /// How a box lies in shared memory; its rows are no longer than the swizzle spans.
    pub swizzle: Swizzle,
}

/// A tensor as a kernel's `.param .align 64 .b8 name[128]`.
///
/// It holds an address and does not keep the memory: that is the launch's promise.
#[derive(Debug, Clone, Copy)]
pub struct TensorMap(CUtensorMap);

/// A type that the elements of a mapped tensor can have: u8, u16, u32, f32, f16, bf16.
pub trait MapElement: Pod + Sealed {}

mod sealed {
    pub trait Sealed {
        const TYPE: cudarc::driver::sys::CUtensorMapDataType;
    }
}

macro_rules! elements {
    ($($ty:ty => $name:ident,)*) => {$(
        impl MapElement for $ty {}

        impl Sealed for $ty {
            const TYPE: DataType = DataType::$name;
        }
    )*};
}

elements! {
    u8 => CU_TENSOR_MAP_DATA_TYPE_UINT8,
    u16 => CU_TENSOR_MAP_DATA_TYPE_UINT16,
    u32 => CU_TENSOR_MAP_DATA_TYPE_UINT32,
    f32 => CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
    f16 => CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
    bf16 => CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
}

impl TensorMap {
    /// The map of a tensor, made by the driver on the host; no work is put on a stream.
    ///
    /// # Errors
    ///
    /// `Argument` naming what does not fit, `Launch` on a device without bulk copies.
    pub fn tiled<T: MapElement>(device: &Device, tensor: &Tiled<'_>) -> Result<TensorMap> {
        if !device.facts().clusters {
            let detail = "the device has no bulk copies of tensors";
            return Err(GpuError::new(ErrorKind::Launch, PLACE, detail)
                .hint("tensor maps need compute capability 9.0"));
        }
        tensor.check(size_of::<T>() as u64)?;
        device.bind()?;
        let axes = tensor.extents.len();
        let every = [1u32; MOST_AXES];
        let address: *mut c_void = std::ptr::with_exposed_provenance_mut(tensor.address as usize);
        let mut raw = MaybeUninit::<CUtensorMap>::uninit();
        // SAFETY: the driver writes one map and reads `axes` numbers of each list, one less of the
        // strides, which `check` has counted. The address is stored, not followed.
        let status = unsafe {
            sys::cuTensorMapEncodeTiled(
                raw.as_mut_ptr(),
                T::TYPE,
                axes as u32,
                address,
                tensor.extents.as_ptr(),
                tensor.strides.as_ptr(),
                tensor.tile.as_ptr(),
                every.as_ptr(),
                Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                tensor.swizzle.raw(),
                Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        device.check(PLACE, status)?;
        // SAFETY: the driver reported success, so it has written the map.
        Ok(TensorMap(unsafe { raw.assume_init() }))
    }

    /// The map as an argument of a launch.
    pub fn arg(&self) -> Arg<'_> {
        Arg::bytes(bytemuck::bytes_of(&self.0.opaque))
    }
}

impl Tiled<'_> {
    /// Refuses what the driver would refuse with a bare "invalid value".
    fn check(&self, bytes: u64) -> Result<()> {
        let axes = self.extents.len();
        let fail = |what: &str, expected: &str, got: String| {
            let detail = format!("{what}: expected {expected}, got {got}");
            Err(GpuError::new(ErrorKind::Argument, PLACE, detail))
        };
        if !(1..=MOST_AXES).contains(&axes) {
            return fail("axes", "1 to 5", axes.to_string());
        }
        if self.strides.len() != axes - 1 || self.tile.len() != axes {
            let got = format!("{} and {}", self.strides.len(), self.tile.len());
            return fail("strides and tile", &format!("{} and {axes} numbers", axes - 1), got);
        }
        if !self.address.is_multiple_of(PIECE) {
            return fail("address", "a multiple of 16", format!("{:#x}", self.address));
        }
        if let Some(extent) = self.extents.iter().find(|extent| !(1..=1 << 32).contains(*extent)) {
            return fail("extent", "1 to 2^32", extent.to_string());
        }
        let fits = |stride: &u64| stride.is_multiple_of(PIECE) && *stride < 1 << 40;
        if let Some(stride) = self.strides.iter().find(|stride| !fits(stride)) {
            return fail("stride", "a multiple of 16 bytes below 2^40", stride.to_string());
        }
        if let Some(extent) = self.tile.iter().find(|extent| !(1..=256).contains(*extent)) {
            return fail("tile", "extents of 1 to 256", extent.to_string());
        }
        let row = u64::from(self.tile[0]) * bytes;
        let span = self.swizzle.span();
        if !row.is_multiple_of(PIECE) || span.is_some_and(|span| row > span) {
            let most = span.map_or(String::new(), |span| format!(", at most {span}"));
            return fail(
                "row of a tile",
                &format!("a multiple of 16 bytes{most}"),
                row.to_string(),
            );
        }
        Ok(())
    }
}

impl Swizzle {
    /// Bytes inside which pieces are exchanged.
    fn span(self) -> Option<u64> {
        match self {
            Swizzle::None => None,
            Swizzle::Bytes32 => Some(32),
            Swizzle::Bytes64 => Some(64),
            Swizzle::Bytes128 => Some(128),
        }
    }

    fn raw(self) -> Raw {
        match self {
            Swizzle::None => Raw::CU_TENSOR_MAP_SWIZZLE_NONE,
            Swizzle::Bytes32 => Raw::CU_TENSOR_MAP_SWIZZLE_32B,
            Swizzle::Bytes64 => Raw::CU_TENSOR_MAP_SWIZZLE_64B,
            Swizzle::Bytes128 => Raw::CU_TENSOR_MAP_SWIZZLE_128B,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Tiled<'static> = Tiled {
        address: 0x1000,
        extents: &[100, 7],
        strides: &[208],
        tile: &[64, 8],
        swizzle: Swizzle::Bytes128,
    };

    #[test]
    fn what_a_driver_would_refuse_is_named() {
        GOOD.check(2).unwrap();
        Tiled { extents: &[5], strides: &[], tile: &[16], swizzle: Swizzle::None, ..GOOD }
            .check(4)
            .unwrap();
        let bad = [
            (Tiled { extents: &[], ..GOOD }, "axes: expected 1 to 5, got 0"),
            (Tiled { strides: &[], ..GOOD }, "expected 1 and 2 numbers, got 0 and 2"),
            (Tiled { tile: &[64], ..GOOD }, "expected 1 and 2 numbers, got 1 and 1"),
            (Tiled { address: 0x1008, ..GOOD }, "address: expected a multiple of 16, got 0x1008"),
            (Tiled { extents: &[100, 0], ..GOOD }, "extent: expected 1 to 2^32, got 0"),
            (Tiled { strides: &[200], ..GOOD }, "stride: expected a multiple of 16 bytes"),
            (Tiled { tile: &[64, 257], ..GOOD }, "extents of 1 to 256, got 257"),
            (Tiled { tile: &[72, 8], ..GOOD }, "16 bytes, at most 128, got 144"),
            (Tiled { tile: &[60, 8], ..GOOD }, "16 bytes, at most 128, got 120"),
        ];
        for (tensor, expected) in bad {
            let error = tensor.check(2).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Argument);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
