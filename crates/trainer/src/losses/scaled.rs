//! A scalar whose gradient was computed with its value, as a fused loss gives it.

use tensor_core::{Backward, Device, Result, Tensor};

/// What a [`CustomOp`](tensor_core::CustomOp) of one input returns: the scalar `value`, and `grad`,
/// its gradient with respect to the input of `shape`.
pub(super) fn scaled(
    value: f64,
    grad: Vec<f32>,
    shape: &[usize],
) -> Result<(Tensor, Box<dyn Backward>)> {
    let grad = Tensor::from_vec(grad, shape, Device::Cpu)?;
    let value = Tensor::from_vec(vec![value as f32], &[], Device::Cpu)?;
    Ok((value, Box::new(Scaled(grad))))
}

struct Scaled(Tensor);

impl Backward for Scaled {
    fn name(&self) -> &'static str {
        "kd"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.0.mul_scalar(grad.item()?)?)])
    }
}
