//! The polynomial kernel of degree 2 by moments: no pair of points is ever formed.
//!
//! ```text
//! mean over pairs of (x . y + c)^2 = <X'X / n, Y'Y / m> + 2 c mean x . mean y + c^2
//! MMD^2 = |X'X / n - Y'Y / m|^2 + 2 c |mean x - mean y|^2
//! ```

use cpu_math::gemm::{MatRef, gemm_batched};
use cpu_math::parallel::{SharedMut, for_each_chunk, map_tasks, rows_per_chunk};
use cpu_math::scratch::with_scratch;
use cpu_math::tile_gemm::gemm_tile;

use super::Item;
use crate::vector::{dot, mean_row};

/// Side of a block of a moment matrix that one task computes.
const BLOCK: usize = 192;

/// Whether moments take less work than the products of all pairs.
pub(super) fn pays(n: usize, m: usize, width: usize) -> bool {
    width < n + m
}

/// Degree 2 with an offset; writes the gradients.
pub(super) fn moments(item: Item<'_>, offset: f64, unbiased: bool) -> f64 {
    let width = item.width;
    let mut second = [second_moment(item.x, width), second_moment(item.y, width)];
    let mean = [mean_row(item.x, width), mean_row(item.y, width)];
    // The difference is formed before it is squared: nothing cancels afterwards.
    let gap: Vec<f32> = second[0].iter().zip(&second[1]).map(|(x, y)| x - y).collect();
    let mean_gap: Vec<f64> = mean[0].iter().zip(&mean[1]).map(|(x, y)| x - y).collect();
    let mut value = squared_norm(&gap) + 2.0 * offset * squares(&mean_gap);

    let sides = [(item.x, item.grad_x, 1.0), (item.y, item.grad_y, -1.0)];
    for (side, (points, grad, sign)) in sides.into_iter().enumerate() {
        let n = (points.len() / width) as f64;
        let others = n - 1.0;
        let (second, mean) = (&mut second[side], &mean[side]);
        let share = if unbiased { 1.0 / others } else { 0.0 };
        if unbiased {
            let all = squared_norm(second) + 2.0 * offset * squares(mean);
            let own: f64 = points
                .chunks_exact(width)
                .map(|row| dot(row, row))
                .map(|square| square * (square + 2.0 * offset))
                .sum();
            // The offset's own square is in both and cancels.
            value += (all - own / n) / others;
        }
        for (second, gap) in second.iter_mut().zip(&gap) {
            let spread = if unbiased { share as f32 * *second } else { 0.0 };
            *second = sign as f32 * gap + spread;
        }
        let slope = Slope {
            scale: 4.0 / n,
            constant: (mean_gap.iter().zip(mean))
                .map(|(gap, mean)| sign * gap + if unbiased { share * mean } else { 0.0 })
                .map(|slope| (4.0 / n * offset * slope) as f32)
                .collect(),
            inward: unbiased.then_some(-4.0 / (n * others)),
            offset,
        };
        slope.write(points, second, width, grad);
    }
    value
}

/// The gradient of one side: `scale X G + constant + inward (|x|^2 + offset) x`.
struct Slope {
    scale: f64,
    constant: Vec<f32>,
    /// Takes a point with itself out again.
    inward: Option<f64>,
    offset: f64,
}

impl Slope {
    fn write(&self, points: &[f32], matrix: &[f32], width: usize, grad: &mut [f32]) {
        let extents = (points.len() / width, width, width);
        let (a, b) = (MatRef::new(points, (width, 1)), MatRef::new(matrix, (width, 1)));
        gemm_batched(extents, &[a], &[b], grad);
        let scale = self.scale as f32;
        for_each_chunk(grad, rows_per_chunk(width) * width, |start, grad| {
            let points = &points[start..start + grad.len()];
            for (grad, point) in grad.chunks_exact_mut(width).zip(points.chunks_exact(width)) {
                for (grad, &constant) in grad.iter_mut().zip(&self.constant) {
                    *grad = *grad * scale + constant;
                }
                if let Some(inward) = self.inward {
                    let factor = (inward * (dot(point, point) + self.offset)) as f32;
                    for (grad, &x) in grad.iter_mut().zip(point) {
                        *grad += factor * x;
                    }
                }
            }
        });
    }
}

/// `X'X / n`: `(D, D)`. Blocks on and above the diagonal are computed, the others mirrored.
fn second_moment(points: &[f32], width: usize) -> Vec<f32> {
    let n = points.len() / width;
    let mut out = vec![0.0; width * width];
    let side = width.div_ceil(BLOCK);
    let blocks: Vec<_> = (0..side).flat_map(|i| (i..side).map(move |j| (i, j))).collect();
    let shared = SharedMut::new(&mut out);
    map_tasks(blocks.len(), |task| {
        let (i, j) = (blocks[task].0 * BLOCK, blocks[task].1 * BLOCK);
        let (rows, cols) = (BLOCK.min(width - i), BLOCK.min(width - j));
        with_scratch(rows * cols, |block: &mut [f32]| {
            let (a, b) = ((&points[i..], (1, width)), (&points[j..], (width, 1)));
            gemm_tile((rows, cols, n), 1.0 / n as f32, a, b, 0.0, (block, (cols, 1)));
            for (r, row) in block.chunks_exact(cols).enumerate() {
                // SAFETY: no other task writes this block or its mirror image.
                unsafe { shared.write((i + r) * width + j, row) }
            }
            if i != j {
                let mut column = [0.0; BLOCK];
                for c in 0..cols {
                    (0..rows).for_each(|r| column[r] = block[r * cols + c]);
                    // SAFETY: as above.
                    unsafe { shared.write((j + c) * width + i, &column[..rows]) }
                }
            }
        });
    });
    out
}

/// `|x|^2` of a large matrix.
fn squared_norm(x: &[f32]) -> f64 {
    x.chunks(4096).map(|part| dot(part, part)).sum()
}

fn squares(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}
