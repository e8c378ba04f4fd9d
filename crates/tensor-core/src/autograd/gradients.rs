//! Gradients by trainable leaf.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::var::{Var, VarId};

/// The result of a backward walk: one gradient for each [`Var`] that was reached.
#[derive(Default)]
pub struct Gradients {
    by_leaf: HashMap<VarId, (Var, Tensor)>,
}

impl Gradients {
    /// No gradients yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradient of `var`, in its shape and dtype; `None` when the loss does not depend on it.
    pub fn get(&self, var: &Var) -> Option<&Tensor> {
        self.by_leaf.get(&var.id()).map(|(_, grad)| grad)
    }

    /// Takes the gradient of `var` out.
    pub fn remove(&mut self, var: &Var) -> Option<Tensor> {
        self.by_leaf.remove(&var.id()).map(|(_, grad)| grad)
    }

    /// Number of leaves with a gradient.
    pub fn len(&self) -> usize {
        self.by_leaf.len()
    }

    /// Whether no leaf has a gradient.
    pub fn is_empty(&self) -> bool {
        self.by_leaf.is_empty()
    }

    /// Adds `grad` to the gradient of `var`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when it has not the shape and dtype of `var`.
    pub fn add(&mut self, var: &Var, grad: Tensor) -> Result<()> {
        let value = var.value();
        if grad.shape() != value.shape() || grad.dtype() != value.dtype() {
            return Err(Error::shape(
                "gradients",
                format!(
                    "gradient is {:?} {}, expected {:?} {} as its leaf",
                    grad.shape(),
                    grad.dtype(),
                    value.shape(),
                    value.dtype()
                ),
            ));
        }
        let sum = match self.by_leaf.remove(&var.id()) {
            Some((_, sum)) => sum.accumulate(&grad)?,
            None => grad.detach(),
        };
        self.by_leaf.insert(var.id(), (var.clone(), sum));
        Ok(())
    }

    /// Adds the gradients of another walk, as when micro-batches accumulate.
    pub fn accumulate(&mut self, other: Gradients) -> Result<()> {
        // Each leaf has its own sum, so the order over leaves changes no bit.
        for (var, grad) in other.by_leaf.into_values() {
            self.add(&var, grad)?;
        }
        Ok(())
    }

    /// Euclidean norm over the gradients of `vars`, summed in their order in f64.
    pub fn global_norm<'a>(&self, vars: impl IntoIterator<Item = &'a Var>) -> Result<f64> {
        let mut sum = 0.0;
        for grad in vars.into_iter().filter_map(|var| self.get(var)) {
            sum += crate::ops::sum_of_squares(grad)?;
        }
        Ok(sum.sqrt())
    }
}
