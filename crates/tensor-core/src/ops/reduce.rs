//! Reductions along dimensions.

use crate::autograd::Backward;
use crate::cpu::reduce;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::resolve_dim;
use crate::storage::{Device, element_dispatch, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// Sum of all elements, rank 0.
    pub fn sum_all(&self) -> Result<Tensor> {
        let all: Vec<isize> = (0..self.rank() as isize).collect();
        self.sum(&all, false)
    }

    /// Mean of all elements, rank 0; NaN for an empty tensor.
    pub fn mean_all(&self) -> Result<Tensor> {
        let all: Vec<isize> = (0..self.rank() as isize).collect();
        self.mean(&all, false)
    }

    /// Sum along `dims`, which stay with extent 1 when `keepdim`.
    ///
    /// # Numerics
    ///
    /// Lanes of f32 (f64 for f64 input), combined in a fixed order.
    pub fn sum(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let reduced = resolve_dims(dims, self.rank(), "sum")?;
        let wide = self.widened()?;
        let kept_shape = kept(self.shape(), &reduced, true);
        let out = sum_dims(&wide, &reduced)?.reshape(&kept_shape)?;
        let from = wide.shape().to_vec();
        let out = out.with_node(&[&wide], || Box::new(SumBackward { from }));
        out.reshape(&kept(self.shape(), &reduced, keepdim))?.to_dtype(self.dtype())
    }

    /// Mean along `dims`, which stay with extent 1 when `keepdim`.
    ///
    /// # Errors
    ///
    /// [`DType`](crate::ErrorKind::DType) for integers, whose mean is none.
    pub fn mean(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let reduced = resolve_dims(dims, self.rank(), "mean")?;
        let count: usize =
            (0..self.rank()).filter(|&d| reduced[d]).map(|d| self.shape()[d]).product();
        if !self.dtype().is_float() {
            let text = format!("dtype is {}, expected a floating-point one", self.dtype());
            return Err(Error::dtype("mean", text));
        }
        let sum = self.widened()?.sum(dims, keepdim)?;
        sum.mul_scalar(1.0 / count as f64)?.to_dtype(self.dtype())
    }

    /// Divides by the Euclidean norm along one dimension, `x / max(|x|, eps)`.
    ///
    /// # Source
    ///
    /// The form of PyTorch's `normalize`: a zero vector stays zero.
    pub fn l2_normalize(&self, dim: isize, eps: f64) -> Result<Tensor> {
        let x = self.widened()?;
        let norm = x.sqr()?.sum(&[dim], true)?.clamp(eps * eps, f64::INFINITY)?.sqrt()?;
        x.div(&norm)?.to_dtype(self.dtype())
    }

    /// Largest element along one dimension; the gradient goes to the first of equals.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the dimension is empty.
    pub fn max(&self, dim: isize, keepdim: bool) -> Result<Tensor> {
        let index = self.argmax(dim)?.unsqueeze(dim)?;
        let max = self.gather(dim, &index)?;
        if keepdim { Ok(max) } else { max.squeeze(dim) }
    }

    /// Index of the largest element along one dimension, as i64; the first of equals.
    ///
    /// A NaN is larger than any number, so that it is seen.
    pub fn argmax(&self, dim: isize) -> Result<Tensor> {
        let d = resolve_dim(dim, self.rank(), "argmax")?;
        let extent = self.shape()[d];
        if extent == 0 {
            let text = format!("dimension {d} of {:?} is empty", self.shape());
            return Err(Error::shape("argmax", text));
        }
        let mut order: Vec<usize> = (0..self.rank()).filter(|&axis| axis != d).collect();
        order.push(d);
        let rows = self.detach().permute(&order)?;
        let out: Vec<i64> = element_dispatch!(self.dtype(), T => {
            let values = rows.cpu_slice::<T>()?;
            values.chunks(extent).map(|row| first_largest(row) as i64).collect()
        });
        Tensor::from_vec(out, &rows.shape()[..self.rank() - 1], Device::Cpu)
    }
}

