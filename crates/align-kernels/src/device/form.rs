//! The form that kernels take the clouds of a call in.

use gpu_math::Precision;

use super::points::{DevicePoints, DeviceValues};

/// Bytes that `cp.async` moves at once, and values of bf16 in them.
const PIECE: u64 = 16;
const PIECE_VALUES: usize = 8;

/// What a row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// f32, rows anywhere.
    F32,
    /// bf16, rows at multiples of 16 bytes.
    BF16,
}

impl Form {
    /// The form that costs come from fastest.
    pub fn of(x: &DevicePoints<'_>, y: &DevicePoints<'_>) -> Self {
        match has_pieces(x) && has_pieces(y) && (is_one(x, y) || !meet(x, y)) {
            true => Self::BF16,
            false => Self::F32,
        }
    }
}

/// Whether costs are made from f32 points rounded to TF32.
pub(super) fn is_rounded(x: &DevicePoints<'_>, y: &DevicePoints<'_>) -> bool {
    let asks = |points: &DevicePoints<'_>| {
        let is_single = matches!(points.values(), DeviceValues::F32(_));
        is_single && points.precision() == Precision::Tf32
    };
    asks(x) && asks(y)
}

/// Whether bf16 rows can be copied by whole pieces.
fn has_pieces(points: &DevicePoints<'_>) -> bool {
    let address = points.values().address();
    let is_half = matches!(points.values(), DeviceValues::BF16(_));
    is_half && address.is_multiple_of(PIECE) && points.row_stride().is_multiple_of(PIECE_VALUES)
}

/// Whether both start at one address.
pub(super) fn meet(x: &DevicePoints<'_>, y: &DevicePoints<'_>) -> bool {
    x.values().address() == y.values().address()
}

/// Whether row `k` of both is one row, for all that both have.
pub(super) fn is_one(x: &DevicePoints<'_>, y: &DevicePoints<'_>) -> bool {
    let same_type = std::mem::discriminant(&x.values()) == std::mem::discriminant(&y.values());
    same_type && meet(x, y) && x.row_stride() == y.row_stride()
}
