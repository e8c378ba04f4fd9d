//! Element types, known at run time.

use half::{bf16, f16};

use crate::storage::CpuStorage;

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
    pub fn widened(self) -> DType {
        match self {
            DType::BF16 | DType::F16 => DType::F32,
            other => other,
        }
    }

    /// The wider of two float dtypes, as binary operators promote; `None` when they do not mix.
    pub fn promote(self, other: DType) -> Option<DType> {
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
pub trait Element:
    sealed::Sealed + bytemuck::Pod + Default + PartialOrd + Send + Sync + std::fmt::Debug + 'static
{
    /// The matching run-time tag.
    const DTYPE: DType;
    /// Nearest value of this type; integers truncate towards zero.
    fn from_f64(value: f64) -> Self;
    /// The value as `f64`; exact except for large `i64`.
    fn to_f64(self) -> f64;
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> CpuStorage;
    #[doc(hidden)]
    fn slice(storage: &CpuStorage) -> Option<&[Self]>;
    #[doc(hidden)]
    fn vec_mut(storage: &mut CpuStorage) -> Option<&mut Vec<Self>>;
}

macro_rules! element {
    ($type:ty, $tag:ident, $from:expr, $to:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$tag;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
            fn wrap(values: Vec<Self>) -> CpuStorage {
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
                    CpuStorage::$tag(values) => Some(values),
                    _ => None,
                }
            }
        }
    };
}

element!(f64, F64, |v| v, |v| v);
element!(f32, F32, |v| v as f32, f64::from);
element!(bf16, BF16, bf16::from_f64, bf16::to_f64);
element!(f16, F16, f16::from_f64, f16::to_f64);
element!(i64, I64, |v| v as i64, |v| v as f64);
element!(u32, U32, |v| v as u32, f64::from);
element!(u8, U8, |v| v as u8, f64::from);
