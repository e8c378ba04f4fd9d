//! One-dimensional convolution.

use crate::autograd::Backward;
use crate::cpu::conv::{
    ConvShape, conv1d, conv1d_bias_grad, conv1d_input_grad, conv1d_rows, conv1d_weight_grad,
    suits_rows,
};
use crate::error::{Error, Result};
use crate::ops::promote::{promoted, ready};
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

/// Steps of [`Tensor::conv1d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv1dOptions {
    /// Input positions from one window to the next, at least 1.
    pub stride: usize,
    /// Zeros put before and after the input.
    pub padding: usize,
    /// Input positions from one element of a window to the next, at least 1.
    pub dilation: usize,
    /// Blocks of channels that do not see each other; divides both channel counts.
    pub groups: usize,
}

impl Default for Conv1dOptions {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

impl Tensor {
    /// Convolves along the last dimension (as networks do: the kernel is not reversed).
    ///
    /// ```text
    /// y[b, o, t] = bias[o] + sum_{i, k} weight[o, i, k] x[b, g(o) I/g + i, t stride + k dilation - padding]
    /// T' = floor((T + 2 padding - dilation (K - 1) - 1) / stride) + 1
    /// ```
    ///
    /// # Shapes
    ///
    /// | argument | shape          | meaning                  |
    /// |----------|----------------|--------------------------|
    /// | `self`   | `(B, I, T)`    | input                    |
    /// | `weight` | `(O, I/g, K)`  | `g` is `options.groups`  |
    /// | `bias`   | `(O)`          | optional                 |
    /// | result   | `(B, O, T')`   |                          |
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the extents disagree or the padded input is shorter
    /// than a window; [`Option`](crate::ErrorKind::Option) when a step is 0;
    /// [`DType`](crate::ErrorKind::DType) when the dtypes do not mix.
    ///
    /// # Numerics
    ///
    /// bf16 and f16 compute in f32 and round once. Scratch memory is at most a copy of an item.
    ///
    /// Where channels are many and nothing is padded, an input that is a transposed view of
    /// `(B, T, I)`, as norms over channels leave it, is not copied, and the result is a transposed
    /// view of `(B, T', O)`.
    pub fn conv1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: Conv1dOptions,
    ) -> Result<Tensor> {
        let shape = checked_shape(self, weight, bias, options)?;
        let mut operands = vec![self, weight];
        operands.extend(bias);
        let dtype = promoted("conv1d", &operands)?;
        // Time outermost.
        let rows = self.transpose(1, 2)?;
        let as_rows = rows.is_contiguous() && suits_rows(&shape);
        let x = match as_rows {
            true => ready(&rows, dtype)?.transpose(1, 2)?,
            false => ready(self, dtype)?,
        };
        let weight = ready(weight, dtype)?;
        let bias = bias.map(|bias| ready(bias, dtype)).transpose()?;
        let y = real_dispatch!(x.dtype(), "conv1d", T => {
            let bias = bias.as_ref().map(|bias| bias.cpu_slice::<T>()).transpose()?;
            let weight = weight.cpu_slice::<T>()?;
            if as_rows {
                let rows = x.detach().transpose(1, 2)?;
                let values = conv1d_rows(&rows.cpu_slice::<T>()?, &weight, bias.as_deref(), &shape);
                let extents = [shape.batch, shape.out_len, shape.out_channels];
                Tensor::from_vec(values, &extents, Device::Cpu)?.transpose(1, 2)
            } else {
                let values = conv1d(&x.cpu_slice::<T>()?, &weight, bias.as_deref(), &shape);
                let extents = [shape.batch, shape.out_channels, shape.out_len];
                Tensor::from_vec(values, &extents, Device::Cpu)
            }
        })?;
        let mut parents = vec![&x, &weight];
        parents.extend(&bias);
        y.with_node(&parents, || {
            Box::new(Conv1dBackward {
                shape,
                x: weight.requires_grad().then(|| x.detach()),
                weight: x.requires_grad().then(|| weight.detach()),
                weight_extents: weight.shape().to_vec(),
                bias: bias.as_ref().map(Tensor::requires_grad),
            })
        })
        .to_dtype(dtype)
    }
}

fn checked_shape(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: Conv1dOptions,
) -> Result<ConvShape> {
    let Conv1dOptions { stride, padding, dilation, groups } = options;
    if stride == 0 || dilation == 0 || groups == 0 {
        return Err(Error::option(
            "conv1d",
            format!("stride {stride}, dilation {dilation}, groups {groups}, expected at least 1"),
        ));
    }
    let (&[batch, in_channels, in_len], &[out_channels, group_in, kernel]) =
        (x.shape(), weight.shape())
    else {
        return Err(Error::shape(
            "conv1d",
            format!(
                "x {:?}, weight {:?}, expected (B, I, T), (O, I/g, K)",
                x.shape(),
                weight.shape()
            ),
        ));
    };
    if group_in.checked_mul(groups) != Some(in_channels)
        || out_channels % groups != 0
        || kernel == 0
        || bias.is_some_and(|bias| bias.shape() != [out_channels])
    {
        return Err(Error::shape(
            "conv1d",
            format!(
                "x {:?}, weight {:?}, bias {:?} in {groups} groups, expected (B, I, T), (O, I/g, K), (O)",
                x.shape(),
                weight.shape(),
                bias.map(Tensor::shape)
            ),
        ));
    }
    let span = dilation.checked_mul(kernel - 1).and_then(|reach| reach.checked_add(1));
    let padded = padding.checked_mul(2).and_then(|zeros| zeros.checked_add(in_len));
    let room = padded.zip(span).and_then(|(padded, span)| padded.checked_sub(span));
    let Some(steps) = room else {
        return Err(Error::shape(
            "conv1d",
            format!(
                "input of {in_len} padded by {padding}, \
                 expected at least a window of {kernel} dilated by {dilation}"
            ),
        ));
    };
    Ok(ConvShape {
        batch,
        in_channels,
        out_channels,
        in_len,
        out_len: steps / stride + 1,
        kernel,
        stride,
        padding,
        dilation,
        groups,
    })
}

struct Conv1dBackward {
    shape: ConvShape,
    /// For the weight's gradient, where one is wanted.
    x: Option<Tensor>,
    /// For the input's gradient, where one is wanted.
    weight: Option<Tensor>,
    weight_extents: Vec<usize>,
    /// Whether there is a bias, and whether it wants a gradient.
    bias: Option<bool>,
}

impl Backward for Conv1dBackward {
    fn name(&self) -> &'static str {
        "conv1d"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let shape = &self.shape;
        real_dispatch!(grad.dtype(), "conv1d", T => {
            let grad = grad.cpu_slice::<T>()?;
            let tensor = |values: Vec<T>, extents: &[usize]| {
                Tensor::from_vec(values, extents, Device::Cpu)
            };
            let input_extents = [shape.batch, shape.in_channels, shape.in_len];
            let input_grad = self.weight.as_ref().map(|weight| {
                let values = conv1d_input_grad(&grad, &weight.cpu_slice::<T>()?, shape);
                tensor(values, &input_extents)
            });
            let weight_grad = self.x.as_ref().map(|x| {
                let values = conv1d_weight_grad(&grad, &x.cpu_slice::<T>()?, shape);
                tensor(values, &self.weight_extents)
            });
            let mut all = vec![input_grad.transpose()?, weight_grad.transpose()?];
            if let Some(wanted) = self.bias {
                let bias_grad =
                    wanted.then(|| tensor(conv1d_bias_grad(&grad, shape), &[shape.out_channels]));
                all.push(bias_grad.transpose()?);
            }
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests;
