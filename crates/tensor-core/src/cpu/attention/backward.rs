//! The backward pass: one work item per (batch item, key/value head), tiles formed again.
//!
//! With `P` the probabilities, `M` the dropout factors and `delta_i = <dO_i, O_i>`:
//!
//! ```text
//! dV = (P M)^T dO      dP = M (dO V^T)      dS = P (dP - delta)
//! dQ = scale dS K      dK = scale dS^T Q    dBias = dS, summed over broadcast extents
//! ```
//!
//! Dao et al. 2022, arXiv:2205.14135, appendix B.4.

use std::ops::Range;

use rayon::prelude::*;

use super::bias::{BiasSlab, combine_slabs};
use super::block::{Block, ScoreTile};
use super::kept_keys::KeptKeys;
use super::tile::{dot, multiply, softmax_grads};
use super::{AttentionInputs, AttentionShape, ROWS, tiles};
use cpu_math::parallel::SharedMut;
use cpu_math::real::Real;
use cpu_math::tile_gemm::gemm_tile;

/// Gradients in the layouts of their operands.
pub(crate) struct AttentionGrads<T> {
    pub(crate) q: Vec<T>,
    pub(crate) k: Vec<T>,
    pub(crate) v: Vec<T>,
    /// In the bias's own extents, when asked for.
    pub(crate) bias: Option<Vec<T>>,
}

/// Gradients of `<output_grad, output>`, from the forward pass's output and log-sum-exp.
pub(crate) fn attention_backward<T: Real>(
    inputs: &AttentionInputs<'_, T>,
    output: &[T],
    lse: &[T],
    output_grad: &[T],
    wants_bias: bool,
) -> AttentionGrads<T> {
    let shape = &inputs.shape;
    let n_keys = shape.batch * shape.kv_len * shape.kv_heads;
    let (mut q, mut k, mut v) = (
        vec![T::ZERO; inputs.q.len()],
        vec![T::ZERO; n_keys * shape.head_dim],
        vec![T::ZERO; n_keys * shape.value_dim],
    );
    let saved = Saved { output, lse, output_grad };
    let bias_dims = inputs.bias.filter(|_| wants_bias).map(|bias| bias.dims);
    // A bias shared by the batch gets its terms item after item, within one work item per head.
    let shared_by_batch = bias_dims.is_some_and(|dims| dims[0] == 1);
    let n_outer = if shared_by_batch { 1 } else { shape.batch };
    let keys = inputs.kept_keys();
    let slabs: Vec<Option<BiasSlab<T>>> = {
        let (q, k, v) = (SharedMut::new(&mut q), SharedMut::new(&mut k), SharedMut::new(&mut v));
        (0..n_outer * shape.kv_heads)
            .into_par_iter()
            .with_min_len(shape.grain(shape.rows()))
            .map_init(
                || Scratch::new(shape),
                |scratch, unit| {
                    let (outer, kv_head) = (unit / shape.kv_heads, unit % shape.kv_heads);
                    let items = if shared_by_batch { 0..shape.batch } else { outer..outer + 1 };
                    let mut slab = bias_dims.map(|dims| BiasSlab::new(dims, shape.group()));
                    for b in items {
                        let keys = &keys[b];
                        scratch.item(inputs, &saved, keys, (b, kv_head), &q, slab.as_mut());
                        let (d, dv) = (shape.head_dim, shape.value_dim);
                        for c in 0..keys.len {
                            let row =
                                (b * shape.kv_len + keys.position(c)) * shape.kv_heads + kv_head;
                            // SAFETY: the rows of one (item, key/value head) belong to this work
                            // item alone.
                            unsafe {
                                k.write(row * d, &scratch.k_grad[c * d..][..d]);
                                v.write(row * dv, &scratch.v_grad[c * dv..][..dv]);
                            }
                        }
                    }
                    slab
                },
            )
            .collect()
    };
    let bias = bias_dims.map(|dims| combine_slabs(dims, shape, slabs.into_iter().flatten()));
    AttentionGrads { q, k, v, bias }
}

/// What the forward pass left, and the gradient that came in.
struct Saved<'a, T> {
    /// `(B, Tq, H, Dv)`.
    output: &'a [T],
    /// `(B, H, Tq)`.
    lse: &'a [T],
    /// `(B, Tq, H, Dv)`.
    output_grad: &'a [T],
}

