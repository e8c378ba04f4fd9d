//! Convolution with one channel a group: a sum of shifted rows.

use rayon::prelude::*;

use super::ConvShape;
use crate::cpu::reduce::sum_map2;
use cpu_math::parallel::map_tasks;
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

pub(super) fn forward<T: Real>(
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    shape: &ConvShape,
    out: &mut [T],
) {
    out.par_chunks_mut(shape.out_len).enumerate().for_each(|(row, out)| {
        let channel = row % shape.out_channels;
        let x = &x[row * shape.in_len..][..shape.in_len];
        out.fill(bias.map_or(T::ZERO, |bias| bias[channel]));
        for tap in 0..shape.kernel {
            let (from, to, source) = shape.inside(tap, 0, shape.out_len);
            if from < to {
                let weight = weight[channel * shape.kernel + tap];
                add_scaled(&mut out[from..to], 1, &x[source..], shape.stride, weight);
            }
        }
    });
}

pub(super) fn input_grad<T: Real>(
    output_grad: &[T],
    weight: &[T],
    shape: &ConvShape,
    grad: &mut [T],
) {
    grad.par_chunks_mut(shape.in_len).enumerate().for_each(|(row, grad)| {
        let channel = row % shape.in_channels;
        let output_grad = &output_grad[row * shape.out_len..][..shape.out_len];
        for tap in 0..shape.kernel {
            let (from, to, source) = shape.inside(tap, 0, shape.out_len);
            if from < to {
                let weight = weight[channel * shape.kernel + tap];
                let output_grad = &output_grad[from..to];
                add_scaled(&mut grad[source..], shape.stride, output_grad, 1, weight);
            }
        }
    });
}

pub(super) fn weight_grad<T: Real>(output_grad: &[T], x: &[T], shape: &ConvShape, grad: &mut [T]) {
    let sums = map_tasks(shape.out_channels, |channel| {
        let tap_sum = |tap| {
            let (from, to, source) = shape.inside(tap, 0, shape.out_len);
            let mut total = 0.0;
            for b in 0..shape.batch {
                let row = b * shape.out_channels + channel;
                let output_grad = &output_grad[row * shape.out_len..][from..to];
                let x = &x[row * shape.in_len..][..shape.in_len];
                // An empty range may start past the end.
                let x = x.get(source..).unwrap_or_default();
                total += dot(output_grad, x, shape.stride).to_f64();
            }
            T::from_f64(total)
        };
        (0..shape.kernel).map(tap_sum).collect::<Vec<T>>()
    });
    for (to, from) in grad.chunks_mut(shape.kernel).zip(sums) {
        to.copy_from_slice(&from);
    }
}

simd_dispatch! {
    /// `out[i * out_step] += factor * x[i * x_step]`.
    fn add_scaled<T: Real>(out: &mut [T], out_step: usize, x: &[T], x_step: usize, factor: T) {
        if out_step == 1 && x_step == 1 {
            for (o, &x) in out.iter_mut().zip(x) {
                *o += factor * x;
            }
        } else {
            for (o, &x) in out.iter_mut().step_by(out_step).zip(x.iter().step_by(x_step)) {
                *o += factor * x;
            }
        }
    }

    /// `sum_i a[i] x[i * x_step]` over the elements of `a`.
    fn dot<T: Real>(a: &[T], x: &[T], x_step: usize) -> T {
        if x_step == 1 {
            sum_map2(a, &x[..a.len()], |a, x| a * x)
        } else {
            a.iter().zip(x.iter().step_by(x_step)).map(|(&a, &x)| a * x).sum()
        }
    }
}
