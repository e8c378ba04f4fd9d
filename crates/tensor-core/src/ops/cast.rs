//! Conversion between dtypes.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::cpu::parallel::{CHUNK, for_each_chunk};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::storage::{Device, element_dispatch};
use crate::tensor::Tensor;

/// The elements of `x` as `dtype`, row-major, shape `(n)`.
pub(super) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let count = x.elem_count();
    // The four conversions that training does all the time have vector instructions.
    match (x.dtype(), dtype) {
        (DType::F32, DType::BF16) => {
            let source = x.cpu_slice::<f32>()?;
            let out =
                convert(&source, bf16::ZERO, |out, source| out.convert_from_f32_slice(source));
            return Tensor::from_vec(out, &[count], Device::Cpu);
        }
        (DType::F32, DType::F16) => {
            let source = x.cpu_slice::<f32>()?;
            let out = convert(&source, f16::ZERO, |out, source| out.convert_from_f32_slice(source));
            return Tensor::from_vec(out, &[count], Device::Cpu);
        }
        (DType::BF16, DType::F32) => {
            let source = x.cpu_slice::<bf16>()?;
            let out = convert(&source, 0.0, |out, source| source.convert_to_f32_slice(out));
            return Tensor::from_vec(out, &[count], Device::Cpu);
        }
        (DType::F16, DType::F32) => {
            let source = x.cpu_slice::<f16>()?;
            let out = convert(&source, 0.0, |out, source| source.convert_to_f32_slice(out));
            return Tensor::from_vec(out, &[count], Device::Cpu);
        }
        _ => {}
    }
    element_dispatch!(x.dtype(), S => {
        let source = x.cpu_slice::<S>()?;
        element_dispatch!(dtype, D => {
            let out = convert(&source, D::default(), |out, source| {
                for (out, value) in out.iter_mut().zip(source) {
                    *out = D::from_f64(value.to_f64());
                }
            });
            Tensor::from_vec::<D>(out, &[count], Device::Cpu)
        })
    })
}

fn convert<S: Sync, D: Copy + Send>(
    source: &[S],
    zero: D,
    convert: impl Fn(&mut [D], &[S]) + Sync,
) -> Vec<D> {
    let mut out = vec![zero; source.len()];
    for_each_chunk(&mut out, CHUNK, |at, out| convert(out, &source[at..][..out.len()]));
    out
}

#[cfg(test)]
mod tests;
