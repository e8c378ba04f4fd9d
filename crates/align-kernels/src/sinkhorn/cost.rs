//! Cost tiles from inner products, and back: how a plan becomes gradients of points.
//!
//! All three costs are functions of `<x, y>` and of norms taken from the same f32 points, so a batch of
//! pairs needs one matrix product. Every gradient is likewise of the form `diag(G 1) X - G Y`.

#![expect(clippy::needless_range_loop, reason = "lanes by index become one vector")]

use cpu_math::gemm::{MatRef, Onto, gemm_batched, gemm_onto};
use cpu_math::parallel::rows_per_chunk;
use cpu_math::simd_dispatch;
use cpu_math::tile_gemm::gemm_tile;
use rayon::prelude::*;

use super::lanes::{LANES, Lanes, flat, flat_mut, vectors};
use super::options::Cost;
use crate::vector::{combine, dot};

/// Least squared distance under the root of the Euclidean cost, as in GeomLoss.
const LEAST_SQUARED_DISTANCE: f32 = 1e-8;

/// Costs from which those of one pair are worth several threads.
const PARALLEL: usize = 1 << 18;

/// Multiply-adds from which the product of one pair is worth several threads.
const LARGE: usize = 1 << 26;

/// Writes the inner products of `x: (N, D)` and `y: (M, D)` into a padded tile.
pub(super) fn products(x: &[f32], y: &[f32], width: usize, tile: &mut [Lanes]) {
    let (n, m) = (x.len() / width, y.len() / width);
    let stride = vectors(m) * LANES;
    if n * m * width >= LARGE {
        let mut out = vec![0.0; n * m];
        let (x, y) = (MatRef::new(x, (width, 1)), MatRef::new(y, (1, width)));
        gemm_batched((n, m, width), &[x], &[y], &mut out);
        for (tile, out) in flat_mut(tile).chunks_exact_mut(stride).zip(out.chunks_exact(m)) {
            tile[..m].copy_from_slice(out);
        }
    } else {
        let (x, y) = ((x, (width, 1)), (y, (1, width)));
        gemm_tile((n, m, width), 1.0, x, y, 0.0, (flat_mut(tile), (stride, 1)));
    }
}

/// Fills a tile with the costs of inner products that lie elsewhere, row by row; a large one in parallel.
pub(super) fn from_rows<'a>(
    kind: Cost,
    (x_norms, y_norms): (&[f32], &[f32]),
    products: impl Fn(usize) -> &'a [f32] + Sync,
    tile: &mut [Lanes],
) {
    let (m, width) = (y_norms.len(), vectors(y_norms.len()));
    let part = |(from, norms, tile): (usize, &[f32], &mut [Lanes])| {
        for (r, row) in tile.chunks_exact_mut(width).enumerate() {
            flat_mut(row)[..m].copy_from_slice(products(from + r));
        }
        from_products(kind, (norms, y_norms), false, tile);
    };
    let rows = rows_per_chunk(m);
    if x_norms.len() * m <= PARALLEL {
        let parts = x_norms.chunks(rows).zip(tile.chunks_mut(rows * width)).enumerate();
        parts.for_each(|(k, (norms, tile))| part((k * rows, norms, tile)));
    } else {
        let parts = x_norms.par_chunks(rows).zip(tile.par_chunks_mut(rows * width)).enumerate();
        parts.for_each(|(k, (norms, tile))| part((k * rows, norms, tile)));
    }
}

/// Turns a tile of inner products into costs. `is_self` makes the diagonal exact.
pub(super) fn from_products(
    kind: Cost,
    (x_norms, y_norms): (&[f32], &[f32]),
    is_self: bool,
    tile: &mut [Lanes],
) {
    let (m, width) = (y_norms.len(), vectors(y_norms.len()));
    for (i, (row, &x_norm)) in tile.chunks_exact_mut(width).zip(x_norms).enumerate() {
        let row = &mut flat_mut(row)[..];
        row[m..].fill(0.0);
        if is_self && kind != Cost::Cosine && !row[i].is_nan() {
            row[i] = x_norm + x_norm;
        }
        match kind {
            Cost::SqEuclidean => half_squared(x_norm, y_norms, &mut row[..m]),
            Cost::Euclidean => distance(x_norm, y_norms, &mut row[..m]),
            Cost::Cosine => {
                row[..m].iter_mut().for_each(|c| *c = 1.0 - *c);
                if is_self && x_norm != 0.0 && !row[i].is_nan() {
                    row[i] = 0.0;
                }
            }
        }
    }
}

