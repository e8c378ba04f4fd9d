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
//! kept keys, ascending, and, unless they are neighbours, a copy of their keys and values. What
//! the causal rule leaves of that list is a prefix, which grows from query to query.

mod backward;
mod bias;
mod block;
mod forward;
mod kept_keys;
mod tile;

use std::ops::Range;

pub(crate) use backward::attention_backward;
pub(crate) use bias::Bias;
pub(crate) use forward::attention_forward;

use crate::philox::DropoutKey;
use cpu_math::real::Real;
use kept_keys::KeptKeys;

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

/// Keys or values `(B, Tk, ..)` of which each item is row-major, such as the filled part of a
/// cache that holds room for more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Items<'a, T> {
    pub(crate) values: &'a [T],
    /// Elements from the start of one item to that of the next.
    pub(crate) stride: usize,
}

impl<'a, T> Items<'a, T> {
    /// The `len` elements of item `b`.
    fn item(&self, b: usize, len: usize) -> &'a [T] {
        &self.values[b * self.stride..][..len]
    }
}

/// Operands and options of one attention call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionInputs<'a, T> {
    pub(crate) shape: AttentionShape,
    /// `(B, Tq, H, D)`.
    pub(crate) q: &'a [T],
    /// `(B, Tk, Hkv, D)`.
    pub(crate) k: Items<'a, T>,
    /// `(B, Tk, Hkv, Dv)`.
    pub(crate) v: Items<'a, T>,
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
        if self.causal { keys.before((i + kv_len + 1).saturating_sub(q_len)) } else { keys.len }
    }
}

/// `0..n` in steps of `size`.
fn tiles(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..n.min(start + size))
}

#[cfg(test)]
mod tests;
