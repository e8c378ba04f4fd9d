//! Activation functions: one node type for all of them.

use crate::autograd::Backward;
use crate::cpu::activation::{self, Activation};
use crate::error::Result;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// GELU, exact: `x Phi(x)` with the normal distribution function.
    pub fn gelu(&self) -> Result<Tensor> {
        activate(Activation::Gelu, self)
    }

    /// GELU by its tanh approximation, `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    pub fn gelu_tanh(&self) -> Result<Tensor> {
        activate(Activation::GeluTanh, self)
    }

    /// GELU by its logistic approximation, `x sigmoid(1.702 x)`.
    pub fn quick_gelu(&self) -> Result<Tensor> {
        activate(Activation::QuickGelu, self)
    }

    /// SiLU, also called swish: `x sigmoid(x)`.
    pub fn silu(&self) -> Result<Tensor> {
        activate(Activation::Silu, self)
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Result<Tensor> {
        activate(Activation::Tanh, self)
    }

    /// Logistic function, `1 / (1 + exp(-x))`.
    pub fn sigmoid(&self) -> Result<Tensor> {
        activate(Activation::Sigmoid, self)
    }

    /// `max(x, 0)`; the gradient at 0 is 0.
    pub fn relu(&self) -> Result<Tensor> {
        activate(Activation::Relu, self)
    }

    /// Exponential.
    pub fn exp(&self) -> Result<Tensor> {
        activate(Activation::Exp, self)
    }
}

fn activate(kind: Activation, input: &Tensor) -> Result<Tensor> {
    let x = input.widened()?;
    let y = real_dispatch!(x.dtype(), "activation", T => {
        Tensor::from_vec(activation::forward::<T>(kind, &x.cpu_slice::<T>()?), x.shape(), Device::Cpu)
    })?;
    let saved = if kind.saves_output() { y.clone() } else { x.detach() };
    y.with_node(&[&x], || Box::new(ActivationBackward { kind, saved })).to_dtype(input.dtype())
}

struct ActivationBackward {
    kind: Activation,
    /// Output or input, as the kind says.
    saved: Tensor,
}

impl Backward for ActivationBackward {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Self { kind, saved } = *self;
        let dx = real_dispatch!(saved.dtype(), "activation", T => {
            let mut dx = saved.into_values::<T>()?;
            activation::backward(kind, &mut dx, &grad.cpu_slice::<T>()?);
            Tensor::from_vec(dx, grad.shape(), Device::Cpu)
        })?;
        Ok(vec![Some(dx)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::testing::{gradcheck, noise};

    #[test]
    fn gradients_agree_with_finite_differences() {
        let functions: [fn(&Tensor) -> Result<Tensor>; 8] = [
            Tensor::gelu,
            Tensor::gelu_tanh,
            Tensor::quick_gelu,
            Tensor::silu,
            Tensor::tanh,
            Tensor::sigmoid,
            Tensor::relu,
            Tensor::exp,
        ];
        for f in functions {
            for shape in [&[1][..], &[3, 5], &[2, 1, 17]] {
                gradcheck(|x| f(&x[0].mul_scalar(3.0)?), &[noise(shape, 1)]);
            }
            gradcheck(|x| f(&x[0].transpose(0, 1)?), &[noise(&[4, 3], 2)]);
        }
    }

    #[test]
    fn bf16_computes_in_f32_and_rounds_once() -> Result<()> {
        let x = noise(&[129], 4).to_dtype(DType::BF16)?;
        let y = x.gelu()?;
        let want = x.to_dtype(DType::F32)?.gelu()?.to_dtype(DType::BF16)?;
        assert_eq!((y.dtype(), y.to_vec_f32()?), (DType::BF16, want.to_vec_f32()?));
        Ok(())
    }

    #[test]
    fn the_backward_pass_leaves_tensors_that_are_still_held_alone() -> Result<()> {
        let leaf = crate::Var::new(noise(&[5], 1).to_dtype(DType::F32)?);
        for f in [Tensor::gelu, Tensor::tanh] {
            let x = leaf.tensor().mul_scalar(2.0)?;
            let y = f(&x)?;
            let before = (x.to_vec::<f32>()?, y.to_vec::<f32>()?);
            y.sum_all()?.backward()?;
            assert_eq!((x.to_vec::<f32>()?, y.to_vec::<f32>()?), before);
        }
        Ok(())
    }
}
