//! Writing to a tensor's elements where no other tensor shares them.

use std::sync::Arc;

use crate::cpu::strided;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::tensor::Tensor;

impl Tensor {
    /// The elements for writing, when nothing else shares them and they lie in order.
    pub(crate) fn unique_slice_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        self.unique_vec_mut().map(Vec::as_mut_slice)
    }

    /// The elements in row-major order, without a copy when nothing else shares them.
    pub(crate) fn into_values<T: Element>(mut self) -> Result<Vec<T>> {
        match self.unique_vec_mut() {
            Some(values) => Ok(std::mem::take(values)),
            None => self.to_vec(),
        }
    }

    fn unique_vec_mut<T: Element>(&mut self) -> Option<&mut Vec<T>> {
        let inner = Arc::get_mut(&mut self.0)?;
        if inner.layout.offset != 0 || !inner.layout.is_contiguous() {
            return None;
        }
        let count = inner.layout.elem_count();
        let Storage::Cpu(storage) = Arc::get_mut(&mut inner.storage)?;
        T::vec_mut(storage).filter(|values| values.len() == count)
    }

    /// `self + other`, written into `self` when nothing else shares it. Shapes must agree.
    pub(crate) fn accumulate(mut self, other: &Tensor) -> Result<Self> {
        if self.shape() == other.shape() && self.dtype() == other.dtype() {
            if self.dtype() == DType::F32 {
                let addend = other.cpu_slice::<f32>()?;
                if let Some(sum) = self.unique_slice_mut::<f32>() {
                    strided::add_assign(sum, &addend);
                    return Ok(self);
                }
            }
            return self.detach().add(&other.detach());
        }
        Err(Error::shape(
            "backward",
            format!(
                "gradients {:?} {} and {:?} {} meet at one tensor",
                self.shape(),
                self.dtype(),
                other.shape(),
                other.dtype()
            ),
        ))
    }
}