fn first_largest<T: crate::dtype::Element>(row: &[T]) -> usize {
    let mut best = 0;
    for (i, value) in row.iter().enumerate().skip(1) {
        let best_is_nan = row[best].to_f64().is_nan();
        if !best_is_nan && (*value > row[best] || value.to_f64().is_nan()) {
            best = i;
        }
    }
    best
}

/// Sum of squares of all elements, in f64.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<f64> {
    let wide = x.detach().widened()?;
    real_dispatch!(wide.dtype(), "norm", T => Ok(reduce::sum_of_squares::<T>(&wide.cpu_slice::<T>()?)))
}

/// Sums `grad` down to `shape`, undoing a broadcast.
pub(super) fn sum_to(grad: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let lead = grad.rank() - shape.len();
    let dims: Vec<isize> = (0..grad.rank())
        .filter(|&d| d < lead || (shape[d - lead] == 1 && grad.shape()[d] != 1))
        .map(|d| d as isize)
        .collect();
    if dims.is_empty() {
        return grad.reshape(shape);
    }
    grad.sum(&dims, true)?.reshape(shape)
}

fn resolve_dims(dims: &[isize], rank: usize, op: &str) -> Result<Vec<bool>> {
    let mut reduced = vec![false; rank];
    for &dim in dims {
        reduced[resolve_dim(dim, rank, op)?] = true;
    }
    Ok(reduced)
}

fn kept(shape: &[usize], reduced: &[bool], keepdim: bool) -> Vec<usize> {
    let pairs = shape.iter().zip(reduced);
    match keepdim {
        true => pairs.map(|(&extent, &r)| if r { 1 } else { extent }).collect(),
        false => pairs.filter(|&(_, &r)| !r).map(|(&extent, _)| extent).collect(),
    }
}

/// Sums of a contiguous f32 or f64 tensor; the result is flat.
fn sum_dims(x: &Tensor, reduced: &[bool]) -> Result<Tensor> {
    let shape = x.shape();
    let count = |wanted: bool| -> usize {
        shape.iter().zip(reduced).filter(|&(_, &r)| r == wanted).map(|(&e, _)| e).product()
    };
    let (outer, inner) = (count(false), count(true));
    let leading = reduced.iter().take_while(|&&r| r).count();
    let is_leading = leading > 0 && reduced[leading..].iter().all(|&r| !r);
    if x.dtype() == DType::I64 {
        return sum_integers(x, reduced, outer, inner);
    }
    real_dispatch!(x.dtype(), "sum", T => {
        let sums = if outer == 1 {
            vec![reduce::sum::<T>(&x.cpu_slice::<T>()?)]
        } else if is_leading {
            reduce::col_sums::<T>(&x.cpu_slice::<T>()?, inner, outer)
        } else {
            let rows = kept_first(x, reduced)?;
            reduce::row_sums::<T>(&rows.cpu_slice::<T>()?, outer, inner)
        };
        Tensor::from_vec(sums, &[outer], Device::Cpu)
    })
}

fn sum_integers(x: &Tensor, reduced: &[bool], outer: usize, inner: usize) -> Result<Tensor> {
    let rows = kept_first(x, reduced)?;
    let values = rows.cpu_slice::<i64>()?;
    let sums = (0..outer).map(|row| values[row * inner..(row + 1) * inner].iter().sum());
    Tensor::from_vec(sums.collect::<Vec<i64>>(), &[outer], Device::Cpu)
}

/// The view in which kept dimensions come first.
fn kept_first(x: &Tensor, reduced: &[bool]) -> Result<Tensor> {
    let order: Vec<usize> = (0..x.rank())
        .filter(|&d| !reduced[d])
        .chain((0..x.rank()).filter(|&d| reduced[d]))
        .collect();
    x.detach().permute(&order)
}

struct SumBackward {
    from: Vec<usize>,
}

impl Backward for SumBackward {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.broadcast_to(&self.from)?)])
    }
}

#[cfg(test)]
mod tests;
