//! The forward pass: one work item per (batch item, key/value head, block of rows).

use rayon::prelude::*;

use super::block::{Block, ScoreTile};
use super::tile::{multiply, normalise, online_softmax, scale_rows};
use super::{AttentionInputs, AttentionShape, ROWS};
use cpu_math::parallel::SharedMut;
use cpu_math::real::Real;
use cpu_math::tile_gemm::gemm_tile;

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
                let (unit, index) = (task / n_blocks, task % n_blocks);
                let (b, kv_head) = (unit / shape.kv_heads, unit % shape.kv_heads);
                let rows = index * ROWS..shape.rows().min((index + 1) * ROWS);
                let block = Block::new(inputs, &keys[b], (b, kv_head), rows);
                scratch.attend(&block);
                for (r, row) in block.rows.iter().enumerate() {
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

/// One thread's buffers.
struct Scratch<T> {
    tile: ScoreTile<T>,
    /// `(ROWS, Dv)`.
    output: Vec<T>,
    /// `(ROWS,)` running maximum; the log-sum-exp at the end.
    max: Vec<T>,
    /// `(ROWS,)` running sum of exponentials.
    sum: Vec<T>,
    /// `(ROWS,)` what a rise of the maximum multiplies older sums by.
    shrink: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(shape: &AttentionShape) -> Self {
        let rows = ROWS.min(shape.rows());
        Self {
            tile: ScoreTile::new(shape),
            output: vec![T::ZERO; rows * shape.value_dim],
            max: vec![T::ZERO; rows],
            sum: vec![T::ZERO; rows],
            shrink: vec![T::ZERO; rows],
        }
    }

    /// Fills `output`, and `max` with the log-sum-exps.
    fn attend(&mut self, block: &Block<'_, T>) {
        let (m, dv) = (block.rows.len(), block.inputs.shape.value_dim);
        let (max, sum) = (&mut self.max[..m], &mut self.sum[..m]);
        max.fill(T::NEG_INFINITY);
        sum.fill(T::ZERO);
        self.tile.load(block);
        for tile in block.tiles() {
            // 1. Scores of the tile.
            self.tile.form(block, tile.clone());
            let ScoreTile { scores, visible, factors, .. } = &mut self.tile;
            let n = tile.len();
            let scores = &mut scores[..m * n];
            // 2. Exponentials relative to the running maximum.
            online_softmax(scores, visible, max, sum, &mut self.shrink);
            if tile.start > 0 {
                scale_rows(&mut self.output, dv, &self.shrink[..m]);
            }
            multiply(scores, factors);
            // 3. Fold the values in. The first tile overwrites what the last block left.
            let (v, v_stride) = block.v_from(tile.start);
            let beta = if tile.start == 0 { T::ZERO } else { T::ONE };
            let (scores, output) = ((&*scores, (n, 1)), (&mut self.output[..], (dv, 1)));
            gemm_tile((m, dv, n), T::ONE, scores, (v, (v_stride, 1)), beta, output);
        }
        normalise(&mut self.output, dv, max, sum);
    }
}
