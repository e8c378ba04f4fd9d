//! Attention without the score matrix: softmax over key tiles with a running maximum and sum.
//!
//! The idea. A work item is a block of query rows against all keys of one key/value head. Scores
//! of `ROWS x KEYS` at a time are formed by a matrix product, turned into probabilities relative
//! to the maximum so far, and folded into the output, which is rescaled whenever the maximum
//! rises. The backward pass forms the same tiles again from the saved log-sum-exp.
//!
//! Grouped queries. The `G = H / Hkv` query heads that share a key head are `G` rows of the same
//! block: row `r` is query `r / G` of head `kv_head * G + r % G`. One decoding step with many
//! heads on few keys is then still a matrix product.
//!
//! Masked keys are dropped before anything is computed: each batch item gets the list of its
//! kept keys, ascending, and, unless it keeps all, a copy of their keys and values. What the
//! causal rule leaves of that list is a prefix, which grows from query to query.

mod backward;
mod forward;
mod rows;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use backward::{AttentionGrads, attention_backward};
pub(crate) use forward::{AttentionOutput, attention_forward};

use super::real::Real;
use crate::philox::DropoutKey;

/// Query rows of a tile.
const ROWS: usize = 192;
/// Keys of a tile: a tile of f32 scores is 64 KiB and stays in the second-level cache.
const KEYS: usize = 192;

/// Multiply-adds that a thread takes at a time, at least: fewer do not repay waking it.
const SERIAL_WORK: usize = 1 << 18;

/// Extents of one attention call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) batch: usize,
    pub(crate) q_len: usize,
    pub(crate) kv_len: usize,
    pub(crate) heads: usize,
    /// Divides `heads`.
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) value_dim: usize,
}

impl AttentionShape {
    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Work items of `rows` rows that a thread takes at a time, at least.
    fn grain(&self, rows: usize) -> usize {
        let work = rows * self.kv_len * (self.head_dim + self.value_dim);
        SERIAL_WORK.div_ceil(work.max(1))
    }

    /// Rows of one (item, key/value head).
    fn rows(&self) -> usize {
        self.q_len * self.group()
    }
}

/// An additive bias, broadcast to `(B, H, Tq, Tk)` by zero strides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bias<'a, T> {
    pub(crate) values: &'a [T],
    /// `(B, H, Tq, Tk)` extents, 1 where broadcast.
    pub(crate) dims: [usize; 4],
}

impl<T> Bias<'_, T> {
    /// Element strides over `(B, H, Tq, Tk)`, 0 where broadcast.
    fn strides(&self) -> [usize; 4] {
        broadcast_strides(self.dims)
    }
}

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

/// Operands and options of one attention call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionInputs<'a, T> {
    pub(crate) shape: AttentionShape,
    /// `(B, Tq, H, D)`.
    pub(crate) q: &'a [T],
    /// `(B, Tk, Hkv, D)`.
    pub(crate) k: &'a [T],
    /// `(B, Tk, Hkv, Dv)`.
    pub(crate) v: &'a [T],
    /// Multiplies the products `q . k`.
    pub(crate) scale: T,
    /// Query `i` sees keys `j <= i + Tk - Tq` alone.
    pub(crate) causal: bool,
    /// `(B, Tk)`: false keys are never read.
    pub(crate) key_mask: Option<&'a [bool]>,
    pub(crate) bias: Option<Bias<'a, T>>,
    /// Probability of dropping a probability, and the stream that decides.
    pub(crate) dropout: Option<(f64, DropoutKey)>,
}

