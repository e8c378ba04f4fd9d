//! The linear kernel: the squared distance between two means.

use cpu_math::parallel::{for_each_chunk, rows_per_chunk};

use super::Item;
use crate::vector::{combine, dot, mean_row};

/// ```text
/// biased     |mean x - mean y|^2
/// unbiased   that plus, for each side, (|mean|^2 - mean of |point|^2) / (n - 1)
/// ```
pub(super) fn linear(item: Item<'_>, unbiased: bool) -> f64 {
    let width = item.width;
    let (mean_x, mean_y) = (mean_row(item.x, width), mean_row(item.y, width));
    let gap: Vec<f64> = mean_x.iter().zip(&mean_y).map(|(x, y)| x - y).collect();
    let mut value: f64 = gap.iter().map(|gap| gap * gap).sum();
    let sides = [(item.x, item.grad_x, mean_x, 1.0), (item.y, item.grad_y, mean_y, -1.0)];
    for (points, grad, mean, sign) in sides {
        let n = (points.len() / width) as f64;
        let others = n - 1.0;
        let scale = 2.0 / n;
        let constant: Vec<f32> = mean
            .iter()
            .zip(&gap)
            .map(|(mean, gap)| sign * gap + if unbiased { mean / others } else { 0.0 })
            .map(|slope| (scale * slope) as f32)
            .collect();
        let inward = if unbiased { (-scale / others) as f32 } else { 0.0 };
        for_each_chunk(grad, rows_per_chunk(width) * width, |start, grad| {
            let points = &points[start..start + grad.len()];
            for (grad, point) in grad.chunks_exact_mut(width).zip(points.chunks_exact(width)) {
                grad.copy_from_slice(&constant);
                if unbiased {
                    combine(grad, 1.0, inward, point);
                }
            }
        });
        if unbiased {
            let squares: f64 = points.chunks_exact(width).map(|row| dot(row, row)).sum();
            let of_mean: f64 = mean.iter().map(|mean| mean * mean).sum();
            value += (of_mean - squares / n) / others;
        }
    }
    value
}
