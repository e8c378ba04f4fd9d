//! Softmax, log-softmax and log-sum-exp.

use crate::autograd::Backward;
use crate::cpu::softmax;
use crate::error::{Error, Result};
use crate::shape::resolve_dim;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// `exp(x) / sum(exp(x))` over the last dimension.
    ///
    /// # Numerics
    ///
    /// The maximum is subtracted first. A row of -infinity gives NaN, as in PyTorch.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) for a tensor of rank 0.
    pub fn softmax(&self) -> Result<Tensor> {
        normalize(self, false)
    }

    /// Logarithm of [`softmax`](Self::softmax), without forming the quotient.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) for a tensor of rank 0.
    pub fn log_softmax(&self) -> Result<Tensor> {
        normalize(self, true)
    }

    /// `ln(sum(exp(x)))` along one dimension, which stays with extent 1 when `keepdim`.
    ///
    /// # Numerics
    ///
    /// The maximum is subtracted first; -infinity where every element is, and where the dimension
    /// is empty.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no such dimension.
    pub fn logsumexp(&self, dim: isize, keepdim: bool) -> Result<Tensor> {
        let rank = self.rank();
        let d = resolve_dim(dim, rank, "logsumexp")?;
        let mut order: Vec<usize> = (0..rank).filter(|&axis| axis != d).collect();
        order.push(d);
        let x = self.permute(&order)?.widened()?;
        let (shape, width) = (&x.shape()[..rank - 1], x.shape()[rank - 1]);
        let rows: usize = shape.iter().product();
        let lse = real_dispatch!(x.dtype(), "logsumexp", T => {
            let lse = softmax::logsumexp::<T>(&x.cpu_slice::<T>()?, rows, width);
            Tensor::from_vec(lse, shape, Device::Cpu)
        })?;
        let saved = lse.clone();
        let lse = lse
            .with_node(&[&x], || Box::new(LogSumExpBackward { x: x.detach(), lse: saved }))
            .to_dtype(self.dtype())?;
        if keepdim { lse.unsqueeze(d as isize) } else { Ok(lse) }
    }
}

fn normalize(input: &Tensor, log: bool) -> Result<Tensor> {
    let op = if log { "log_softmax" } else { "softmax" };
    let width = last_dim(input, op)?;
    let x = input.widened()?;
    let y = real_dispatch!(x.dtype(), op, T => {
        let forward = if log { softmax::log_softmax::<T> } else { softmax::softmax::<T> };
        Tensor::from_vec(forward(&x.cpu_slice::<T>()?, width), x.shape(), Device::Cpu)
    })?;
    let saved = y.clone();
    y.with_node(&[&x], || Box::new(SoftmaxBackward { y: saved, log })).to_dtype(input.dtype())
}

fn last_dim(x: &Tensor, op: &str) -> Result<usize> {
    x.shape()
        .last()
        .copied()
        .ok_or_else(|| Error::shape(op, "input has rank 0, expected at least one dimension"))
}

struct SoftmaxBackward {
    y: Tensor,
    log: bool,
}

impl Backward for SoftmaxBackward {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (name, width) = (self.name(), last_dim(&self.y, "softmax")?);
        let dx = real_dispatch!(self.y.dtype(), name, T => {
            let (y, dy) = (self.y.cpu_slice::<T>()?, grad.cpu_slice::<T>()?);
            let dx = if self.log {
                softmax::log_softmax_backward::<T>(&y, &dy, width)
            } else {
                softmax::softmax_backward::<T>(&y, &dy, width)
            };
            Tensor::from_vec(dx, self.y.shape(), Device::Cpu)
        })?;
        Ok(vec![Some(dx)])
    }
}

struct LogSumExpBackward {
    x: Tensor,
    lse: Tensor,
}

impl Backward for LogSumExpBackward {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let width = last_dim(&self.x, "logsumexp")?;
        let dx = real_dispatch!(self.x.dtype(), "logsumexp", T => {
            let (x, lse) = (self.x.cpu_slice::<T>()?, self.lse.cpu_slice::<T>()?);
            let dx = softmax::logsumexp_backward::<T>(&x, &lse, &grad.cpu_slice::<T>()?, width);
            Tensor::from_vec(dx, self.x.shape(), Device::Cpu)
        })?;
        Ok(vec![Some(dx)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::testing::{gradcheck, noise};

    #[test]
    fn gradients_agree_with_finite_differences() {
        for shape in [&[1][..], &[1, 7], &[5, 1], &[3, 4, 17], &[2, 129]] {
            let x = noise(shape, 1);
            gradcheck(|x| x[0].mul_scalar(4.0)?.softmax(), std::slice::from_ref(&x));
            gradcheck(|x| x[0].mul_scalar(4.0)?.log_softmax(), std::slice::from_ref(&x));
            for dim in 0..shape.len() as isize {
                gradcheck(|x| x[0].logsumexp(dim, true), std::slice::from_ref(&x));
                gradcheck(|x| x[0].logsumexp(dim, false), std::slice::from_ref(&x));
            }
        }
        gradcheck(|x| x[0].transpose(0, 1)?.softmax(), &[noise(&[5, 3], 2)]);
    }

    #[test]
    fn logsumexp_reduces_the_dimension_it_is_given() -> Result<()> {
        let x = noise(&[2, 3, 5], 3);
        assert_eq!(x.logsumexp(1, false)?.shape(), [2, 5]);
        assert_eq!(x.logsumexp(-2, true)?.shape(), [2, 1, 5]);
        let by_hand = x.exp()?.sum(&[1], false)?.log()?.to_vec_f64()?;
        for (got, want) in x.logsumexp(1, false)?.to_vec_f64()?.iter().zip(by_hand) {
            assert!((got - want).abs() < 1e-12);
        }
        Ok(())
    }

    #[test]
    fn a_scalar_is_refused() {
        let error = noise(&[], 1).softmax().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
    }
}
