//! Trainable leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::autograd::Edge;
use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A parameter: a value that an optimiser replaces, and the leaf where its gradient collects.
///
/// Clones share the value, so that a model, an optimiser and a checkpoint see the same one.
#[derive(Clone)]
pub struct Var(Arc<Inner>);

struct Inner {
    value: RwLock<Tensor>,
    trainable: AtomicBool,
}

/// Identity of a [`Var`]; equal for clones. Valid while one of them lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VarId(usize);

impl Var {
    /// A trainable leaf with this value.
    pub fn new(value: Tensor) -> Self {
        Self(Arc::new(Inner {
            value: RwLock::new(value.detach()),
            trainable: AtomicBool::new(true),
        }))
    }

    /// The value as a leaf of the graph when trainable, else as a constant.
    pub fn tensor(&self) -> Tensor {
        let value = self.value();
        match self.trainable() {
            true => value.with_edge(Edge::Leaf(self.clone())),
            false => value,
        }
    }

    /// The value, outside any graph.
    pub fn value(&self) -> Tensor {
        self.0.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the shape or the dtype differs.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        let mut current = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if current.shape() != value.shape() || current.dtype() != value.dtype() {
            return Err(Error::shape(
                "set",
                format!(
                    "value is {:?} {}, expected {:?} {}",
                    value.shape(),
                    value.dtype(),
                    current.shape(),
                    current.dtype()
                ),
            ));
        }
        *current = value.detach();
        Ok(())
    }

    /// Changes the elements in place, or in a copy when a tensor still shares them.
    pub(crate) fn update<T: Element>(&self, change: impl FnOnce(&mut [T])) -> Result<()> {
        let mut current = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = current.unique_slice_mut::<T>() {
            change(values);
            return Ok(());
        }
        let mut values = current.to_vec::<T>()?;
        change(&mut values);
        *current = Tensor::from_vec(values, current.shape(), current.device())?;
        Ok(())
    }

    /// Whether forward passes record this leaf.
    pub fn trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes (`false`) or unfreezes the leaf, for all its clones.
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// Shape of the value.
    pub fn shape(&self) -> Vec<usize> {
        self.value().shape().to_vec()
    }

    /// Number of elements.
    pub fn elem_count(&self) -> usize {
        self.value().elem_count()
    }

    /// Identity, shared by clones.
    pub fn id(&self) -> VarId {
        VarId(Arc::as_ptr(&self.0) as *const () as usize)
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Var({:?}, trainable: {})", self.value(), self.trainable())
    }
}

#[cfg(test)]
mod tests;
