//! A block of query rows, and the tiles of scores that both passes form from it.

use std::ops::Range;

use super::kept_keys::KeptKeys;
use super::{AttentionInputs, AttentionShape, KEYS, ROWS, tile, tiles};
use cpu_math::real::Real;
use cpu_math::tile_gemm::gemm_tile;

/// One query of one head of one batch item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) item: usize,
    pub(super) query: usize,
    pub(super) head: usize,
}

impl Row {
    /// First element of the row in a `(B, Tq, H, width)` array.
    pub(super) fn offset(self, shape: &AttentionShape, width: usize) -> usize {
        ((self.item * shape.q_len + self.query) * shape.heads + self.head) * width
    }

    /// Index of the row in a `(B, H, Tq)` array.
    pub(super) fn stat(self, shape: &AttentionShape) -> usize {
        (self.item * shape.heads + self.head) * shape.q_len + self.query
    }
}

/// At most [`ROWS`] query rows of one (item, key/value head), and the item's keys.
pub(super) struct Block<'a, T: Real> {
    pub(super) inputs: &'a AttentionInputs<'a, T>,
    pub(super) keys: &'a KeptKeys<'a, T>,
    pub(super) rows: Vec<Row>,
    kv_head: usize,
}

impl<'a, T: Real> Block<'a, T> {
    pub(super) fn new(
        inputs: &'a AttentionInputs<'a, T>,
        keys: &'a KeptKeys<'a, T>,
        (item, kv_head): (usize, usize),
        rows: Range<usize>,
    ) -> Self {
        let group = inputs.shape.group();
        let row = |r| Row { item, query: r / group, head: kv_head * group + r % group };
        Self { inputs, keys, rows: rows.map(row).collect(), kv_head }
    }

    /// Tiles of the kept keys that some row sees.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<T> {
        // Later queries see more keys, so the last row's limit is the block's.
        let seen = self.rows.last().map_or(0, |row| self.inputs.limit(self.keys, row.query));
        tiles(seen, KEYS)
    }

    /// Copies the block's rows of `source: (B, Tq, H, width)` times `factor` to `(rows, width)`.
    pub(super) fn pack(&self, source: &[T], width: usize, factor: T, packed: &mut [T]) {
        for (r, row) in self.rows.iter().enumerate() {
            let at = row.offset(&self.inputs.shape, width);
            tile::scaled(&mut packed[r * width..][..width], &source[at..at + width], factor);
        }
    }

    /// The head's keys from kept key `c` on, `(.., D)`, and the stride of their rows.
    pub(super) fn k_from(&self, c: usize) -> (&[T], usize) {
        let shape = &self.inputs.shape;
        (self.keys.k_from(shape, self.kv_head, c), shape.kv_heads * shape.head_dim)
    }

    /// The head's values from kept key `c` on, `(.., Dv)`, and the stride of their rows.
    pub(super) fn v_from(&self, c: usize) -> (&[T], usize) {
        let shape = &self.inputs.shape;
        (self.keys.v_from(shape, self.kv_head, c), shape.kv_heads * shape.value_dim)
    }
}

/// One thread's buffers for a block's queries and one tile of their scores.
pub(super) struct ScoreTile<T> {
    /// `(ROWS, D)` queries times the scale.
    pub(super) q: Vec<T>,
    /// Scores, `(rows, keys)` of the tile from the start on.
    pub(super) scores: Vec<T>,
    /// `(rows,)` keys of the tile that a row sees.
    pub(super) visible: Vec<usize>,
    /// What dropout multiplies probabilities by, 0 or `1 / (1 - p)`: `(rows, keys)`, or empty
    /// without dropout.
    pub(super) factors: Vec<T>,
}

impl<T: Real> ScoreTile<T> {
    pub(super) fn new(shape: &AttentionShape) -> Self {
        let rows = ROWS.min(shape.rows());
        Self {
            q: vec![T::ZERO; rows * shape.head_dim],
            scores: vec![T::ZERO; rows * KEYS.min(shape.kv_len)],
            visible: Vec::with_capacity(rows),
            factors: Vec::new(),
        }
    }

    /// Copies the queries of `block`, whose tiles [`form`](Self::form) is then called with.
    pub(super) fn load(&mut self, block: &Block<'_, T>) {
        let inputs = block.inputs;
        block.pack(inputs.q, inputs.shape.head_dim, inputs.scale, &mut self.q);
    }

    /// Forms the biased scores of the loaded block against kept keys `tile`, what each row sees of
    /// them, and the dropout factors.
    pub(super) fn form(&mut self, block: &Block<'_, T>, tile: Range<usize>) {
        let Block { inputs, keys, rows, .. } = block;
        let (m, n, d) = (rows.len(), tile.len(), inputs.shape.head_dim);
        let scores = &mut self.scores[..m * n];
        let (k, k_stride) = block.k_from(tile.start);
        let (q, k) = ((&self.q[..], (d, 1)), (k, (1, k_stride)));
        gemm_tile((m, n, d), T::ONE, q, k, T::ZERO, (scores, (n, 1)));
        if let Some(bias) = &inputs.bias {
            bias.add_to(rows, keys, tile.clone(), scores);
        }
        self.visible.clear();
        self.visible.extend(
            rows.iter()
                .map(|row| inputs.limit(keys, row.query).clamp(tile.start, tile.end) - tile.start),
        );
        self.draw_factors(block, tile);
    }

    fn draw_factors(&mut self, block: &Block<'_, T>, tile: Range<usize>) {
        self.factors.clear();
        let Some((p, key)) = block.inputs.dropout else { return };
        let AttentionShape { q_len, kv_len, heads, .. } = block.inputs.shape;
        let keys = block.keys;
        let (first, last) = (keys.position(tile.start), keys.position(tile.end - 1));
        let mut span = vec![T::ZERO; last + 1 - first];
        for row in &block.rows {
            let base = ((row.item * heads + row.head) * q_len + row.query) * kv_len + first;
            key.fill_factors(p, base as u64, &mut span);
            match &keys.positions {
                None => self.factors.extend(&span),
                Some(positions) => {
                    let kept = positions[tile.clone()].iter();
                    self.factors.extend(kept.map(|&j| span[j as usize - first]));
                }
            }
        }
    }
}
