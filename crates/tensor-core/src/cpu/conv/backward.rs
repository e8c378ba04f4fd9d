//! Gradients of a convolution.

use rayon::prelude::*;

use super::{ConvShape, depthwise, windows};
use cpu_math::parallel::map_tasks;
use cpu_math::real::Real;
use cpu_math::tile_gemm::gemm_tile;

/// Rows of unrolled windows that a work item aims at.
const BLOCK_ROWS: usize = 256;

impl ConvShape {
    /// In-channels of a work item of the backward passes; divides the group into equal parts but
    /// for the last.
    fn channel_block(&self) -> usize {
        (BLOCK_ROWS / self.kernel.max(1)).clamp(1, self.group_in())
    }

    /// Adds `columns: (channels * K, end - start)` back to the places of `x: (channels, T)` that
    /// `unroll` reads.
    fn fold_back<T: Real>(&self, columns: &[T], (start, end): (usize, usize), x: &mut [T]) {
        for (row, values) in columns.chunks_exact(end - start).enumerate() {
            let (channel, tap) = (row / self.kernel, row % self.kernel);
            let (from, to, source) = self.inside(tap, start, end);
            if from == to {
                continue;
            }
            let x = &mut x[channel * self.in_len..][source..self.in_len];
            let values = &values[from - start..to - start];
            if self.stride == 1 {
                for (x, &value) in x.iter_mut().zip(values) {
                    *x += value;
                }
            } else {
                for (x, &value) in x.iter_mut().step_by(self.stride).zip(values) {
                    *x += value;
                }
            }
        }
    }

    /// Borders of the chunks of output positions, for windows of `rows` rows.
    fn chunks(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let (chunk, len) = (self.chunk(rows), self.out_len);
        (0..len).step_by(chunk).map(move |start| (start, len.min(start + chunk)))
    }
}

/// `(B, I, T)` gradient with respect to the input.
pub(crate) fn conv1d_input_grad<T: Real>(
    output_grad: &[T],
    weight: &[T],
    shape: &ConvShape,
) -> Vec<T> {
    let mut grad = vec![T::ZERO; shape.batch * shape.in_channels * shape.in_len];
    if grad.is_empty() || output_grad.is_empty() {
        return grad;
    }
    if shape.is_depthwise() {
        depthwise::input_grad(output_grad, weight, shape, &mut grad);
        return grad;
    }
    if shape.suits_windows() {
        windows::input_grad(output_grad, weight, shape, &mut grad);
        return grad;
    }
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    let window = group_in * shape.kernel;
    let block = shape.channel_block();
    grad.par_chunks_mut(group_in * shape.in_len).enumerate().for_each(|(unit, grad)| {
        let (b, group) = (unit / shape.groups, unit % shape.groups);
        let first_out = b * shape.out_channels + group * group_out;
        let output_grad = &output_grad[first_out * shape.out_len..];
        let weight = &weight[group * group_out * window..][..group_out * window];
        let blocks = grad.par_chunks_mut(block * shape.in_len).enumerate();
        blocks.for_each(|(index, grad)| {
            let rows = grad.len() / shape.in_len * shape.kernel;
            let mut columns = vec![T::ZERO; rows * shape.chunk(rows).min(shape.out_len)];
            for (start, end) in shape.chunks(rows) {
                let width = end - start;
                let columns = &mut columns[..rows * width];
                gemm_tile(
                    (rows, width, group_out),
                    T::ONE,
                    (&weight[index * block * shape.kernel..], (1, window)),
                    (&output_grad[start..], (shape.out_len, 1)),
                    T::ZERO,
                    (columns, (width, 1)),
                );
                shape.fold_back(columns, (start, end), grad);
            }
        });
    });
    grad
}

/// `(O, I/g, K)` gradient with respect to the weight.
pub(crate) fn conv1d_weight_grad<T: Real>(output_grad: &[T], x: &[T], shape: &ConvShape) -> Vec<T> {
    let window = shape.group_in() * shape.kernel;
    let mut grad = vec![T::ZERO; shape.out_channels * window];
    if grad.is_empty() || output_grad.is_empty() {
        return grad;
    }
    if shape.is_depthwise() {
        depthwise::weight_grad(output_grad, x, shape, &mut grad);
        return grad;
    }
    if shape.suits_windows() {
        windows::weight_grad(output_grad, x, shape, &mut grad);
        return grad;
    }
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    let block = shape.channel_block();
    let n_blocks = group_in.div_ceil(block);
    let parts = map_tasks(shape.groups * n_blocks, |task| {
        let (group, index) = (task / n_blocks, task % n_blocks);
        let first = index * block;
        let rows = block.min(group_in - first) * shape.kernel;
        let mut part = vec![T::ZERO; group_out * rows];
        let mut columns = vec![T::ZERO; rows * shape.chunk(rows).min(shape.out_len)];
        for b in 0..shape.batch {
            let x = &x[(b * shape.in_channels + group * group_in + first) * shape.in_len..];
            let first_out = b * shape.out_channels + group * group_out;
            for (start, end) in shape.chunks(rows) {
                let width = end - start;
                let columns = &mut columns[..rows * width];
                shape.unroll(x, (start, end), columns);
                gemm_tile(
                    (group_out, rows, width),
                    T::ONE,
                    (&output_grad[first_out * shape.out_len + start..], (shape.out_len, 1)),
                    (columns, (1, width)),
                    T::ONE,
                    (&mut part, (rows, 1)),
                );
            }
        }
        part
    });
    for (task, part) in parts.iter().enumerate() {
        let (group, index) = (task / n_blocks, task % n_blocks);
        let rows = part.len() / group_out;
        for (o, values) in part.chunks_exact(rows).enumerate() {
            let at = (group * group_out + o) * window + index * block * shape.kernel;
            grad[at..at + rows].copy_from_slice(values);
        }
    }
    grad
}

/// `(O,)` gradient with respect to the bias, summed in f64.
pub(crate) fn conv1d_bias_grad<T: Real>(output_grad: &[T], shape: &ConvShape) -> Vec<T> {
    let len = shape.out_len;
    map_tasks(shape.out_channels, |o| {
        let total: f64 = (0..shape.batch)
            .map(|b| {
                let row = &output_grad[(b * shape.out_channels + o) * len..][..len];
                row.iter().map(|g| g.to_f64()).sum::<f64>()
            })
            .sum();
        T::from_f64(total)
    })
}
