//! One-dimensional convolution by matrix products.
//!
//! Where channels are many, the product runs over the windows as they lie in memory, see
//! [`windows`]. Otherwise they are unrolled. Windows of a chunk of output positions are copied into the columns of a matrix (`im2col`),
//! which the weights multiply. Chunks are as long as keeps that matrix under a fixed size,
//! so memory does not grow with the sequence. Each pass cuts its work so that work items share
//! no output:
//!
//! | pass            | work item                                | output of one item         |
//! |-----------------|------------------------------------------|----------------------------|
//! | forward         | batch item, group, chunk of positions    | `(O/g, chunk)`             |
//! | input gradient  | batch item, group, block of in-channels  | `(channels, T)`            |
//! | weight gradient | group, block of in-channels              | `(O/g, channels * K)`      |
//!
//! A depthwise convolution has no matrix product in it and goes to [`depthwise`].

mod backward;
mod depthwise;
mod windows;

use rayon::prelude::*;

pub(crate) use backward::{conv1d_bias_grad, conv1d_input_grad, conv1d_weight_grad};

use cpu_math::parallel::SharedMut;
use cpu_math::real::Real;
use cpu_math::tile_gemm::gemm_tile;

/// Extents and steps of one convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) batch: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) in_len: usize,
    pub(crate) out_len: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
    /// Divides both channel counts.
    pub(crate) groups: usize,
}

/// Elements of an unrolled chunk: 512 KiB of f32.
const COLUMNS: usize = 1 << 17;
/// Output positions of a chunk, at least and at most.
const CHUNK_RANGE: (usize, usize) = (32, 512);

impl ConvShape {
    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    fn is_depthwise(&self) -> bool {
        self.group_in() == 1 && self.group_out() == 1
    }

    /// Positions of a chunk whose unrolled windows have `rows` rows.
    fn chunk(&self, rows: usize) -> usize {
        (COLUMNS / rows.max(1)).clamp(CHUNK_RANGE.0, CHUNK_RANGE.1)
    }

    /// Of output positions `start..end`, those whose window element `tap` lies inside the input,
    /// and the input position of the first.
    fn inside(&self, tap: usize, start: usize, end: usize) -> (usize, usize, usize) {
        let shift = tap * self.dilation;
        // Position p reads input p * stride + shift - padding.
        let first = self.padding.saturating_sub(shift).div_ceil(self.stride);
        let past = (self.in_len + self.padding).saturating_sub(shift).div_ceil(self.stride);
        let from = first.clamp(start, end);
        let to = past.clamp(from, end);
        (from, to, (from * self.stride + shift).saturating_sub(self.padding))
    }

    /// Unrolls channel rows `x: (channels, T)` at output positions `start..end` into
    /// `columns: (channels * K, end - start)`. Elements outside the input are zero.
    fn unroll<T: Real>(&self, x: &[T], (start, end): (usize, usize), columns: &mut [T]) {
        let width = end - start;
        let rows = columns.chunks_exact_mut(width);
        for (row, out) in rows.enumerate() {
            let (channel, tap) = (row / self.kernel, row % self.kernel);
            let (from, to, source) = self.inside(tap, start, end);
            out[..from - start].fill(T::ZERO);
            out[to - start..].fill(T::ZERO);
            if from == to {
                continue;
            }
            let x = &x[channel * self.in_len..][source..self.in_len];
            let out = &mut out[from - start..to - start];
            if self.stride == 1 {
                out.copy_from_slice(&x[..to - from]);
            } else {
                for (o, &x) in out.iter_mut().zip(x.iter().step_by(self.stride)) {
                    *o = x;
                }
            }
        }
    }
}

/// `(B, O, T')` from `x: (B, I, T)`, `weight: (O, I/g, K)` and `bias: (O,)`.
pub(crate) fn conv1d<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    shape: &ConvShape,
) -> Vec<T> {
    let mut out = vec![T::ZERO; shape.batch * shape.out_channels * shape.out_len];
    if out.is_empty() {
        return out;
    }
    if shape.is_depthwise() {
        depthwise::forward(x, weight, bias, shape, &mut out);
        return out;
    }
    if shape.suits_windows() {
        windows::forward(x, weight, bias, shape, &mut out);
        return out;
    }
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    let window = group_in * shape.kernel;
    let chunk = shape.chunk(window);
    let n_chunks = shape.out_len.div_ceil(chunk);
    let shared = SharedMut::new(&mut out);
    (0..shape.batch * shape.groups * n_chunks).into_par_iter().for_each_init(
        || (vec![T::ZERO; window * chunk], vec![T::ZERO; group_out * chunk]),
        |(columns, product), task| {
            let (unit, index) = (task / n_chunks, task % n_chunks);
            let (b, group) = (unit / shape.groups, unit % shape.groups);
            let (start, end) = (index * chunk, shape.out_len.min((index + 1) * chunk));
            let width = end - start;
            let channels = b * shape.in_channels + group * group_in;
            let columns = &mut columns[..window * width];
            shape.unroll(&x[channels * shape.in_len..], (start, end), columns);
            let weight = &weight[group * group_out * window..][..group_out * window];
            let product = &mut product[..group_out * width];
            let first_out = group * group_out;
            if let Some(bias) = bias {
                for (row, &bias) in product.chunks_exact_mut(width).zip(&bias[first_out..]) {
                    row.fill(bias);
                }
            }
            gemm_tile(
                (group_out, width, window),
                T::ONE,
                (weight, (window, 1)),
                (columns, (width, 1)),
                if bias.is_some() { T::ONE } else { T::ZERO },
                (product, (width, 1)),
            );
            for (o, values) in product.chunks_exact(width).enumerate() {
                let row = b * shape.out_channels + first_out + o;
                // SAFETY: these positions of these channels belong to this work item alone.
                unsafe { shared.write(row * shape.out_len + start, values) }
            }
        },
    );
    out
}

/// Whether [`conv1d_rows`] can do it.
pub(crate) fn suits_rows(shape: &ConvShape) -> bool {
    shape.suits_windows() && shape.groups == 1 && shape.padding == 0
}

/// As [`conv1d`], from `x: (B, T, I)` to `(B, T', O)`.
pub(crate) fn conv1d_rows<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    shape: &ConvShape,
) -> Vec<T> {
    let mut out = vec![T::ZERO; shape.batch * shape.out_channels * shape.out_len];
    windows::forward_rows(x, weight, bias, shape, &mut out);
    out
}

#[cfg(test)]
mod tests;
