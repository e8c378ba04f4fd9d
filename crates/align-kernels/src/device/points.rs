//! Clouds in device memory.

use gpu_math::Precision;
use gpu_runtime::{DeviceBuffer, DeviceSlice, Stream};
use half::bf16;

use super::Gpu;
use crate::error::{KernelError, Result};
use crate::nst::Tokens;
use crate::ragged::Ragged;

/// Numbers in device memory, borrowed. There is no f16: convert to bf16 or f32 first.
#[derive(Debug, Clone, Copy)]
pub enum DeviceValues<'a> {
    /// Single precision.
    F32(DeviceSlice<'a, f32>),
    /// bfloat16: products are exact, sums f32.
    BF16(DeviceSlice<'a, bf16>),
}

/// `N` points of width `D` in device memory, a row each.
///
/// The stream is that of a call's work: what fills the points must be on it, or waited for by it.
#[derive(Debug, Clone, Copy)]
pub struct DevicePoints<'a> {
    values: DeviceValues<'a>,
    count: usize,
    width: usize,
    row_stride: usize,
    stream: &'a Stream,
    precision: Precision,
}

impl<'a> DevicePoints<'a> {
    /// Points whose rows follow one another.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) unless there are `count * width` values.
    pub fn new(
        stream: &'a Stream,
        values: impl Into<DeviceValues<'a>>,
        count: usize,
        width: usize,
    ) -> Result<Self> {
        let values = values.into();
        if count.checked_mul(width) != Some(values.len()) {
            let got = values.len();
            let detail = format!("{got} values, expected {count} points of width {width}");
            return Err(KernelError::shape("device points", detail));
        }
        let precision = Precision::Exact;
        Ok(Self { values, count, width, row_stride: width, stream, precision })
    }

    /// Points whose rows start `row_stride` values apart. What is between them is never read.
    ///
    /// Rows of bf16 that start at multiples of 16 bytes (a stride that is a multiple of 8) are taken
    /// as they are; others are first widened to f32.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) for a stride below the width, or rows past the last value.
    pub fn strided(
        stream: &'a Stream,
        values: impl Into<DeviceValues<'a>>,
        count: usize,
        width: usize,
        row_stride: usize,
    ) -> Result<Self> {
        let values = values.into();
        let end = match count {
            0 => Some(0),
            _ => row_stride.checked_mul(count - 1).and_then(|start| start.checked_add(width)),
        };
        if row_stride < width || end.is_none_or(|end| end > values.len()) {
            let got = values.len();
            let detail = format!(
                "{got} values with rows {row_stride} apart, expected {count} points of width {width}"
            );
            return Err(KernelError::shape("device points", detail));
        }
        Ok(Self { values, count, width, row_stride, stream, precision: Precision::Exact })
    }

    /// Lets costs of f32 points be computed on tensor cores, from points rounded to TF32 (10 bits of
    /// fraction, halves away from 0).
    ///
    /// Both clouds of a call must ask for the same. They are rounded once, in a copy, from which norms,
    /// products and gradients come: values are those of the rounded clouds, and a point still costs
    /// nothing to itself. [`pairwise_cost`](fn@crate::pairwise_cost::pairwise_cost) and
    /// [`sinkhorn`](fn@crate::sinkhorn::sinkhorn) of f32 clouds make use of it; everything else, and bf16
    /// points, which lose nothing, go on as they would.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How costs of f32 points are computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of points, `N`.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Extent of a point, `D`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values from one row to the next.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// The numbers themselves.
    pub fn values(&self) -> DeviceValues<'a> {
        self.values
    }

    /// The stream that work on them goes to.
    pub fn stream(&self) -> &'a Stream {
        self.stream
    }
}

impl<'a> Ragged<'a, Gpu> {
    /// As [`Ragged::new`], for points in device memory.
    ///
    /// # Errors
    ///
    /// As [`Ragged::new`].
    pub fn on_device(points: DevicePoints<'a>, offsets: &'a [usize]) -> Result<Self> {
        Self::pack(points, offsets)
    }

    /// As [`Ragged::single`], for points in device memory.
    pub fn single_on_device(points: DevicePoints<'a>) -> Self {
        Self::alone(points)
    }
}

impl<'a> Tokens<'a, Gpu> {
    /// Tokens in device memory. The work is that of the student's stream.
    pub fn on_device(
        student: DevicePoints<'a>,
        teacher: DevicePoints<'a>,
        clip_of: &'a [usize],
    ) -> Self {
        Self { student, teacher, clip_of }
    }
}

impl DeviceValues<'_> {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::BF16(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first value is.
    pub(super) fn address(&self) -> u64 {
        match self {
            Self::F32(values) => values.address(),
            Self::BF16(values) => values.address(),
        }
    }
}

macro_rules! from_memory {
    ($($element:ty => $variant:ident),*) => {$(
        impl<'a> From<DeviceSlice<'a, $element>> for DeviceValues<'a> {
            fn from(values: DeviceSlice<'a, $element>) -> Self {
                Self::$variant(values)
            }
        }

        impl<'a> From<&'a DeviceBuffer<$element>> for DeviceValues<'a> {
            fn from(values: &'a DeviceBuffer<$element>) -> Self {
                Self::$variant(values.as_slice())
            }
        }
    )*};
}

from_memory!(f32 => F32, bf16 => BF16);
