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
mod tile;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use backward::attention_backward;
pub(crate) use forward::attention_forward;

use super::real::Real;
use crate::philox::DropoutKey;

/// Query rows of a tile.
const ROWS: usize = 128;
/// Keys of a tile: a tile of f32 scores is 128 KiB and stays in the second-level cache.
const KEYS: usize = 256;

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

    /// How many keys of a tile each row sees.
    fn visible(
        &self,
        rows: &[Row],
        keys: &KeptKeys<'_, T>,
        tile: Range<usize>,
        visible: &mut Vec<usize>,
    ) {
        visible.clear();
        visible.extend(
            rows.iter()
                .map(|row| self.limit(keys, row.query).clamp(tile.start, tile.end) - tile.start),
        );
    }

    /// Where row `r` of (item `b`, key/value head) lies.
    fn row(&self, b: usize, kv_head: usize, r: usize) -> Row {
        let group = self.shape.group();
        let (i, head) = (r / group, kv_head * group + r % group);
        Row { item: b, query: i, head }
    }

    /// Copies `rows` of `source`, laid out `(B, Tq, H, width)`, into the dense `packed`.
    fn pack_rows(&self, (source, width): (&[T], usize), rows: &[Row], factor: T, packed: &mut [T]) {
        for (r, row) in rows.iter().enumerate() {
            let at = row.offset(&self.shape, width);
            tile::scaled(&mut packed[r * width..][..width], &source[at..at + width], factor);
        }
    }

    /// Adds the bias to a tile of scores.
    fn add_bias(&self, rows: &[Row], keys: &KeptKeys<'_, T>, tile: Range<usize>, scores: &mut [T]) {
        let Some(bias) = &self.bias else { return };
        let [sb, sh, si, sj] = broadcast_strides(bias.dims);
        for (row, scores) in rows.iter().zip(scores.chunks_mut(tile.len())) {
            let base = row.item * sb + row.head * sh + row.query * si;
            match (&keys.positions, sj) {
                (None, 1) => {
                    let values = &bias.values[base + tile.start..];
                    for (s, &x) in scores.iter_mut().zip(values) {
                        *s += x;
                    }
                }
                _ => {
                    for (s, c) in scores.iter_mut().zip(tile.clone()) {
                        *s += bias.values[base + keys.position(c) * sj];
                    }
                }
            }
        }
    }

    /// What dropout multiplies a tile of probabilities by, 0 or `1 / (1 - p)`, in `factors`.
    ///
    /// Returns whether there is any dropout.
    fn dropout_factors(
        &self,
        rows: &[Row],
        keys: &KeptKeys<'_, T>,
        tile: Range<usize>,
        factors: &mut Vec<T>,
    ) -> bool {
        factors.clear();
        let Some((p, key)) = self.dropout else { return false };
        let AttentionShape { q_len, kv_len, heads, .. } = self.shape;
        let (first, last) = (keys.position(tile.start), keys.position(tile.end - 1));
        let mut span = vec![T::ZERO; last + 1 - first];
        for row in rows {
            let base = ((row.item * heads + row.head) * q_len + row.query) * kv_len + first;
            key.fill_factors(p, base as u64, &mut span);
            match &keys.positions {
                None => factors.extend(&span),
                Some(positions) => {
                    factors
                        .extend(positions[tile.clone()].iter().map(|&j| span[j as usize - first]));
                }
            }
        }
        true
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
