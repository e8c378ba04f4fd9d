//! Element types, known at run time.

use cpu_math::number::Number;
use half::{bf16, f16};

use crate::storage::{Buffer, CpuStorage};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 64-bit float: gradient checks and references.
    F64,
    /// 32-bit float: parameters, reductions and most arithmetic.
    F32,
    /// bfloat16: storage and matrix products under autocast.
    BF16,
    /// IEEE half: storage of published weights.
    F16,
    /// 64-bit integer: token ids and labels.
    I64,
    /// 32-bit unsigned integer.
    U32,
    /// Byte: masks.
    U8,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::U32 => 4,
            DType::BF16 | DType::F16 => 2,
            DType::U8 => 1,
        }
    }

    /// Whether the type is a floating-point one.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::BF16 | DType::F16)
    }

    /// The dtype in which an operator computes on this one: bf16 and f16 widen to f32.
    pub(crate) fn widened(self) -> DType {
        match self {
            DType::BF16 | DType::F16 => DType::F32,
            other => other,
        }
    }

    /// The dtype in which two operands meet: their own when they agree, f32 when one is f32 and the
    /// other bf16 or f16; `None` when they do not mix.
    pub(crate) fn promote(self, other: DType) -> Option<DType> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (DType::F32, DType::BF16 | DType::F16) | (DType::BF16 | DType::F16, DType::F32) => {
                Some(DType::F32)
            }
            _ => None,
        }
    }

    /// Lower-case name, as printed in errors.
    pub fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::U32 => "u32",
            DType::U8 => "u8",
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is some [`DType`].
pub trait Element: sealed::Sealed + Number {
    /// The matching run-time tag.
    const DTYPE: DType;
    #[doc(hidden)]
    fn wrap(values: Buffer<Self>) -> CpuStorage;
    #[doc(hidden)]
    fn slice(storage: &CpuStorage) -> Option<&[Self]>;
    #[doc(hidden)]
    fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>>;
}

macro_rules! element {
    ($type:ty, $tag:ident) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$tag;
            fn wrap(values: Buffer<Self>) -> CpuStorage {
                CpuStorage::$tag(values)
            }
            fn slice(storage: &CpuStorage) -> Option<&[Self]> {
                match storage {
                    CpuStorage::$tag(values) => Some(values),
                    _ => None,
                }
            }
            fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>> {
                match storage {
                    // A mapped file is read-only: whoever would write copies first.
                    CpuStorage::$tag(Buffer::Owned(values)) => Some(values),
                    _ => None,
                }
            }
        }
    };
}

element!(f64, F64);
element!(f32, F32);
element!(bf16, BF16);
element!(f16, F16);
element!(i64, I64);
element!(u32, U32);
element!(u8, U8);
