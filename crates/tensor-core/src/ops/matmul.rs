//! Matrix products.
//!
//! Operands are read through their strides, so a transposed view costs nothing.

use cpu_math::gemm_bf16;
use cpu_math::linear::{self, Weights};
use half::bf16;

use crate::autograd::Backward;
use crate::cpu::strided;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::promote::promoted;
use crate::shape::broadcast_shape;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;
use cpu_math::gemm::{self, MatRef};

impl Tensor {
    /// Matrix product over the last two dimensions; the others broadcast.
    ///
    /// # Shapes
    ///
    /// `(.., M, K) x (.., K, N) -> (.., M, N)`.
    ///
    /// # Numerics
    ///
    /// f32 and f64 in their own precision; bf16 x bf16 accumulates in f32 and rounds once. f16
    /// computes in f32. A bf16 operand beside an f32 one is widened.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        let (a, b) = operands(self, other, "matmul")?;
        if a.rank() < 2 || b.rank() < 2 || a.dim(-1)? != b.dim(-2)? {
            return Err(Error::shape(
                "matmul",
                format!("{:?} x {:?}, expected (.., M, K) x (.., K, N)", a.shape(), b.shape()),
            ));
        }
        let batch =
            broadcast_shape(&a.shape()[..a.rank() - 2], &b.shape()[..b.rank() - 2], "matmul")?;
        let of = |x: &Tensor| {
            let mut shape = batch.clone();
            shape.extend(&x.shape()[x.rank() - 2..]);
            x.broadcast_to(&shape)
        };
        let (a, b) = (of(&a)?, of(&b)?);
        let out = product(&a, &b)?;
        let out = out.with_node(&[&a, &b], || {
            Box::new(MatmulBackward {
                a: b.requires_grad().then(|| a.detach()),
                b: a.requires_grad().then(|| b.detach()),
            })
        });
        narrowed(out, self, other)
    }

    /// `x W' + bias`, the affine map of a linear layer.
    ///
    /// # Shapes
    ///
    /// | argument | shape      |
    /// |----------|------------|
    /// | `self`   | `(.., I)`  |
    /// | `weight` | `(O, I)`   |
    /// | `bias`   | `(O)`      |
    /// | result   | `(.., O)`  |
    ///
    /// # Numerics
    ///
    /// As [`matmul`](Self::matmul), except that bf16 and f16 weights beside an f32 input are multiplied
    /// as they are stored, forwards and backwards: with their exact values and f32 sums, without an f32
    /// copy. A row of an f32 input has the same result beside any others, up to 32 rows in all. The bias
    /// is rounded to the dtype of the product and added there.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let shapes_fit = weight.rank() == 2
            && self.rank() >= 1
            && self.dim(-1)? == weight.shape()[1]
            && bias.is_none_or(|bias| bias.shape() == [weight.shape()[0]]);
        if !shapes_fit {
            return Err(Error::shape(
                "linear",
                format!(
                    "input {:?}, weight {:?}, bias {:?}, expected (.., I), (O, I), (O)",
                    self.shape(),
                    weight.shape(),
                    bias.map(Tensor::shape)
                ),
            ));
        }
        let (outputs, inputs) = (weight.shape()[0], weight.shape()[1]);
        let mut shape = self.shape().to_vec();
        shape[self.rank() - 1] = outputs;
        let rows = shape[..self.rank() - 1].iter().product();
        let x = self.reshape(&[rows, inputs])?;
        let (x, w) = match (x.dtype(), weight.dtype()) {
            (DType::F32, DType::BF16 | DType::F16) => (x, weight.clone()),
            _ => operands(&x, weight, "linear")?,
        };
        let mut y = match x.dtype() {
            DType::F32 => product_with_stored(&x, &w)?,
            _ => product(&x, &w.detach().transpose(0, 1)?)?,
        };
        let bias = bias
            .map(|bias| promoted("linear", &[&y, bias]).and_then(|_| bias.to_dtype(y.dtype())))
            .transpose()?;
        if let Some(bias) = &bias {
            y = add_to_rows(y, bias)?;
        }
        let mut parents = vec![&x, &w];
        parents.extend(&bias);
        let y = y.with_node(&parents, || {
            Box::new(LinearBackward {
                x: w.requires_grad().then(|| (x.detach(), w.dtype())),
                weight: x.requires_grad().then(|| w.detach()),
                bias: bias.as_ref().map(Tensor::requires_grad),
            })
        });
        narrowed(y.reshape(&shape)?, self, weight)
    }
}

/// Both operands in the dtype the product runs in: bf16 when both are, else f32 or f64.
fn operands(a: &Tensor, b: &Tensor, op: &str) -> Result<(Tensor, Tensor)> {
    let dtype = match promoted(op, &[a, b])? {
        DType::F16 => DType::F32,
        dtype => dtype,
    };
    Ok((a.to_dtype(dtype)?, b.to_dtype(dtype)?))
}

/// The product of two f16 operands, which [`operands`] widened, back in f16; any other as it is.
fn narrowed(product: Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (a.dtype(), b.dtype()) {
        (DType::F16, DType::F16) => product.to_dtype(DType::F16),
        _ => Ok(product),
    }
}

