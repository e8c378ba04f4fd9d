//! The linear-time estimator: each point meets two others.

use rayon::prelude::*;

use super::Item;
use super::gaussian::{Stage, of_distance, stages};
use super::options::Kernel;
use crate::vector::{dot, squared_distance};

/// Quadruples that one task works on.
const CHUNK: usize = 64;

/// Mean over quadruples of `k(x, x') + k(y, y') - k(x, y') - k(x', y)`; writes the gradients.
pub(super) fn linear_time(item: Item<'_>, kernel: &Kernel) -> f64 {
    let width = item.width;
    let points = item.x.len().min(item.y.len()) / width / 2 * 2;
    let weight = 2.0 / points as f64;
    let pair = Pair::new(kernel, weight as f32);
    let (used, part) = (points * width, 2 * CHUNK * width);
    let sums: Vec<f64> = item.grad_x[..used]
        .par_chunks_mut(part)
        .zip(item.grad_y[..used].par_chunks_mut(part))
        .zip(item.x[..used].par_chunks(part).zip(item.y[..used].par_chunks(part)))
        .map(|((grad_x, grad_y), (x, y))| {
            let mut sum = 0.0;
            let twos = grad_x.chunks_exact_mut(2 * width).zip(grad_y.chunks_exact_mut(2 * width));
            for ((grad_x, grad_y), (x, y)) in
                twos.zip(x.chunks_exact(2 * width).zip(y.chunks_exact(2 * width)))
            {
                let (x0, x1) = x.split_at(width);
                let (y0, y1) = y.split_at(width);
                let (gx0, gx1) = grad_x.split_at_mut(width);
                let (gy0, gy1) = grad_y.split_at_mut(width);
                sum += pair.add((x0, gx0), (x1, gx1), 1.0);
                sum += pair.add((y0, gy0), (y1, gy1), 1.0);
                sum -= pair.add((x0, gx0), (y1, gy1), -1.0);
                sum -= pair.add((x1, gx1), (y0, gy0), -1.0);
            }
            sum
        })
        .collect();
    weight * sums.iter().sum::<f64>()
}

/// The kernel of one pair of points.
enum Pair {
    Products { degree: i32, offset: f64, weight: f32 },
    Distances { stages: Vec<Stage>, weight: f32 },
}

impl Pair {
    fn new(kernel: &Kernel, weight: f32) -> Self {
        match kernel {
            Kernel::Linear => Self::Products { degree: 1, offset: 0.0, weight },
            Kernel::Polynomial { degree, offset } => {
                Self::Products { degree: *degree as i32, offset: *offset, weight }
            }
            Kernel::Gaussian { bandwidths } => {
                Self::Distances { stages: stages(bandwidths), weight }
            }
        }
    }

    /// `k(a, b)`; adds `sign * weight` times its derivatives to the gradients beside the points.
    fn add(&self, a: (&[f32], &mut [f32]), b: (&[f32], &mut [f32]), sign: f32) -> f64 {
        let both = a.0.iter().zip(b.0).zip(a.1.iter_mut().zip(b.1));
        match self {
            Self::Products { degree, offset, weight } => {
                let base = dot(a.0, b.0) + offset;
                let below = base.powi(degree - 1);
                let slope = sign * weight * (f64::from(*degree) * below) as f32;
                for ((&a, &b), (grad_a, grad_b)) in both {
                    *grad_a += slope * b;
                    *grad_b += slope * a;
                }
                below * base
            }
            Self::Distances { stages, weight } => {
                let (value, slope) = of_distance(squared_distance(a.0, b.0) as f32, stages);
                let slope = sign * weight * slope;
                for ((&a, &b), (grad_a, grad_b)) in both {
                    let pull = slope * (b - a);
                    *grad_a += pull;
                    *grad_b -= pull;
                }
                f64::from(value)
            }
        }
    }
}
