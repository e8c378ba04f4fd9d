//! The dtype and shape in which several operands meet.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::broadcast_shape;
use crate::tensor::Tensor;

/// The widest dtype of float operands; an error when they do not mix.
pub(super) fn promoted(op: &str, operands: &[&Tensor]) -> Result<DType> {
    let mut dtype = operands[0].dtype();
    for operand in operands {
        dtype =
            dtype.promote(operand.dtype()).filter(|dtype| dtype.is_float()).ok_or_else(|| {
                let dtypes: Vec<String> = operands.iter().map(|x| x.dtype().to_string()).collect();
                Error::dtype(
                    op,
                    format!("operands are {}, expected floats that mix", dtypes.join(", ")),
                )
                .with_hint("convert with to_dtype")
            })?;
    }
    Ok(dtype)
}

/// Row-major operands in the dtype that an operator computes in.
pub(super) fn ready(x: &Tensor, dtype: DType) -> Result<Tensor> {
    x.to_dtype(dtype.widened())?.contiguous()
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
