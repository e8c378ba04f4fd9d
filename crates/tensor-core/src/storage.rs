//! Where a tensor's elements live. One variant a device; CUDA joins here.

use std::ops::{Deref, Range};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;

use crate::dtype::{DType, Element};
use crate::error::{Error, ErrorKind, Result};

/// The device that holds a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// Host memory.
    Cpu,
    /// A CUDA device by ordinal.
    Cuda(usize),
}

impl Device {
    /// Succeeds when this build can place tensors on the device.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`] for CUDA: this build holds the CPU path alone.
    pub fn ensure_available(self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Cuda(index) => Err(Error::new(
                ErrorKind::Device,
                "device",
                format!("cuda:{index} asked for, this build has cpu only"),
            )
            .with_hint("use --device cpu")),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Elements on some device.
#[derive(Debug)]
pub(crate) enum Storage {
    /// Host memory.
    Cpu(CpuStorage),
}

impl Storage {
    pub(crate) fn device(&self) -> Device {
        match self {
            Storage::Cpu(_) => Device::Cpu,
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        match self {
            Storage::Cpu(storage) => storage.dtype(),
        }
    }

    pub(crate) fn cpu(&self) -> &CpuStorage {
        match self {
            Storage::Cpu(storage) => storage,
        }
    }
}

/// Elements in host memory, tagged by dtype.
#[doc(hidden)]
#[derive(Debug)]
pub enum CpuStorage {
    /// 64-bit floats.
    F64(Buffer<f64>),
    /// 32-bit floats.
    F32(Buffer<f32>),
    /// bfloat16.
    BF16(Buffer<bf16>),
    /// IEEE half.
    F16(Buffer<f16>),
    /// 64-bit integers.
    I64(Buffer<i64>),
    /// 32-bit unsigned integers.
    U32(Buffer<u32>),
    /// Bytes.
    U8(Buffer<u8>),
}

impl CpuStorage {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            CpuStorage::F64(_) => DType::F64,
            CpuStorage::F32(_) => DType::F32,
            CpuStorage::BF16(_) => DType::BF16,
            CpuStorage::F16(_) => DType::F16,
            CpuStorage::I64(_) => DType::I64,
            CpuStorage::U32(_) => DType::U32,
            CpuStorage::U8(_) => DType::U8,
        }
    }

    pub(crate) fn len(&self) -> usize {
        element_dispatch!(self.dtype(), T => T::slice(self).map_or(0, <[T]>::len))
    }
}

/// Elements in memory of their own, or in a file that is mapped read-only.
#[doc(hidden)]
#[derive(Debug)]
pub enum Buffer<T> {
    /// Memory of their own.
    Owned(Vec<T>),
    /// A part of a file.
    Mapped(MappedSlice<T>),
}

impl<T: bytemuck::Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Buffer::Owned(values) => values,
            Buffer::Mapped(slice) => slice.values(),
        }
    }
}

/// Aligned elements inside a mapped file, which stays mapped as long as they live.
#[doc(hidden)]
#[derive(Debug)]
pub struct MappedSlice<T> {
    map: Arc<Mmap>,
    bytes: Range<usize>,
    element: std::marker::PhantomData<T>,
}

impl<T: bytemuck::Pod> MappedSlice<T> {
    /// The elements in these bytes of the map; `None` when they are not aligned.
    pub(crate) fn new(map: &Arc<Mmap>, bytes: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(map.get(bytes.clone())?).ok()?;
        Some(Self { map: Arc::clone(map), bytes, element: std::marker::PhantomData })
    }

    fn values(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[self.bytes.clone()])
    }
}

/// A `match` over dtypes with the same body in each arm, where `$t` is the arm's Rust type.
macro_rules! dtype_match {
    ($dtype:expr, $t:ident => $body:expr, [$($tag:ident: $rust:ty),+] $($rest:tt)*) => {
        match $dtype {
            $($crate::dtype::DType::$tag => {
                type $t = $rust;
                $body
            })+
            $($rest)*
        }
    };
}

/// Runs `$body` with `$t` bound to the Rust type of a run-time dtype.
macro_rules! element_dispatch {
    ($dtype:expr, $t:ident => $body:expr) => {
        $crate::storage::dtype_match!(
            $dtype, $t => $body,
            [F64: f64, F32: f32, BF16: half::bf16, F16: half::f16, I64: i64, U32: u32, U8: u8]
        )
    };
}

/// As `element_dispatch`, for operators that compute in f32 or f64 alone. `$body` is a `Result`.
macro_rules! real_dispatch {
    ($dtype:expr, $op:expr, $t:ident => $body:expr) => {
        $crate::storage::dtype_match!(
            $dtype, $t => $body,
            [F64: f64, F32: f32]
            other => Err($crate::error::Error::dtype(
                $op,
                format!("dtype is {other}, expected a floating-point one"),
            ))
        )
    };
}

pub(crate) use {dtype_match, element_dispatch, real_dispatch};
