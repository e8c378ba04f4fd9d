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

use rayon::prelude::*;

use super::tile::{dot, multiply, softmax_grads};
use super::{AttentionInputs, AttentionShape, KEYS, KeptKeys, ROWS, Row, broadcast_strides, tiles};
use crate::cpu::parallel::SharedMut;
use crate::cpu::real::Real;
use crate::cpu::tile_gemm::gemm_tile;

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
    let (mut q, mut k, mut v) = (
        vec![T::ZERO; inputs.q.len()],
        vec![T::ZERO; inputs.k.len()],
        vec![T::ZERO; inputs.v.len()],
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

/// One thread's tile buffers and accumulators.
struct Scratch<T> {
    /// `(ROWS, D)` queries times the scale.
    q: Vec<T>,
    /// `(ROWS, Dv)`.
    output_grad: Vec<T>,
    /// `(ROWS, KEYS)`.
    probabilities: Vec<T>,
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
            output_grad: vec![T::ZERO; rows * shape.value_dim],
            probabilities: vec![T::ZERO; rows * keys],
            score_grad: vec![T::ZERO; rows * keys],
            q_grad: vec![T::ZERO; rows * shape.head_dim],
            k_grad: vec![T::ZERO; shape.kv_len * shape.head_dim],
            v_grad: vec![T::ZERO; shape.kv_len * shape.value_dim],
            delta: vec![T::ZERO; rows],
            lse: vec![T::ZERO; rows],
            visible: Vec::with_capacity(rows),
            factors: Vec::new(),
        }
    }

    /// Fills `k_grad` and `v_grad` of one (item, key/value head) and writes its query gradients.
    fn item(
        &mut self,
        inputs: &AttentionInputs<'_, T>,
        saved: &Saved<'_, T>,
        keys: &KeptKeys<'_, T>,
        (b, kv_head): (usize, usize),
        q_grad: &SharedMut<'_, T>,
        mut slab: Option<&mut BiasSlab<T>>,
    ) {
        let shape = &inputs.shape;
        let (d, dv) = (shape.head_dim, shape.value_dim);
        self.k_grad.fill(T::ZERO);
        self.v_grad.fill(T::ZERO);
        for block in tiles(shape.rows(), ROWS) {
            let rows: Vec<Row> = block.map(|r| inputs.row(b, kv_head, r)).collect();
            inputs.pack_rows((inputs.q, d), &rows, inputs.scale, &mut self.q);
            let row_grads = (saved.output_grad, dv);
            inputs.pack_rows(row_grads, &rows, T::ONE, &mut self.output_grad);
            for (r, row) in rows.iter().enumerate() {
                self.lse[r] = saved.lse[row.stat(shape)];
                let at = row.offset(shape, dv);
                self.delta[r] = dot(&saved.output[at..at + dv], &self.output_grad[r * dv..][..dv]);
            }
            self.q_grad.fill(T::ZERO);
            let seen = rows.last().map_or(0, |row| inputs.limit(keys, row.query));
            for tile in tiles(seen, KEYS) {
                self.tile(inputs, keys, &rows, tile, slab.as_deref_mut());
            }
            for (r, row) in rows.iter().enumerate() {
                // SAFETY: a (query, head) pair belongs to one work item alone.
                unsafe { q_grad.write(row.offset(shape, d), &self.q_grad[r * d..][..d]) };
            }
        }
    }

    fn tile(
        &mut self,
        inputs: &AttentionInputs<'_, T>,
        keys: &KeptKeys<'_, T>,
        rows: &[Row],
        tile: std::ops::Range<usize>,
        slab: Option<&mut BiasSlab<T>>,
    ) {
        let shape = &inputs.shape;
        let (d, dv) = (shape.head_dim, shape.value_dim);
        let (m, n) = (rows.len(), tile.len());
        let kv_head = rows[0].head / shape.group();
        let k = keys.k_from(shape, kv_head, tile.start);
        let v = keys.v_from(shape, kv_head, tile.start);
        let (k_stride, v_stride) = (shape.kv_heads * d, shape.kv_heads * dv);

        // 1. Scores, and the gradients of the probabilities.
        let scores = &mut self.probabilities[..m * n];
        gemm_tile(
            (m, n, d),
            T::ONE,
            (&self.q, (d, 1)),
            (k, (1, k_stride)),
            T::ZERO,
            (scores, (n, 1)),
        );
        inputs.add_bias(rows, keys, tile.clone(), scores);
        let grads = &mut self.score_grad[..m * n];
        let output_grad = (&self.output_grad[..], (dv, 1));
        gemm_tile((m, n, dv), T::ONE, output_grad, (v, (1, v_stride)), T::ZERO, (grads, (n, 1)));

        // 2. Probabilities, and the gradients of the scores.
        inputs.visible(rows, keys, tile.clone(), &mut self.visible);
        for (visible, &lse) in self.visible.iter_mut().zip(&self.lse) {
            if lse == T::NEG_INFINITY {
                // The row saw no key, or only keys with a bias of -inf: a constant zero.
                *visible = 0;
            }
        }
        let drops = inputs.dropout_factors(rows, keys, tile.clone(), &mut self.factors);
        if drops {
            multiply(grads, &self.factors);
        }
        softmax_grads(scores, grads, &self.visible, &self.lse, &self.delta);
        if drops {
            multiply(scores, &self.factors);
        }
        if let Some(slab) = slab {
            for (&row, grads) in rows.iter().zip(grads.chunks(n)) {
                slab.add(row, shape, grads, tile.clone().map(|c| keys.position(c)));
            }
        }

        // 3. Fold the tile into the three gradients. `q` already holds the scale.
        let v_grad = (&mut self.v_grad[tile.start * dv..], (dv, 1));
        let probabilities = (&self.probabilities[..], (1, n));
        gemm_tile((n, dv, m), T::ONE, probabilities, output_grad, T::ONE, v_grad);
        let k_grad = (&mut self.k_grad[tile.start * d..], (d, 1));
        gemm_tile((n, d, m), T::ONE, (&self.score_grad, (1, n)), (&self.q, (d, 1)), T::ONE, k_grad);
        let q_grad = (&mut self.q_grad[..], (d, 1));
        let score_grad = (&self.score_grad[..], (n, 1));
        gemm_tile((m, d, n), inputs.scale, score_grad, (k, (k_stride, 1)), T::ONE, q_grad);
    }
}

/// The bias gradient that one work item gathers: `(G | 1, Tq | 1, Tk | 1)`.
struct BiasSlab<T> {
    values: Vec<T>,
    /// Strides over (group member, query, key), 0 where broadcast.
    strides: [usize; 3],
}

impl<T: Real> BiasSlab<T> {
    fn new(dims: [usize; 4], group: usize) -> Self {
        let heads = if dims[1] == 1 { 1 } else { group };
        let [_, h, i, j] = broadcast_strides([1, heads, dims[2], dims[3]]);
        Self { values: vec![T::ZERO; heads * dims[2] * dims[3]], strides: [h, i, j] }
    }

    fn add(
        &mut self,
        row: Row,
        shape: &AttentionShape,
        grads: &[T],
        positions: impl Iterator<Item = usize>,
    ) {
        let [h, i, j] = self.strides;
        let base = row.head % shape.group() * h + row.query * i;
        for (&g, position) in grads.iter().zip(positions) {
            self.values[base + position * j] += g;
        }
    }
}

/// Puts the slabs, ordered by (item, key/value head), together to the bias's extents.
fn combine_slabs<T: Real>(
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
