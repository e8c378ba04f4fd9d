//! Elementwise arithmetic with NumPy broadcasting.

use crate::autograd::Backward;
use crate::cpu::strided;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::shape::broadcast_shape;
use crate::storage::{Device, element_dispatch, real_dispatch};
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

    /// The larger of two elements; on a tie the gradient goes to `self`.
    pub fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Max, self, other)
    }

    /// The smaller of two elements; on a tie the gradient goes to `self`.
    pub fn minimum(&self, other: &Tensor) -> Result<Tensor> {
        binary(Binary::Min, self, other)
    }

    /// `self + value`.
    pub fn add_scalar(&self, value: f64) -> Result<Tensor> {
        pointwise(self, Pointwise::AddScalar(value))
    }

    /// `self * value`.
    pub fn mul_scalar(&self, value: f64) -> Result<Tensor> {
        pointwise(self, Pointwise::MulScalar(value))
    }

    /// `-self`.
    pub fn neg(&self) -> Result<Tensor> {
        self.mul_scalar(-1.0)
    }

    /// Natural logarithm.
    pub fn log(&self) -> Result<Tensor> {
        pointwise(self, Pointwise::Log)
    }

    /// Square root.
    pub fn sqrt(&self) -> Result<Tensor> {
        pointwise(self, Pointwise::Sqrt)
    }

    /// `self * self`.
    pub fn sqr(&self) -> Result<Tensor> {
        pointwise(self, Pointwise::Sqr)
    }

    /// `1 / self`.
    pub fn recip(&self) -> Result<Tensor> {
        pointwise(self, Pointwise::Recip)
    }

    /// Absolute value; the gradient at 0 is 0.
    pub fn abs(&self) -> Result<Tensor> {
        pointwise(self, Pointwise::Abs)
    }

    /// `self` to the power `exponent`.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        pointwise(self, Pointwise::Powf(exponent))
    }

    /// Bounds every element to `lo..=hi`; the gradient outside is 0.
    pub fn clamp(&self, lo: f64, hi: f64) -> Result<Tensor> {
        pointwise(self, Pointwise::Clamp(lo, hi))
    }
}

/// Both operands in one dtype and one shape; the promotion and the broadcast are nodes.
pub(super) fn meet(a: &Tensor, b: &Tensor, op: &str) -> Result<(Tensor, Tensor)> {
    let dtype = a.dtype().promote(b.dtype()).ok_or_else(|| {
        Error::dtype(op, format!("operands are {} and {}", a.dtype(), b.dtype()))
            .with_hint("convert one with to_dtype")
    })?;
    let shape = broadcast_shape(a.shape(), b.shape(), op)?;
    Ok((a.to_dtype(dtype)?.broadcast_to(&shape)?, b.to_dtype(dtype)?.broadcast_to(&shape)?))
}

