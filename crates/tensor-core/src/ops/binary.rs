//! Arithmetic of two tensors, element by element, with NumPy broadcasting.

use crate::autograd::Backward;
use crate::cpu::strided;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::ops::promote::meet;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

impl Binary {
    fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Max => "maximum",
            Binary::Min => "minimum",
        }
    }
}

impl Tensor {
    /// `self + other`; bf16 or f16 beside f32 promotes to f32.
    pub fn add(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Add, self, other)
    }

    /// `self - other`.
    pub fn sub(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Sub, self, other)
    }

    /// `self * other`, element by element.
    pub fn mul(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Mul, self, other)
    }

    /// `self / other`, element by element.
    pub fn div(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Div, self, other)
    }

    /// The larger of two elements, NaN if either is; on a tie the gradient goes to `self`.
    pub fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Max, self, other)
    }

    /// The smaller of two elements, NaN if either is; on a tie the gradient goes to `self`.
    pub fn minimum(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Min, self, other)
    }
}

fn binary(op: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = meet(a, b, op.name())?;
    let out = match a.dtype() {
        DType::BF16 => narrow_binary::<half::bf16>(op, &a, &b)?,
        DType::F16 => narrow_binary::<half::f16>(op, &a, &b)?,
        DType::I64 => wide_binary::<i64>(op, &a, &b)?,
        dtype => real_dispatch!(dtype, op.name(), T => wide_binary::<T>(op, &a, &b))?,
    };
    Ok(out.with_node(&[&a, &b], || {
        let keep = |wanted: bool, tensor: &Tensor| wanted.then(|| tensor.detach());
        // The factor that the other side's gradient needs.
        let products = matches!(op, Binary::Mul | Binary::Div);
        let choice = matches!(op, Binary::Max | Binary::Min);
        Box::new(BinaryBackward {
            op,
            a: keep(choice || (products && b.requires_grad()), &a),
            b: keep(choice || (op == Binary::Div) || (products && a.requires_grad()), &b),
            wants: [a.requires_grad(), b.requires_grad()],
        })
    }))
}

fn wide_binary<T>(op: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor>
where
    T: Element
        + std::ops::Add<Output = T>
        + std::ops::Sub<Output = T>
        + std::ops::Mul<Output = T>
        + std::ops::Div<Output = T>,
{
    if op == Binary::Div && T::DTYPE == DType::I64 {
        return Err(Error::dtype("div", "operands are i64, expected a floating-point dtype"));
    }
    let (x, y, la, lb) = (a.raw::<T>()?, b.raw::<T>()?, a.layout(), b.layout());
    let out = match op {
        Binary::Add => strided::binary(x, la, y, lb, |x, y| x + y),
        Binary::Sub => strided::binary(x, la, y, lb, |x, y| x - y),
        Binary::Mul => strided::binary(x, la, y, lb, |x, y| x * y),
        Binary::Div => strided::binary(x, la, y, lb, |x, y| x / y),
        // A NaN in `x` compares with nothing and stays; one in `y` is taken by the last branch.
        Binary::Max => {
            strided::binary(x, la, y, lb, |x, y| if x >= y || is_nan(x) { x } else { y })
        }
        Binary::Min => {
            strided::binary(x, la, y, lb, |x, y| if x <= y || is_nan(x) { x } else { y })
        }
    };
    Tensor::from_vec(out, a.shape(), Device::Cpu)
}

/// The value unequal to itself.
#[expect(clippy::eq_op, reason = "NaN is the one value unequal to itself")]
fn is_nan<T: Element>(x: T) -> bool {
    x != x
}

/// Computes in f32 and rounds once.
fn narrow_binary<T: Element>(op: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let wide = |x: &Tensor| x.detach().to_dtype(DType::F32);
    wide_binary::<f32>(op, &wide(a)?, &wide(b)?)?.to_dtype(T::DTYPE)
}

struct BinaryBackward {
    op: Binary,
    a: Option<Tensor>,
    b: Option<Tensor>,
    wants: [bool; 2],
}

impl Backward for BinaryBackward {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let kept = |side: &Option<Tensor>| side.clone().expect("saved for this operator");
        let [wants_a, wants_b] = self.wants;
        let (da, db): (Option<Tensor>, Option<Tensor>) = match self.op {
            Binary::Add => (Some(grad.clone()), Some(grad.clone())),
            Binary::Sub => (Some(grad.clone()), wants_b.then(|| grad.neg()).transpose()?),
            Binary::Mul => (
                wants_a.then(|| grad.mul(&kept(&self.b))).transpose()?,
                wants_b.then(|| grad.mul(&kept(&self.a))).transpose()?,
            ),
            Binary::Div => {
                let scaled = grad.div(&kept(&self.b))?;
                let db = wants_b
                    .then(|| scaled.mul(&kept(&self.a))?.div(&kept(&self.b))?.neg())
                    .transpose()?;
                (Some(scaled), db)
            }
            Binary::Max | Binary::Min => {
                let (a, b) = (kept(&self.a), kept(&self.b));
                let first = if self.op == Binary::Max { a.ge(&b)? } else { a.le(&b)? };
                let zero = Tensor::zeros(&[], grad.dtype(), grad.device())?;
                (
                    Some(Tensor::where_cond(&first, grad, &zero)?),
                    Some(Tensor::where_cond(&first, &zero, grad)?),
                )
            }
        };
        Ok(vec![da.filter(|_| wants_a), db.filter(|_| wants_b)])
    }
}

#[cfg(test)]
mod tests;
