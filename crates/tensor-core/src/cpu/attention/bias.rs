//! The additive bias: its terms in a tile of scores, and its gradient from theirs.

use std::ops::Range;

use super::AttentionShape;
use super::block::Row;
use super::kept_keys::KeptKeys;
use cpu_math::real::Real;

/// An additive bias, broadcast to `(B, H, Tq, Tk)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bias<'a, T> {
    pub(crate) values: &'a [T],
    /// `(B, H, Tq, Tk)` extents, 1 where broadcast.
    pub(crate) dims: [usize; 4],
}

impl<T: Real> Bias<'_, T> {
    /// Adds the bias to the scores of `rows` against kept keys `tile`.
    pub(super) fn add_to(
        &self,
        rows: &[Row],
        keys: &KeptKeys<'_, T>,
        tile: Range<usize>,
        scores: &mut [T],
    ) {
        let [sb, sh, si, sj] = broadcast_strides(self.dims);
        for (row, scores) in rows.iter().zip(scores.chunks_mut(tile.len())) {
            let base = row.item * sb + row.head * sh + row.query * si;
            match (&keys.positions, sj) {
                (None, 1) => {
                    let values = &self.values[base + tile.start..];
                    for (s, &x) in scores.iter_mut().zip(values) {
                        *s += x;
                    }
                }
                _ => {
                    for (s, c) in scores.iter_mut().zip(tile.clone()) {
                        *s += self.values[base + keys.position(c) * sj];
                    }
                }
            }
        }
    }
}

/// Element strides over `(B, H, Tq, Tk)`, 0 where broadcast.
fn broadcast_strides(dims: [usize; 4]) -> [usize; 4] {
    let mut strides = [0; 4];
    let mut step = 1;
    for d in (0..4).rev() {
        if dims[d] > 1 {
            strides[d] = step;
        }
        step *= dims[d];
    }
    strides
}

/// The bias gradient that one work item gathers: `(G | 1, Tq | 1, Tk | 1)`.
pub(super) struct BiasSlab<T> {
    values: Vec<T>,
    /// Strides over (group member, query, key), 0 where broadcast.
    strides: [usize; 3],
}

impl<T: Real> BiasSlab<T> {
    pub(super) fn new(dims: [usize; 4], group: usize) -> Self {
        let heads = if dims[1] == 1 { 1 } else { group };
        let [_, h, i, j] = broadcast_strides([1, heads, dims[2], dims[3]]);
        Self { values: vec![T::ZERO; heads * dims[2] * dims[3]], strides: [h, i, j] }
    }

    /// Adds the score gradients of `row` against kept keys `tile`.
    pub(super) fn add(
        &mut self,
        row: Row,
        shape: &AttentionShape,
        keys: &KeptKeys<'_, T>,
        tile: Range<usize>,
        grads: &[T],
    ) {
        let [h, i, j] = self.strides;
        let base = row.head % shape.group() * h + row.query * i;
        for (&g, c) in grads.iter().zip(tile) {
            self.values[base + keys.position(c) * j] += g;
        }
    }
}

/// Puts the slabs, ordered by (item, key/value head), together to the bias's extents.
pub(super) fn combine_slabs<T: Real>(
    dims: [usize; 4],
    shape: &AttentionShape,
    slabs: impl Iterator<Item = BiasSlab<T>>,
) -> Vec<T> {
    let mut bias = vec![T::ZERO; dims.iter().product()];
    for (unit, slab) in slabs.enumerate() {
        let len = slab.values.len();
        // One slab an (item, head) follows the other; heads that share a slab add up.
        let at = if dims[1] == 1 { unit / shape.kv_heads * len } else { unit * len };
        for (total, value) in bias[at..at + len].iter_mut().zip(slab.values) {
            *total += value;
        }
    }
    bias
}