fn binary(op: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = meet(a, b, op.name())?;
    let shape = a.shape();
    let out = match a.dtype() {
        DType::BF16 => narrow_binary::<half::bf16>(op, &a, &b)?,
        DType::F16 => narrow_binary::<half::f16>(op, &a, &b)?,
        DType::I64 => wide_binary::<i64>(op, &a, &b)?,
        dtype => real_dispatch!(dtype, op.name(), T => wide_binary::<T>(op, &a, &b))?,
    };
    debug_assert_eq!(out.shape(), shape);
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

#[derive(Debug, Clone, Copy)]
enum Pointwise {
    AddScalar(f64),
    MulScalar(f64),
    Log,
    Sqrt,
    Sqr,
    Recip,
    Abs,
    Powf(f64),
    Clamp(f64, f64),
}

fn pointwise(x: &Tensor, op: Pointwise) -> Result<Tensor> {
    if matches!(x.dtype(), DType::I64 | DType::U32 | DType::U8) {
        return integer_pointwise(x, op);
    }
    let wide = x.widened()?;
    let out = real_dispatch!(wide.dtype(), "elementwise", T => {
        let values = wide.cpu_slice::<T>()?;
        let c = T::from_f64;
        let out = match op {
            Pointwise::AddScalar(s) => { let s = c(s); strided::unary(&values, |v| v + s) }
            Pointwise::MulScalar(s) => { let s = c(s); strided::unary(&values, |v| v * s) }
            Pointwise::Log => strided::unary(&values, |v: T| v.ln()),
            Pointwise::Sqrt => strided::unary(&values, |v: T| v.sqrt()),
            Pointwise::Sqr => strided::unary(&values, |v| v * v),
            Pointwise::Recip => strided::unary(&values, |v| T::from_f64(1.0) / v),
            Pointwise::Abs => strided::unary(&values, |v: T| v.abs()),
            Pointwise::Powf(e) => strided::unary(&values, |v: T| c(v.to_f64().powf(e))),
            Pointwise::Clamp(lo, hi) => {
                let (lo, hi) = (c(lo), c(hi));
                strided::unary(&values, |v: T| if v < lo { lo } else if v > hi { hi } else { v })
            }
        };
        Tensor::from_vec(out, wide.shape(), Device::Cpu)
    })?;
    let saves = !matches!(op, Pointwise::AddScalar(_) | Pointwise::MulScalar(_));
    let out = out.with_node(&[&wide], || {
        Box::new(PointwiseBackward { op, x: saves.then(|| wide.detach()) })
    });
    out.to_dtype(x.dtype())
}

/// Offsets and factors on index tensors; everything else needs a float.
fn integer_pointwise(x: &Tensor, op: Pointwise) -> Result<Tensor> {
    element_dispatch!(x.dtype(), T => {
        let values = x.cpu_slice::<T>()?;
        let out = match op {
            Pointwise::AddScalar(s) => strided::unary(&values, |v: T| T::from_f64(v.to_f64() + s)),
            Pointwise::MulScalar(s) => strided::unary(&values, |v: T| T::from_f64(v.to_f64() * s)),
            _ => {
                return Err(Error::dtype(
                    "elementwise",
                    format!("{op:?} of {}, expected a floating-point dtype", x.dtype()),
                ));
            }
        };
        Tensor::from_vec(out, x.shape(), Device::Cpu)
    })
}

struct PointwiseBackward {
    op: Pointwise,
    x: Option<Tensor>,
}

impl Backward for PointwiseBackward {
    fn name(&self) -> &'static str {
        "elementwise"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        if let Pointwise::MulScalar(s) = self.op {
            return Ok(vec![Some(grad.mul_scalar(s)?)]);
        }
        let Some(x) = self.x else { return Ok(vec![Some(grad.clone())]) };
        let out = real_dispatch!(x.dtype(), "elementwise", T => {
            let c = T::from_f64;
            match self.op {
                Pointwise::AddScalar(_) | Pointwise::MulScalar(_) => Ok(grad.clone()),
                Pointwise::Log => combine(&x, grad, |x: T, g| g / x),
                Pointwise::Sqrt => combine(&x, grad, |x: T, g| g * c(0.5) / x.sqrt()),
                Pointwise::Sqr => combine(&x, grad, |x: T, g| g * x * c(2.0)),
                Pointwise::Recip => combine(&x, grad, |x: T, g: T| -g / (x * x)),
                Pointwise::Abs => combine(&x, grad, |x: T, g: T| {
                    if x > 0.0 {
                        g
                    } else if x < 0.0 {
                        -g
                    } else {
                        c(0.0)
                    }
                }),
                // x^0 is constant, at 0 too.
                Pointwise::Powf(0.0) => grad.mul_scalar(0.0),
                Pointwise::Powf(e) => {
                    combine(&x, grad, |x: T, g| g * c(e * x.to_f64().powf(e - 1.0)))
                }
                Pointwise::Clamp(lo, hi) => {
                    let (lo, hi) = (c(lo), c(hi));
                    combine(&x, grad, |x: T, g| if x < lo || x > hi { c(0.0) } else { g })
                }
            }
        })?;
        Ok(vec![Some(out)])
    }
}

/// `f(x, g)` for two tensors of one shape and dtype.
fn combine<T: Element>(x: &Tensor, grad: &Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor> {
    let (raw_x, raw_grad) = (x.raw::<T>()?, grad.raw::<T>()?);
    let out = strided::binary(raw_x, x.layout(), raw_grad, grad.layout(), f);
    Tensor::from_vec(out, x.shape(), Device::Cpu)
}

#[cfg(test)]
mod tests;
