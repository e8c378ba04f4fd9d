//! AdamW with reachable state.

use crate::autograd::Gradients;
use crate::cpu::adamw::{self, AdamWSlices, AdamWStep};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::var::Var;

/// Hyperparameters of [`AdamW`] that stay the same over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the running means of the gradient and of its square, each in `[0, 1)`.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay, applied to slots that ask for it.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    /// The values of PyTorch's `AdamW`.
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 }
    }
}

/// One parameter with its running means.
struct Slot {
    name: String,
    var: Var,
    decays: bool,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// Adam with decoupled weight decay, Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2,
/// in the form of PyTorch's `torch.optim.AdamW`.
///
/// Moments are f32. A parameter without a gradient in some step keeps its value and moments.
pub struct AdamW {
    options: AdamWOptions,
    step: u64,
    slots: Vec<Slot>,
}

impl AdamW {
    /// An optimiser of `parameters`: name, leaf, and whether weight decay applies to it.
    ///
    /// # Errors
    ///
    /// [`DType`](ErrorKind::DType) when a parameter is not f32; [`Option`](ErrorKind::Option) when
    /// a decay rate is outside `[0, 1)`.
    pub fn new<'a>(
        options: AdamWOptions,
        parameters: impl IntoIterator<Item = (&'a str, &'a Var, bool)>,
    ) -> Result<Self> {
        let (beta1, beta2) = options.betas;
        if ![beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
            let text = format!("betas are {beta1} and {beta2}, expected 0 <= beta < 1");
            return Err(Error::option("adamw", text));
        }
        let slots = parameters
            .into_iter()
            .map(|(name, var, decays)| {
                let value = var.value();
                if value.dtype() != DType::F32 {
                    return Err(Error::dtype(
                        "adamw",
                        format!("parameter `{name}` is {}, expected f32", value.dtype()),
                    ));
                }
                let zeros = || vec![0.0; value.elem_count()];
                let (mean, square) = (zeros(), zeros());
                Ok(Slot { name: name.to_owned(), var: var.clone(), decays, mean, square })
            })
            .collect::<Result<_>>()?;
        Ok(Self { options, step: 0, slots })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Moves every parameter that has a gradient; gradients are multiplied by `grad_scale` first.
    pub fn step(&mut self, gradients: &Gradients, lr: f64, grad_scale: f64) -> Result<()> {
        self.step += 1;
        for slot in &mut self.slots {
            let Some(grad) = gradients.get(&slot.var) else { continue };
            let options = AdamWStep {
                lr,
                betas: self.options.betas,
                eps: self.options.eps,
                weight_decay: if slot.decays { self.options.weight_decay } else { 0.0 },
                step: self.step,
                grad_scale,
            };
            let grad = grad.cpu_slice::<f32>()?;
            let (first_moment, second_moment) = (&mut slot.mean, &mut slot.square);
            slot.var.update::<f32>(|param| {
                adamw::step(
                    options,
                    AdamWSlices { param, grad: &grad, first_moment, second_moment },
                );
            })?;
        }
        Ok(())
    }

    /// The whole state: `step`, and `mean.NAME` and `square.NAME` of every parameter.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state =
            vec![("step".to_owned(), Tensor::from_vec(vec![self.step as i64], &[1], Device::Cpu)?)];
        for slot in &self.slots {
            for (kind, values) in [("mean", &slot.mean), ("square", &slot.square)] {
                let tensor = Tensor::from_vec(values.clone(), &slot.var.shape(), Device::Cpu)?;
                state.push((format!("{kind}.{}", slot.name), tensor));
            }
        }
        Ok(state)
    }

    /// Restores what [`state`](Self::state) gave; `read` finds a tensor by name.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when a tensor has not the shape of its parameter, or is not
    /// f32; what `read` returns. Nothing is changed then.
    pub fn load_state(&mut self, read: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        let fetch = |kind: &str, slot: &Slot| -> Result<Vec<f32>> {
            let name = format!("{kind}.{}", slot.name);
            let (moment, shape) = (read(&name)?, slot.var.shape());
            if moment.shape() != shape || moment.dtype() != DType::F32 {
                return Err(Error::new(
                    ErrorKind::Weights,
                    "adamw",
                    format!(
                        "`{name}` is {:?} {}, expected {shape:?} f32",
                        moment.shape(),
                        moment.dtype()
                    ),
                ));
            }
            moment.to_vec::<f32>()
        };
        let loaded = self
            .slots
            .iter()
            .map(|slot| Ok((fetch("mean", slot)?, fetch("square", slot)?)))
            .collect::<Result<Vec<_>>>()?;
        self.step = read("step")?.item()? as u64;
        for (slot, (mean, square)) in self.slots.iter_mut().zip(loaded) {
            (slot.mean, slot.square) = (mean, square);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