simd_dispatch! {
    fn half_squared(x_norm: f32, y_norms: &[f32], row: &mut [f32]) -> () {
        for (c, y) in row.iter_mut().zip(y_norms) {
            *c = (x_norm + y) - *c;
        }
    }

    fn distance(x_norm: f32, y_norms: &[f32], row: &mut [f32]) -> () {
        for (c, y) in row.iter_mut().zip(y_norms) {
            let squared = 2.0 * ((x_norm + y) - *c);
            // A comparison that is false for NaN lets NaN through.
            let squared =
                if squared < LEAST_SQUARED_DISTANCE { LEAST_SQUARED_DISTANCE } else { squared };
            *c = squared.sqrt();
        }
    }

    /// Multiplies a plan by its upstream weight, and for distances by `1 / C`; returns the row sums and
    /// adds to the column sums.
    fn weigh_rows(
        weight: f32,
        by_distance: bool,
        cost: &[Lanes],
        plan: &mut [Lanes],
        columns: &mut [Lanes],
    ) -> Vec<f32> {
        let width = columns.len();
        // Costs of exactly the bound have no gradient.
        let least = LEAST_SQUARED_DISTANCE.sqrt();
        let mut rows = Vec::with_capacity(cost.len() / width);
        for (cost, plan) in cost.chunks_exact(width).zip(plan.chunks_exact_mut(width)) {
            let mut sums = [0f32; LANES];
            for j in 0..width {
                for l in 0..LANES {
                    let c = cost[j].0[l];
                    let factor = if c <= least { 0.0 } else { 1.0 / c };
                    let factor = if by_distance { factor } else { 1.0 };
                    let p = plan[j].0[l] * (factor * weight);
                    plan[j].0[l] = p;
                    sums[l] += p;
                    columns[j].0[l] += p;
                }
            }
            rows.push(Lanes(sums).sum());
        }
        rows
    }
}

/// Turns a plan into `G`, upstream weight included; returns its row and column sums.
pub(super) fn weigh(
    kind: Cost,
    weight: f32,
    cost: &[Lanes],
    plan: &mut [Lanes],
    m: usize,
) -> (Vec<f32>, Vec<f32>) {
    let mut columns = vec![Lanes::splat(0.0); vectors(m)];
    let rows = weigh_rows(weight, kind == Cost::Euclidean, cost, plan, &mut columns);
    (rows, flat(&columns)[..m].to_vec())
}

/// `out += factor op(G) points` for a padded `G: (N, width)`, transposed where `turned`.
pub(super) fn add_product(
    factor: f32,
    g: &[Lanes],
    (n, m): (usize, usize),
    turned: bool,
    points: &[f32],
    d: usize,
    out: &mut [f32],
) {
    let stride = vectors(m) * LANES;
    let (extents, strides) =
        if turned { ((m, d, n), (1, stride)) } else { ((n, d, m), (stride, 1)) };
    if n * m * d >= LARGE {
        let (g, points) = (MatRef::new(flat(g), strides), MatRef::new(points, (d, 1)));
        gemm_onto(extents, factor, g, points, Onto { keep: true, rows: None }, out);
    } else {
        gemm_tile(extents, factor, (flat(g), strides), (points, (d, 1)), 1.0, (out, (d, 1)));
    }
}

/// `out_i = sums_i points_i`.
pub(super) fn set_scaled_rows(sums: &[f32], points: &[f32], d: usize, out: &mut [f32]) {
    for ((out, x), &s) in out.chunks_exact_mut(d).zip(points.chunks_exact(d)).zip(sums) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = s * x);
    }
}

/// Adds `sums_i points_i` to the rows of `out`.
pub(super) fn add_scaled_rows(sums: &[f32], points: &[f32], d: usize, out: &mut [f32]) {
    for ((out, x), &s) in out.chunks_exact_mut(d).zip(points.chunks_exact(d)).zip(sums) {
        combine(out, 1.0, s, x);
    }
}

/// From gradients of unit vectors to those of the vectors: the part along each is taken off, and the
/// rest divided by its length. `norms` are inverse lengths.
pub(super) fn through_lengths(norms: &[f32], units: &[f32], d: usize, grad: &mut [f32]) {
    let rows = rows_per_chunk(d);
    let parts = grad.par_chunks_mut(rows * d).zip(units.par_chunks(rows * d));
    parts.zip(norms.par_chunks(rows)).for_each(|((grad, units), norms)| {
        let rows = grad.chunks_exact_mut(d).zip(units.chunks_exact(d)).zip(norms);
        rows.for_each(|((grad, unit), &norm)| {
            combine(grad, norm, -(dot(grad, unit) as f32), unit);
        });
    });
}