/// `a x b` of two operands with equal batch dimensions, f32, f64 or both bf16.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let rank = a.rank();
    let (m, k, n) = (a.shape()[rank - 2], a.shape()[rank - 1], b.shape()[rank - 1]);
    let batch = &a.shape()[..rank - 2];
    let count: usize = batch.iter().product();
    let mut shape = batch.to_vec();
    shape.extend([m, n]);
    if a.elem_count() == 0 || b.elem_count() == 0 {
        // Its matrices start outside an empty storage.
        return Tensor::zeros(&shape, a.dtype(), Device::Cpu);
    }
    let (starts_a, starts_b) = (starts(a), starts(b));
    let strides = |x: &Tensor| {
        let strides = &x.layout().strides;
        (strides[rank - 2], strides[rank - 1])
    };
    if a.dtype() == DType::BF16 {
        let (raw_a, raw_b) = (a.raw::<bf16>()?, b.raw::<bf16>()?);
        let mut out = vec![bf16::ZERO; count * m * n];
        gemm_bf16::gemm_each(
            (m, n, k),
            &starts_a.iter().map(|&at| MatRef::new(&raw_a[at..], strides(a))).collect::<Vec<_>>(),
            &starts_b.iter().map(|&at| MatRef::new(&raw_b[at..], strides(b))).collect::<Vec<_>>(),
            &mut out,
        );
        return Tensor::from_vec(out, &shape, Device::Cpu);
    }
    real_dispatch!(a.dtype(), "matmul", T => {
        let (raw_a, raw_b) = (a.raw::<T>()?, b.raw::<T>()?);
        let mut out = vec![T::default(); count * m * n];
        gemm::gemm_batched(
            (m, n, k),
            &starts_a.iter().map(|&at| MatRef::new(&raw_a[at..], strides(a))).collect::<Vec<_>>(),
            &starts_b.iter().map(|&at| MatRef::new(&raw_b[at..], strides(b))).collect::<Vec<_>>(),
            &mut out,
        );
        Tensor::from_vec(out, &shape, Device::Cpu)
    })
}

/// `x w'` of an f32 input `(M, I)` and a weight `(O, I)` in f32, bf16 or f16.
fn product_with_stored(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (m, outputs, inputs) = (x.shape()[0], w.shape()[0], w.shape()[1]);
    let mut y = vec![0.0; m * outputs];
    let (x, w) = (x.cpu_slice::<f32>()?, w.contiguous()?);
    linear::forward((m, outputs, inputs), &x, stored(&w)?, &mut y);
    Tensor::from_vec(y, &[m, outputs], Device::Cpu)
}

/// `dy w`, as [`product_with_stored`].
fn gradient_through_stored(dy: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (m, outputs, inputs) = (dy.shape()[0], w.shape()[0], w.shape()[1]);
    let mut dx = vec![0.0; m * inputs];
    let (dy, w) = (dy.cpu_slice::<f32>()?, w.contiguous()?);
    linear::input_gradient((m, outputs, inputs), &dy, stored(&w)?, &mut dx);
    Tensor::from_vec(dx, &[m, inputs], Device::Cpu)
}

/// The elements of a contiguous weight.
fn stored(w: &Tensor) -> Result<Weights<'_>> {
    let (from, to) = (w.layout().offset, w.layout().offset + w.elem_count());
    Ok(match w.dtype() {
        DType::BF16 => Weights::BF16(&w.raw()?[from..to]),
        DType::F16 => Weights::F16(&w.raw()?[from..to]),
        _ => Weights::F32(&w.raw()?[from..to]),
    })
}

/// Offset of each matrix of a batch in the raw storage.
fn starts(x: &Tensor) -> Vec<usize> {
    let layout = x.layout();
    let batch = &layout.shape[..layout.shape.len() - 2];
    let count: usize = batch.iter().product();
    (0..count)
        .map(|mut item| {
            let mut at = layout.offset;
            for (&extent, &stride) in batch.iter().zip(&layout.strides).rev() {
                at += (item % extent) * stride;
                item /= extent;
            }
            at
        })
        .collect()
}

/// Adds a row vector to every row of a fresh product, in place where the dtype allows.
fn add_to_rows(mut y: Tensor, bias: &Tensor) -> Result<Tensor> {
    if y.dtype() == DType::F32
        && let Some(values) = y.unique_slice_mut::<f32>()
    {
        strided::add_row_assign(values, &bias.cpu_slice::<f32>()?);
        return Ok(y);
    }
    y.add(&bias.detach())
}

struct LinearBackward {
    /// The input, for the gradient of a weight of this dtype.
    x: Option<(Tensor, DType)>,
    weight: Option<Tensor>,
    /// Whether there is a bias, and whether it wants a gradient.
    bias: Option<bool>,
}

impl Backward for LinearBackward {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dx = self.weight.map(|weight| {
            if weight.dtype() == grad.dtype() {
                product(grad, &weight)
            } else {
                gradient_through_stored(grad, &weight)
            }
        });
        let dw = self.x.map(|(x, dtype)| product(&grad.transpose(0, 1)?, &x)?.to_dtype(dtype));
        let (dx, dw) = (dx.transpose()?, dw.transpose()?);
        let mut grads = vec![dx, dw];
        if let Some(wanted) = self.bias {
            grads.push(wanted.then(|| grad.sum(&[0], false)).transpose()?);
        }
        Ok(grads)
    }
}

struct MatmulBackward {
    a: Option<Tensor>,
    b: Option<Tensor>,
}

impl Backward for MatmulBackward {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let da = self.b.map(|b| grad.matmul(&b.transpose(-1, -2)?)).transpose()?;
        let db = self.a.map(|a| a.transpose(-1, -2)?.matmul(grad)).transpose()?;
        Ok(vec![da, db])
    }
}

#[cfg(test)]
mod tests;
