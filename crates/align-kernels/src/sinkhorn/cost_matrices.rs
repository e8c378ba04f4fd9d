//! The costs alone, as the solvers here see them.

use cpu_math::parallel::map_tasks;

use super::cost::{from_products, products};
use super::lanes::{LANES, flat, flat_mut, vectors, with_matrices};
use super::options::{Cost, Pairing};
use super::side::Side;
use crate::error::Result;
use crate::points::Points;
use crate::ragged::Ragged;

/// Costs of every pair of checked clouds, one after another, and where each starts and the last ends.
pub(crate) fn cost_matrices(
    x: &Ragged<'_>,
    y: &Ragged<'_>,
    kind: Cost,
    pairing: Pairing,
) -> Result<(Vec<f32>, Vec<usize>)> {
    let one_cloud = is_same(&x.points(), &y.points());
    let (x, y) = (Side::new("x", &[x], &[None], kind)?, Side::new("y", &[y], &[None], kind)?);
    let grid = pairing.grid(x.items(), y.items());
    let matrices = map_tasks(grid.pairs(), |k| {
        let (i, j) = grid.items(k);
        let (n, m) = (x.count(i), y.count(j));
        if n * m == 0 {
            return Vec::new();
        }
        with_matrices(n * vectors(m), |tile, _| {
            products(x.item_points(i), y.item_points(j), x.width, tile);
            if one_cloud {
                meet_themselves(kind, &x, (x.offsets[i], n), (y.offsets[j], m), flat_mut(tile));
            }
            from_products(kind, (x.item_norms(i), y.item_norms(j)), false, tile);
            flat(tile).chunks_exact(vectors(m) * LANES).flat_map(|row| &row[..m]).copied().collect()
        })
    });
    let mut starts = vec![0];
    starts.extend(matrices.iter().scan(0, |sum, matrix: &Vec<f32>| {
        *sum += matrix.len();
        Some(*sum)
    }));
    Ok((matrices.concat(), starts))
}

/// Whether both are the same numbers in the same place.
fn is_same(x: &Points<'_>, y: &Points<'_>) -> bool {
    match (x, y) {
        (Points::F32(x), Points::F32(y)) => (x.as_ptr(), x.strides()) == (y.as_ptr(), y.strides()),
        (Points::BF16(x), Points::BF16(y)) => {
            (x.as_ptr(), x.strides()) == (y.as_ptr(), y.strides())
        }
        (Points::F16(x), Points::F16(y)) => (x.as_ptr(), x.strides()) == (y.as_ptr(), y.strides()),
        _ => false,
    }
}

/// Replaces the products of points with themselves by those that make a cost of exactly 0. Points with
/// NaN and vectors without direction keep theirs.
fn meet_themselves(
    kind: Cost,
    cloud: &Side<'_>,
    (x_start, n): (usize, usize),
    (y_start, m): (usize, usize),
    products: &mut [f32],
) {
    let stride = vectors(m) * LANES;
    for point in x_start.max(y_start)..(x_start + n).min(y_start + m) {
        let product = &mut products[(point - x_start) * stride + point - y_start];
        let norm = cloud.norms[point];
        if !product.is_nan() && norm != 0.0 {
            *product = if kind == Cost::Cosine { 1.0 } else { norm + norm };
        }
    }
}