impl<'a, T: Real> AttentionInputs<'a, T> {
    /// The kept keys of every batch item.
    fn kept_keys(&self) -> Vec<KeptKeys<'a, T>> {
        (0..self.shape.batch).map(|b| KeptKeys::new(self, b)).collect()
    }

    /// How many of `keys` query `i` sees.
    fn limit(&self, keys: &KeptKeys<'_, T>, i: usize) -> usize {
        let AttentionShape { q_len, kv_len, .. } = self.shape;
        if !self.causal {
            return keys.len;
        }
        let visible = (i + kv_len + 1).saturating_sub(q_len);
        match &keys.positions {
            None => visible,
            Some(positions) => positions.partition_point(|&j| (j as usize) < visible),
        }
    }

    /// Where row `r` of (item `b`, key/value head) lies.
    fn row(&self, b: usize, kv_head: usize, r: usize) -> Row {
        let group = self.shape.group();
        let (i, head) = (r / group, kv_head * group + r % group);
        Row { item: b, query: i, head }
    }

    /// Copies rows of `source`, laid out `(B, Tq, H, width)`, into the dense `packed`.
    fn pack_rows(
        &self,
        source: &[T],
        rows: impl Iterator<Item = Row>,
        factor: T,
        packed: &mut [T],
    ) {
        let width = source.len() / (self.shape.batch * self.shape.q_len * self.shape.heads);
        if width == 0 {
            return;
        }
        for (row, out) in rows.zip(packed.chunks_mut(width)) {
            let at = row.offset(&self.shape, width);
            for (o, &x) in out.iter_mut().zip(&source[at..at + width]) {
                *o = x * factor;
            }
        }
    }

    /// Adds the bias of `row` at the keys of a tile to its scores.
    fn add_bias(&self, row: Row, keys: &KeptKeys<'_, T>, tile: Range<usize>, scores: &mut [T]) {
        let Some(bias) = &self.bias else { return };
        let [sb, sh, si, sj] = bias.strides();
        let base = row.item * sb + row.head * sh + row.query * si;
        match (&keys.positions, sj) {
            (None, 1) => {
                let values = &bias.values[base + tile.start..];
                for (s, &x) in scores.iter_mut().zip(values) {
                    *s = *s + x;
                }
            }
            _ => {
                for (s, c) in scores.iter_mut().zip(tile) {
                    *s = *s + bias.values[base + keys.position(c) * sj];
                }
            }
        }
    }

    /// What dropout multiplies the probabilities of `row` by: 0 or `1 / (1 - p)`.
    ///
    /// Leaves one factor a key of the tile in `factors`.
    fn dropout_factors(
        &self,
        row: Row,
        keys: &KeptKeys<'_, T>,
        tile: Range<usize>,
        factors: &mut Vec<T>,
    ) {
        factors.clear();
        let Some((p, key)) = self.dropout else { return };
        if tile.is_empty() {
            return;
        }
        let AttentionShape { q_len, kv_len, heads, .. } = self.shape;
        let (first, last) = (keys.position(tile.start), keys.position(tile.end - 1));
        let base = ((row.item * heads + row.head) * q_len + row.query) * kv_len + first;
        factors.resize(last + 1 - first, T::ZERO);
        key.fill_factors(p, base as u64, factors);
        if let Some(positions) = &keys.positions {
            // Positions ascend, so nothing is overwritten before it is moved.
            for (to, &position) in positions[tile].iter().enumerate() {
                factors[to] = factors[position as usize - first];
            }
        }
    }
}

/// One query of one head of one batch item.
#[derive(Debug, Clone, Copy)]
struct Row {
    item: usize,
    query: usize,
    head: usize,
}

impl Row {
    /// First element of the row in a `(B, Tq, H, width)` array.
    fn offset(self, shape: &AttentionShape, width: usize) -> usize {
        ((self.item * shape.q_len + self.query) * shape.heads + self.head) * width
    }

    /// Index of the row in a `(B, H, Tq)` array.
    fn stat(self, shape: &AttentionShape) -> usize {
        (self.item * shape.heads + self.head) * shape.q_len + self.query
    }
}

/// The keys and values of one batch item that the mask leaves, in order.
struct KeptKeys<'a, T: Clone> {
    /// Their positions in `0..Tk`; `None` when all are kept.
    positions: Option<Vec<u32>>,
    len: usize,
    /// `(len, Hkv, D)`.
    k: Cow<'a, [T]>,
    /// `(len, Hkv, Dv)`.
    v: Cow<'a, [T]>,
}

impl<'a, T: Real> KeptKeys<'a, T> {
    fn new(inputs: &AttentionInputs<'a, T>, b: usize) -> Self {
        let AttentionShape { kv_len, kv_heads, head_dim, value_dim, .. } = inputs.shape;
        let item = |x: &'a [T], width: usize| &x[b * kv_len * width..][..kv_len * width];
        let k = item(inputs.k, kv_heads * head_dim);
        let v = item(inputs.v, kv_heads * value_dim);
        let mask = inputs.key_mask.map(|mask| &mask[b * kv_len..][..kv_len]);
        match mask {
            Some(mask) if mask.contains(&false) => {
                let positions: Vec<u32> =
                    (0..kv_len as u32).filter(|&j| mask[j as usize]).collect();
                let gather = |x: &[T], width: usize| {
                    let rows = positions.iter().map(|&j| &x[j as usize * width..][..width]);
                    Cow::Owned(rows.flatten().copied().collect())
                };
                Self {
                    len: positions.len(),
                    k: gather(k, kv_heads * head_dim),
                    v: gather(v, kv_heads * value_dim),
                    positions: Some(positions),
                }
            }
            _ => Self { positions: None, len: kv_len, k: k.into(), v: v.into() },
        }
    }

    /// Position in `0..Tk` of kept key `c`.
    fn position(&self, c: usize) -> usize {
        self.positions.as_ref().map_or(c, |positions| positions[c] as usize)
    }

    /// From kept key `c` of a head on: rows `Hkv * D` apart.
    fn k_from(&self, shape: &AttentionShape, kv_head: usize, c: usize) -> &[T] {
        &self.k[(c * shape.kv_heads + kv_head) * shape.head_dim..]
    }

    /// From the value of kept key `c` of a head on: rows `Hkv * Dv` apart.
    fn v_from(&self, shape: &AttentionShape, kv_head: usize, c: usize) -> &[T] {
        &self.v[(c * shape.kv_heads + kv_head) * shape.value_dim..]
    }
}

/// `0..n` in steps of `size`.
fn tiles(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..n.min(start + size))
}

#[cfg(test)]
mod tests;
