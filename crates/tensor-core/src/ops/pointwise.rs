//! Functions of one tensor, element by element.

use crate::autograd::Backward;
use crate::cpu::strided;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::storage::{Device, element_dispatch, real_dispatch};
use crate::tensor::Tensor;
use cpu_math::number::Number as _;

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

impl Pointwise {
    fn name(self) -> &'static str {
        match self {
            Pointwise::AddScalar(_) => "add_scalar",
            Pointwise::MulScalar(_) => "mul_scalar",
            Pointwise::Log => "log",
            Pointwise::Sqrt => "sqrt",
            Pointwise::Sqr => "sqr",
            Pointwise::Recip => "recip",
            Pointwise::Abs => "abs",
            Pointwise::Powf(_) => "powf",
            Pointwise::Clamp(..) => "clamp",
        }
    }
}

impl Tensor {
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

fn pointwise(x: &Tensor, op: Pointwise) -> Result<Tensor> {
    if matches!(x.dtype(), DType::I64 | DType::U32 | DType::U8) {
        return integer_pointwise(x, op);
    }
    let wide = x.widened()?;
    let out = real_dispatch!(wide.dtype(), op.name(), T => {
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
    let out = out.with_node(&[&wide], || {
        // Two derivatives need no input, and keeping it would hold its memory.
        let linear = matches!(op, Pointwise::AddScalar(_) | Pointwise::MulScalar(_));
        Box::new(PointwiseBackward { op, x: (!linear).then(|| wide.detach()) })
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
                let text = format!("dtype is {}, expected a floating-point one", x.dtype());
                return Err(Error::dtype(op.name(), text));
            }
        };
        Tensor::from_vec(out, x.shape(), Device::Cpu)
    })
}

struct PointwiseBackward {
    op: Pointwise,
    /// The input; `None` where the derivative is a constant.
    x: Option<Tensor>,
}

impl Backward for PointwiseBackward {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Self { op, x } = *self;
        let Some(x) = x else {
            return Ok(vec![Some(match op {
                Pointwise::MulScalar(s) => grad.mul_scalar(s)?,
                _ => grad.clone(),
            })]);
        };
        let out = real_dispatch!(x.dtype(), op.name(), T => {
            let c = T::from_f64;
            match op {
                Pointwise::AddScalar(_) | Pointwise::MulScalar(_) => unreachable!("kept no input"),
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
