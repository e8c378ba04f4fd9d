//! Conversion between dtypes.

use cpu_math::number::Number as _;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::autograd::Backward;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::storage::{Device, element_dispatch};
use crate::tensor::Tensor;
use cpu_math::parallel::{CHUNK, for_each_chunk};

impl Tensor {
    /// The nearest values in another dtype; the same tensor when it has it already.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let out = cast(self, dtype)?;
        let from = self.dtype();
        Ok(match from.is_float() && dtype.is_float() {
            true => out.with_node(&[self], || Box::new(Cast { from })),
            false => out,
        })
    }
}

/// The elements in row-major order as `dtype`.
fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    // The conversions that training does all the time have vector instructions.
    match (x.dtype(), dtype) {
        (DType::F32, DType::BF16) => narrow::<bf16>(x),
        (DType::F32, DType::F16) => narrow::<f16>(x),
        (DType::BF16, DType::F32) => widen::<bf16>(x),
        (DType::F16, DType::F32) => widen::<f16>(x),
        _ => element_dispatch!(x.dtype(), S => element_dispatch!(dtype, D => {
            convert::<S, D>(x, |source, out| {
                for (out, value) in out.iter_mut().zip(source) {
                    *out = D::from_f64(value.to_f64());
                }
            })
        })),
    }
}

fn narrow<H: Element>(x: &Tensor) -> Result<Tensor>
where
    [H]: HalfFloatSliceExt,
{
    convert::<f32, H>(x, |source, out| out.convert_from_f32_slice(source))
}

fn widen<H: Element>(x: &Tensor) -> Result<Tensor>
where
    [H]: HalfFloatSliceExt,
{
    convert::<H, f32>(x, |source, out| source.convert_to_f32_slice(out))
}

fn convert<S: Element, D: Element>(
    x: &Tensor,
    f: impl Fn(&[S], &mut [D]) + Sync,
) -> Result<Tensor> {
    let source = x.cpu_slice::<S>()?;
    let mut out = vec![D::default(); source.len()];
    for_each_chunk(&mut out, CHUNK, |at, out| f(&source[at..][..out.len()], out));
    Tensor::from_vec(out, x.shape(), Device::Cpu)
}

struct Cast {
    from: DType,
}

impl Backward for Cast {
    fn name(&self) -> &'static str {
        "to_dtype"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.to_dtype(self.from)?)])
    }
}

#[cfg(test)]
mod tests;
