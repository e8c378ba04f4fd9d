//! Losses of `align-kernels` as operators on tensors: values that come with their gradients.

use align_kernels::KernelError;
use ndarray::Array2;
use tensor_core::{Backward, CustomOp, Device, Error, ErrorKind, Result, Tensor};

/// The scalar `value` as a function of `inputs`, with a gradient for each of them.
pub(super) fn fused<const N: usize>(
    inputs: [&Tensor; N],
    value: f64,
    gradients: [Array2<f32>; N],
) -> Result<Tensor> {
    fused_of(&inputs, value, gradients.into_iter().map(tensor).collect::<Result<_>>()?)
}

/// As [`fused`], of tensors of any shape.
pub(super) fn fused_of(inputs: &[&Tensor], value: f64, gradients: Vec<Tensor>) -> Result<Tensor> {
    Tensor::apply(&Fused { value, gradients }, inputs)
}

/// `tensor` as rows of f32.
pub(super) fn matrix(op: &str, name: &str, tensor: &Tensor) -> Result<Array2<f32>> {
    let &[rows, width] = tensor.shape() else {
        let text = format!("{name} is {:?}, expected (rows, dimensions)", tensor.shape());
        return Err(Error::shape(op, text));
    };
    Array2::from_shape_vec((rows, width), tensor.to_vec_f32()?)
        .map_err(|error| Error::shape(op, error.to_string()))
}

/// `rows` as a tensor of the same shape.
pub(super) fn tensor(rows: Array2<f32>) -> Result<Tensor> {
    let shape = [rows.nrows(), rows.ncols()];
    let rows = rows.as_standard_layout().into_owned().into_raw_vec_and_offset().0;
    Tensor::from_vec(rows, &shape, Device::Cpu)
}

/// An error of a kernel as one of tensors.
pub(super) fn of_kernel(error: KernelError) -> Error {
    let kind = match error.kind() {
        align_kernels::ErrorKind::Shape => ErrorKind::Shape,
        _ => ErrorKind::Option,
    };
    let of_tensors = Error::new(kind, error.op(), error.detail());
    match error.hint() {
        Some(hint) => of_tensors.with_hint(hint),
        None => of_tensors,
    }
}

/// A loss that was computed together with its gradients.
struct Fused {
    value: f64,
    gradients: Vec<Tensor>,
}

impl CustomOp for Fused {
    fn name(&self) -> &'static str {
        "fused loss"
    }

    fn forward(&self, _: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        let value = Tensor::from_vec(vec![self.value as f32], &[], Device::Cpu)?;
        Ok((value, Box::new(Scaled(self.gradients.clone()))))
    }
}

/// Gradients of the value by its inputs.
struct Scaled(Vec<Tensor>);

impl Backward for Scaled {
    fn name(&self) -> &'static str {
        "fused loss"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let factor = grad.item()?;
        self.0.iter().map(|gradient| gradient.mul_scalar(factor).map(Some)).collect()
    }
}
