//! Kernels by tiles of pairs: products, then kernel values, then their part of the gradient, and
//! the tile is forgotten.
//!
//! With `Z` the points of both sides and `P_ij` the weight of a pair,
//!
//! ```text
//! MMD^2  = sum_ij P_ij k(z_i, z_j)       P = 1/n^2 within x, 1/m^2 within y, -1/(n m) across
//! grad_i = 2 sum_j P_ij k'(z_i, z_j)     = 2 (sum_j W_ij z_j - z_i sum_j V_ij)
//! ```
//!
//! where a kernel of products has `V = 0` and a kernel of distances `V = W`. All matrices are
//! symmetric: each pair of blocks is multiplied once and serves both of its sides.

use std::ops::Range;

use cpu_math::gemm::MatRef;
use cpu_math::parallel::{SharedMut, map_tasks};
use cpu_math::scratch::with_scratch;
use cpu_math::tile_gemm::{gemm_at, gemm_tile};

use super::Item;
use super::rounds::rounds;

/// Most points in a block: a tile of products (256 KB) stays in a core's second-level cache.
const BLOCK: usize = 256;

/// One tile of products, with what its points are.
pub(super) struct Tile<'a> {
    /// `(rows, cols)` products; becomes `P_ij` times the derivative.
    pub products: &'a mut [f32],
    /// Points of rows and of columns, among all.
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// `P_ij`, equal for the whole tile.
    pub weight: f64,
    /// Whether pairs of a point with itself are left out; matters on the diagonal.
    pub skip_self: bool,
}

impl Tile<'_> {
    /// Whether the tile pairs a block with itself.
    pub fn on_diagonal(&self) -> bool {
        self.rows == self.cols
    }
}

/// Sums over a tile's derivatives, where the kernel needs them.
#[derive(Default)]
pub(super) struct Sums {
    /// Kernel values, unweighted.
    pub value: f64,
    /// `V` summed over columns, one a row; empty for kernels of products.
    pub rows: Vec<f64>,
    /// `V` summed over rows, one a column.
    pub cols: Vec<f64>,
}

/// A kernel as a function of tiles of products.
pub(super) trait TileKernel: Sync {
    /// Replaces products by weighted derivatives.
    fn apply(&self, tile: Tile<'_>) -> Sums;
}

/// Points of both sides, one after the other.
pub(super) struct Cloud<'a> {
    /// `(N + M, D)`.
    pub points: &'a [f32],
    /// `N`.
    pub split: usize,
    /// `D`.
    pub width: usize,
}

/// A range of points, all of one side.
#[derive(Clone)]
struct Block {
    rows: Range<usize>,
    of_x: bool,
}

