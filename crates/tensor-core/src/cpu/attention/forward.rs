//! The forward pass: one work item per (batch item, key/value head, block of rows).

use rayon::prelude::*;

use super::tile::{multiply, normalise, online_softmax, scale_rows};
use super::{AttentionInputs, AttentionShape, KEYS, KeptKeys, ROWS, Row, tiles};
use crate::cpu::parallel::SharedMut;
use crate::cpu::real::Real;
use crate::cpu::tile_gemm::gemm_tile;

/// What the forward pass leaves for the backward pass.
pub(crate) struct AttentionOutput<T> {
    /// `(B, Tq, H, Dv)`.
    pub(crate) output: Vec<T>,
    /// `(B, H, Tq)` log-sum-exp of each row's scores; `-inf` where no key is seen.
    pub(crate) lse: Vec<T>,
}

/// Softmax-weighted means of the values.
pub(crate) fn attention_forward<T: Real>(inputs: &AttentionInputs<'_, T>) -> AttentionOutput<T> {
    let shape = &inputs.shape;
    let n_rows = shape.batch * shape.q_len * shape.heads;
    let mut output = vec![T::ZERO; n_rows * shape.value_dim];
    let mut lse = vec![T::NEG_INFINITY; n_rows];
    let keys = inputs.kept_keys();
    {
        let output = SharedMut::new(&mut output);
        let lse = SharedMut::new(&mut lse);
        let n_blocks = shape.rows().div_ceil(ROWS);
        let tasks = (0..shape.batch * shape.kv_heads * n_blocks).into_par_iter();
        tasks.with_min_len(shape.grain(shape.rows().min(ROWS))).for_each_init(
            || Scratch::new(shape),
            |scratch, task| {
                let (unit, block) = (task / n_blocks, task % n_blocks);
                let (b, kv_head) = (unit / shape.kv_heads, unit % shape.kv_heads);
                let rows: Vec<Row> = (block * ROWS..shape.rows().min((block + 1) * ROWS))
                    .map(|r| inputs.row(b, kv_head, r))
                    .collect();
                scratch.attend(inputs, &keys[b], kv_head, &rows);
                for (r, row) in rows.iter().enumerate() {
                    let width = shape.value_dim;
                    let values = &scratch.output[r * width..][..width];
                    // SAFETY: a (query, head) pair belongs to one work item alone, so no other
                    // thread touches its row of either array.
                    unsafe {
                        output.write(row.offset(shape, width), values);
                        lse.write(row.stat(shape), &scratch.max[r..=r]);
                    }
                }
            },
        );
    }
    AttentionOutput { output, lse }
}

/// One thread's tile buffers.
struct Scratch<T> {
    /// `(ROWS, D)` queries times the scale.
    q: Vec<T>,
    /// `(ROWS, KEYS)` scores, then probabilities.
    scores: Vec<T>,
    /// `(ROWS, Dv)`.
    output: Vec<T>,
    /// `(ROWS,)` running maximum; the log-sum-exp at the end.
    max: Vec<T>,
    /// `(ROWS,)` running sum of exponentials.
    sum: Vec<T>,
    /// `(ROWS,)` what a rise of the maximum multiplies older sums by.
    shrink: Vec<T>,
    /// `(ROWS,)` keys of a tile that a row sees.
    visible: Vec<usize>,
    /// `(ROWS, KEYS)` dropout factors.
    factors: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(shape: &AttentionShape) -> Self {
        let rows = ROWS.min(shape.rows());
        let keys = KEYS.min(shape.kv_len);
        Self {
            q: vec![T::ZERO; rows * shape.head_dim],
            scores: vec![T::ZERO; rows * keys],
            output: vec![T::ZERO; rows * shape.value_dim],
            max: vec![T::ZERO; rows],
            sum: vec![T::ZERO; rows],
            shrink: vec![T::ZERO; rows],
            visible: Vec::with_capacity(rows),
            factors: Vec::new(),
        }
    }

    fn attend(
        &mut self,
        inputs: &AttentionInputs<'_, T>,
        keys: &KeptKeys<'_, T>,
        kv_head: usize,
        rows: &[Row],
    ) {
        let shape = &inputs.shape;
        let (d, dv) = (shape.head_dim, shape.value_dim);
        let m = rows.len();
        inputs.pack_rows((inputs.q, d), rows, inputs.scale, &mut self.q);
        self.max.fill(T::NEG_INFINITY);
        self.sum.fill(T::ZERO);
        // Later queries see more keys, so the last row's limit is the block's.
        let seen = rows.last().map_or(0, |row| inputs.limit(keys, row.query));

        for tile in tiles(seen, KEYS) {
            let n_keys = tile.len();
            let scores = &mut self.scores[..m * n_keys];
            // 1. Scores of the tile.
            gemm_tile(
                (m, n_keys, d),
                T::ONE,
                (&self.q, (d, 1)),
                (keys.k_from(shape, kv_head, tile.start), (1, shape.kv_heads * d)),
                T::ZERO,
                (scores, (n_keys, 1)),
            );
            inputs.add_bias(rows, keys, tile.clone(), scores);
            // 2. Exponentials relative to the running maximum.
            inputs.visible(rows, keys, tile.clone(), &mut self.visible);
            let (max, sum) = (&mut self.max[..m], &mut self.sum[..m]);
            online_softmax(scores, &self.visible, max, sum, &mut self.shrink);
            if tile.start > 0 {
                scale_rows(&mut self.output, dv, &self.shrink[..m]);
            }
            if inputs.dropout_factors(rows, keys, tile.clone(), &mut self.factors) {
                multiply(scores, &self.factors);
            }
            // 3. Fold the values in.
            gemm_tile(
                (m, dv, n_keys),
                T::ONE,
                (scores, (n_keys, 1)),
                (keys.v_from(shape, kv_head, tile.start), (shape.kv_heads * dv, 1)),
                // The first tile overwrites what the last block left.
                if tile.start == 0 { T::ZERO } else { T::ONE },
                (&mut self.output, (dv, 1)),
            );
        }

        normalise(&mut self.output, dv, &mut self.max[..m], &self.sum[..m]);
    }
}
