//! Comparisons, masks and choices.

use crate::autograd::Backward;
use crate::cpu::strided;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::promote::meet;
use crate::shape::broadcast_shape;
use crate::storage::{Device, element_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// 1 where elements are equal, else 0, as u8. Operands broadcast.
    pub fn eq(&self, other: &Tensor) -> Result<Tensor> {
        compare(self, other, "eq", [0, 1, 0])
    }

    /// 1 where `self < other`.
    pub fn lt(&self, other: &Tensor) -> Result<Tensor> {
        compare(self, other, "lt", [1, 0, 0])
    }

    /// 1 where `self > other`.
    pub fn gt(&self, other: &Tensor) -> Result<Tensor> {
        compare(self, other, "gt", [0, 0, 1])
    }

    /// 1 where `self <= other`.
    pub fn le(&self, other: &Tensor) -> Result<Tensor> {
        compare(self, other, "le", [1, 1, 0])
    }

    /// 1 where `self >= other`.
    pub fn ge(&self, other: &Tensor) -> Result<Tensor> {
        compare(self, other, "ge", [0, 1, 1])
    }

    /// `yes` where `mask` (u8) is not 0, `no` elsewhere. All three broadcast.
    ///
    /// # Errors
    ///
    /// [`DType`](crate::ErrorKind::DType) when `mask` is not u8 or the choices do not mix.
    pub fn where_cond(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
        if mask.dtype() != DType::U8 {
            let text = format!("mask is {}, expected u8", mask.dtype());
            return Err(Error::dtype("where_cond", text));
        }
        let (yes, no) = meet(yes, no, "where_cond")?;
        let shape = broadcast_shape(mask.shape(), yes.shape(), "where_cond")?;
        let (mask, yes, no) =
            (mask.broadcast_to(&shape)?, yes.broadcast_to(&shape)?, no.broadcast_to(&shape)?);
        let mask_values = mask.cpu_slice::<u8>()?;
        let out = element_dispatch!(yes.dtype(), T => {
            let (a, b) = (yes.cpu_slice::<T>()?, no.cpu_slice::<T>()?);
            let mut out = vec![T::default(); mask_values.len()];
            for (((out, &m), &a), &b) in out.iter_mut().zip(&*mask_values).zip(&*a).zip(&*b) {
                *out = if m != 0 { a } else { b };
            }
            Tensor::from_vec(out, &shape, Device::Cpu)?
        });
        Ok(out.with_node(&[&yes, &no], || Box::new(Choice { mask: mask.detach() })))
    }

    /// `value` where `mask` (u8) is not 0, the element itself elsewhere.
    pub fn masked_fill(&self, mask: &Tensor, value: f64) -> Result<Tensor> {
        Tensor::where_cond(mask, &Tensor::scalar(value, self.dtype(), self.device())?, self)
    }
}

/// Looks the order of two elements, less, equal or greater, up in `holds`; a NaN has none and
/// gives 0.
fn compare(a: &Tensor, b: &Tensor, op: &str, holds: [u8; 3]) -> Result<Tensor> {
    if a.dtype() != b.dtype() {
        return Err(Error::dtype(op, format!("operands are {} and {}", a.dtype(), b.dtype())));
    }
    let shape = broadcast_shape(a.shape(), b.shape(), op)?;
    let (la, lb) = (a.layout().broadcast_to(&shape, op)?, b.layout().broadcast_to(&shape, op)?);
    let out = element_dispatch!(a.dtype(), T => {
        strided::binary(a.raw::<T>()?, &la, b.raw::<T>()?, &lb, |x: T, y: T| {
            x.partial_cmp(&y).map_or(0, |order| holds[(order as i8 + 1) as usize])
        })
    });
    Tensor::from_vec(out, &shape, Device::Cpu)
}

struct Choice {
    mask: Tensor,
}

impl Backward for Choice {
    fn name(&self) -> &'static str {
        "where_cond"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let zero = Tensor::zeros(&[], grad.dtype(), grad.device())?;
        Ok(vec![
            Some(Tensor::where_cond(&self.mask, grad, &zero)?),
            Some(Tensor::where_cond(&self.mask, &zero, grad)?),
        ])
    }
}

#[cfg(test)]
mod tests;
