//! The runs of bytes that make up a box of a tensor.

use super::global;
use crate::tensor_map::{Swizzle, TensorMap};

/// A run of a row of a box: where it lies in the box, and in global memory if it is inside the tensor.
pub(super) struct Run {
    pub(super) at: u32,
    pub(super) global: Option<u64>,
    pub(super) bytes: u32,
}

/// Cuts a box into runs: inside and outside the tensor, and into the pieces of a swizzle.
pub(super) fn runs(map: &TensorMap, corner: &[i64]) -> (Vec<Run>, u32) {
    let rank = corner.len();
    let each = i64::from(map.data_type.bytes());
    let width = i64::from(map.box_dim[0]);
    // Along dimension 0 every element is copied, whatever its stride says.
    let counts: Vec<u32> =
        (1..rank).map(|axis| map.box_dim[axis].div_ceil(map.element_strides[axis])).collect();
    let rows: u32 = counts.iter().product();
    let limit = map.global_dim[0] as i64;
    let inside_from = (-corner[0]).clamp(0, width);
    let inside_to = (limit - corner[0]).clamp(inside_from, width);
    let mut out = Vec::new();
    for row in 0..rows {
        let mut rest = row;
        let mut address = map.global_address as i64 + corner[0] * each;
        let mut inside = true;
        for axis in 1..rank {
            let index = i64::from(rest % counts[axis - 1] * map.element_strides[axis]);
            rest /= counts[axis - 1];
            let at = corner[axis] + index;
            inside &= (0..map.global_dim[axis] as i64).contains(&at);
            address = address.wrapping_add(at.wrapping_mul(map.global_strides[axis - 1] as i64));
        }
        let start = i64::from(row) * width * each;
        let mut run = |from: i64, to: i64, inside: bool| {
            let piece = if map.swizzle == Swizzle::None { i64::MAX } else { 16 };
            let (mut from, to) = (from * each, to * each);
            while from < to {
                let end = to.min((from / piece + 1).saturating_mul(piece));
                out.push(Run {
                    at: (start + from) as u32,
                    global: inside.then_some((address + from) as u64),
                    bytes: (end - from) as u32,
                });
                from = end;
            }
        };
        run(0, inside_from, false);
        run(inside_from, inside_to, inside);
        run(inside_to, width, false);
    }
    (out, rows * (width * each) as u32)
}

/// Sectors of the runs in global memory; the pieces of a swizzled row count together.
pub(super) fn sectors(runs: &[Run]) -> u64 {
    let mut last = None;
    let mut count = 0;
    for run in runs {
        if let Some(address) = run.global {
            count += global::sectors(address, run.bytes);
            count -= u64::from(last == Some(address / 32));
            last = Some((address + u64::from(run.bytes) - 1) / 32);
        }
    }
    count
}

/// The pieces of a box in shared memory from `offset` on.
pub(super) fn places(map: &TensorMap, runs: &[Run], offset: u32) -> Vec<(u32, u32)> {
    runs.iter().map(|run| (map.swizzle.apply(offset + run.at), run.bytes)).collect()
}