/// Sums the kernel over all pairs; writes the gradients.
pub(super) fn all_pairs(
    cloud: &Cloud<'_>,
    kernel: &impl TileKernel,
    unbiased: bool,
    item: Item<'_>,
) -> f64 {
    let (width, count) = (cloud.width, cloud.points.len() / cloud.width);
    let blocks = cut(cloud.split, count);
    let columns = transposed(cloud, &blocks);
    let mut grad = vec![0.0f32; count * width];
    let mut pulls = vec![0.0f64; count];
    let (shared_grad, shared_pulls) = (SharedMut::new(&mut grad), SharedMut::new(&mut pulls));
    let (n, m) = (cloud.split as f64, (count - cloud.split) as f64);
    let own = |n: f64| 1.0 / if unbiased { n * (n - 1.0) } else { n * n };

    let run = |i: usize, j: usize| {
        let (a, b) = (&blocks[i], &blocks[j]);
        let weight = match (a.of_x, b.of_x) {
            (true, true) => own(n),
            (false, false) => own(m),
            _ => -1.0 / (n * m),
        };
        let (rows, cols) = (a.rows.len(), b.rows.len());
        let block = |at: &Block| &cloud.points[at.rows.start * width..at.rows.end * width];
        with_scratch(rows * cols, |products: &mut [f32]| {
            let (left, right) =
                ((block(a), (width, 1)), (&columns[b.rows.start * width..], (cols, 1)));
            gemm_tile((rows, cols, width), 1.0, left, right, 0.0, (products, (cols, 1)));
            let tile = Tile {
                products: &mut *products,
                rows: a.rows.clone(),
                cols: b.rows.clone(),
                weight,
                skip_self: unbiased,
            };
            let sums = kernel.apply(tile);
            // SAFETY: tiles that run together share no block, so nobody else reaches the rows of
            // `a` and `b`; both gradients are initialised.
            unsafe {
                let products = MatRef::new(products, (cols, 1));
                add_product(products, (rows, cols), block(b), width, &shared_grad, a.rows.start);
                add(&shared_pulls, a.rows.start, &sums.rows);
                if i != j {
                    let turned = MatRef::new(products.data, (1, cols));
                    add_product(turned, (cols, rows), block(a), width, &shared_grad, b.rows.start);
                    add(&shared_pulls, b.rows.start, &sums.cols);
                }
            }
            // A tile off the diagonal stands for its mirror image too.
            weight * sums.value * if i == j { 1.0 } else { 2.0 }
        })
    };
    let mut value: f64 = map_tasks(blocks.len(), |i| run(i, i)).iter().sum();
    for round in rounds(blocks.len()) {
        value += map_tasks(round.len(), |k| run(round[k].0, round[k].1)).iter().sum::<f64>();
    }

    let (grad_x, grad_y) = grad.split_at(cloud.split * width);
    let sides = [(item.grad_x, grad_x, 0), (item.grad_y, grad_y, cloud.split)];
    for (out, sums, first) in sides {
        let rows = cpu_math::parallel::rows_per_chunk(width);
        cpu_math::parallel::for_each_chunk(out, rows * width, |start, out| {
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                let (row, pull) = (start / width + r, pulls[first + start / width + r] as f32);
                let point = &cloud.points[(first + row) * width..][..width];
                for ((out, &sum), &z) in out.iter_mut().zip(&sums[row * width..]).zip(point) {
                    *out = 2.0 * (sum - pull * z);
                }
            }
        });
    }
    value
}

/// `grad[first..] += tile x points`.
///
/// # Safety
///
/// Nobody else reaches the `extents.0` rows of `grad` from `first` on.
unsafe fn add_product(
    tile: MatRef<'_, f32>,
    (rows, inner): (usize, usize),
    points: &[f32],
    width: usize,
    grad: &SharedMut<'_, f32>,
    first: usize,
) {
    let points = MatRef::new(points, (width, 1));
    tile.check(rows, inner);
    points.check(inner, width);
    // SAFETY: operands lie within their slices by the checks; the output by the contract.
    unsafe {
        let out = (grad.pointer(first * width), (width, 1));
        gemm_at((rows, width, inner), 1.0, tile, points, 1.0, out);
    }
}

/// `out[first..] += sums`.
///
/// # Safety
///
/// Nobody else reaches these elements.
unsafe fn add(out: &SharedMut<'_, f64>, first: usize, sums: &[f64]) {
    for (k, sum) in sums.iter().enumerate() {
        // SAFETY: by the contract.
        unsafe { *out.pointer(first + k) += sum };
    }
}

/// Blocks of nearly equal size, none with points of both sides.
fn cut(split: usize, count: usize) -> Vec<Block> {
    let mut blocks = vec![];
    for (start, end, of_x) in [(0, split, true), (split, count, false)] {
        let parts = (end - start).div_ceil(BLOCK).max(1);
        let size = (end - start).div_ceil(parts).next_multiple_of(16);
        for first in (start..end).step_by(size.max(1)) {
            blocks.push(Block { rows: first..(first + size).min(end), of_x });
        }
    }
    blocks
}

/// Each block of points as columns, `(D, rows)`, at the place of the block: products read it in
/// order.
fn transposed(cloud: &Cloud<'_>, blocks: &[Block]) -> Vec<f32> {
    let width = cloud.width;
    let mut out = vec![0.0; cloud.points.len()];
    let shared = SharedMut::new(&mut out);
    map_tasks(blocks.len(), |k| {
        let rows = blocks[k].rows.clone();
        let points = &cloud.points[rows.start * width..rows.end * width];
        let mut column = [0.0; BLOCK];
        for d in 0..width {
            for (value, row) in column.iter_mut().zip(points.chunks_exact(width)) {
                *value = row[d];
            }
            // SAFETY: blocks do not overlap.
            unsafe { shared.write(rows.start * width + d * rows.len(), &column[..rows.len()]) }
        }
    });
    out
}