/// One thread's buffers and accumulators.
struct Scratch<T> {
    /// Scores become probabilities, and with dropout those times its factors.
    tile: ScoreTile<T>,
    /// `(ROWS, Dv)`.
    output_grad: Vec<T>,
    /// `(ROWS, KEYS)` gradients of the probabilities, then of the scores.
    score_grad: Vec<T>,
    /// `(ROWS, D)`.
    q_grad: Vec<T>,
    /// `(Tk, D)`, kept keys alone.
    k_grad: Vec<T>,
    /// `(Tk, Dv)`, kept keys alone.
    v_grad: Vec<T>,
    /// `(ROWS,)`: `<dO_i, O_i>`.
    delta: Vec<T>,
    /// `(ROWS,)` log-sum-exps.
    lse: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(shape: &AttentionShape) -> Self {
        let rows = ROWS.min(shape.rows());
        let tile = ScoreTile::new(shape);
        Self {
            output_grad: vec![T::ZERO; rows * shape.value_dim],
            score_grad: vec![T::ZERO; tile.scores.len()],
            q_grad: vec![T::ZERO; rows * shape.head_dim],
            k_grad: vec![T::ZERO; shape.kv_len * shape.head_dim],
            v_grad: vec![T::ZERO; shape.kv_len * shape.value_dim],
            delta: vec![T::ZERO; rows],
            lse: vec![T::ZERO; rows],
            tile,
        }
    }

    /// Fills `k_grad` and `v_grad` of one (item, key/value head) and writes its query gradients.
    fn item(
        &mut self,
        inputs: &AttentionInputs<'_, T>,
        saved: &Saved<'_, T>,
        keys: &KeptKeys<'_, T>,
        unit: (usize, usize),
        q_grad: &SharedMut<'_, T>,
        mut slab: Option<&mut BiasSlab<T>>,
    ) {
        let shape = &inputs.shape;
        let (d, dv) = (shape.head_dim, shape.value_dim);
        self.k_grad.fill(T::ZERO);
        self.v_grad.fill(T::ZERO);
        for rows in tiles(shape.rows(), ROWS) {
            let block = Block::new(inputs, keys, unit, rows);
            self.tile.load(&block);
            block.pack(saved.output_grad, dv, T::ONE, &mut self.output_grad);
            for (r, row) in block.rows.iter().enumerate() {
                self.lse[r] = saved.lse[row.stat(shape)];
                let at = row.offset(shape, dv);
                self.delta[r] = dot(&saved.output[at..at + dv], &self.output_grad[r * dv..][..dv]);
            }
            self.q_grad.fill(T::ZERO);
            for tile in block.tiles() {
                self.fold_tile(&block, tile, slab.as_deref_mut());
            }
            for (r, row) in block.rows.iter().enumerate() {
                // SAFETY: a (query, head) pair belongs to one work item alone.
                unsafe { q_grad.write(row.offset(shape, d), &self.q_grad[r * d..][..d]) };
            }
        }
    }

    /// Adds what kept keys `tile` contribute to the block's gradients.
    fn fold_tile(
        &mut self,
        block: &Block<'_, T>,
        tile: Range<usize>,
        slab: Option<&mut BiasSlab<T>>,
    ) {
        let shape = &block.inputs.shape;
        let (d, dv) = (shape.head_dim, shape.value_dim);
        let (m, n) = (block.rows.len(), tile.len());

        // 1. Scores, and the gradients of the probabilities.
        self.tile.form(block, tile.clone());
        let ScoreTile { q, scores, visible, factors } = &mut self.tile;
        let (scores, grads) = (&mut scores[..m * n], &mut self.score_grad[..m * n]);
        let output_grad = (&self.output_grad[..], (dv, 1));
        let (v, v_stride) = block.v_from(tile.start);
        gemm_tile((m, n, dv), T::ONE, output_grad, (v, (1, v_stride)), T::ZERO, (grads, (n, 1)));

        // 2. Probabilities, and the gradients of the scores.
        for (visible, &lse) in visible.iter_mut().zip(&self.lse) {
            if lse == T::NEG_INFINITY {
                // The row saw no key, or only keys with a bias of -inf: a constant zero.
                *visible = 0;
            }
        }
        multiply(grads, factors);
        softmax_grads(scores, grads, visible, &self.lse, &self.delta);
        multiply(scores, factors);
        if let Some(slab) = slab {
            for (&row, grads) in block.rows.iter().zip(grads.chunks(n)) {
                slab.add(row, shape, block.keys, tile.clone(), grads);
            }
        }

        // 3. Fold the tile into the three gradients. `q` already holds the scale.
        let v_grad = (&mut self.v_grad[tile.start * dv..], (dv, 1));
        gemm_tile((n, dv, m), T::ONE, (&*scores, (1, n)), output_grad, T::ONE, v_grad);
        let k_grad = (&mut self.k_grad[tile.start * d..], (d, 1));
        gemm_tile((n, d, m), T::ONE, (&*grads, (1, n)), (&*q, (d, 1)), T::ONE, k_grad);
        let (k, k_stride) = block.k_from(tile.start);
        let q_grad = (&mut self.q_grad[..], (d, 1));
        let (grads, k) = ((&*grads, (n, 1)), (k, (k_stride, 1)));
        gemm_tile((m, d, n), block.inputs.scale, grads, k, T::ONE, q_grad);
    }
}
