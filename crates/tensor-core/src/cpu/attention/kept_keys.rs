//! The keys and values that the mask leaves of one batch item.

use std::borrow::Cow;

use super::{AttentionInputs, AttentionShape};
use cpu_math::real::Real;

/// The keys and values of one batch item that the mask leaves, in order.
pub(super) struct KeptKeys<'a, T: Clone> {
    /// Their positions in `0..Tk`; `None` when all are kept.
    pub(super) positions: Option<Vec<u32>>,
    pub(super) len: usize,
    /// `(len, Hkv, D)`.
    k: Cow<'a, [T]>,
    /// `(len, Hkv, Dv)`.
    v: Cow<'a, [T]>,
}

impl<'a, T: Real> KeptKeys<'a, T> {
    pub(super) fn new(inputs: &AttentionInputs<'a, T>, b: usize) -> Self {
        let AttentionShape { kv_len, kv_heads, head_dim, value_dim, .. } = inputs.shape;
        let (k_width, v_width) = (kv_heads * head_dim, kv_heads * value_dim);
        let k = inputs.k.item(b, kv_len * k_width);
        let v = inputs.v.item(b, kv_len * v_width);
        let mask = inputs.key_mask.map(|mask| &mask[b * kv_len..][..kv_len]);
        match mask {
            Some(mask) if mask.contains(&false) => {
                let positions: Vec<u32> =
                    (0..kv_len as u32).filter(|&j| mask[j as usize]).collect();
                let first = positions.first().map_or(0, |&first| first as usize);
                let last = positions.last().map_or(0, |&last| last as usize + 1);
                // Padding on either side leaves neighbours, which are read where they lie.
                let neighbours = last - first == positions.len();
                let keep = |x: &'a [T], width: usize| match neighbours {
                    true => Cow::Borrowed(&x[first * width..last * width]),
                    false => {
                        let rows = positions.iter().map(|&j| &x[j as usize * width..][..width]);
                        Cow::Owned(rows.flatten().copied().collect())
                    }
                };
                Self {
                    len: positions.len(),
                    k: keep(k, k_width),
                    v: keep(v, v_width),
                    positions: Some(positions),
                }
            }
            _ => Self { positions: None, len: kv_len, k: k.into(), v: v.into() },
        }
    }

    /// Position in `0..Tk` of kept key `c`.
    pub(super) fn position(&self, c: usize) -> usize {
        self.positions.as_ref().map_or(c, |positions| positions[c] as usize)
    }

    /// How many kept keys have a position below `end`.
    pub(super) fn before(&self, end: usize) -> usize {
        self.positions
            .as_ref()
            .map_or(end, |positions| positions.partition_point(|&j| (j as usize) < end))
    }

    /// From kept key `c` of a head on: rows `Hkv * D` apart.
    pub(super) fn k_from(&self, shape: &AttentionShape, kv_head: usize, c: usize) -> &[T] {
        &self.k[(c * shape.kv_heads + kv_head) * shape.head_dim..]
    }

    /// From the value of kept key `c` of a head on: rows `Hkv * Dv` apart.
    pub(super) fn v_from(&self, shape: &AttentionShape, kv_head: usize, c: usize) -> &[T] {
        &self.v[(c * shape.kv_heads + kv_head) * shape.value_dim..]
    }
}
