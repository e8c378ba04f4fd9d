//! Views: other shapes and orders of the same elements.

use crate::autograd::Backward;
use crate::error::{Error, Result};
use crate::shape::{Layout, checked_count, resolve_dim};
use crate::tensor::Tensor;

impl Tensor {
    /// The elements in row-major order under another shape; copies only a view that has gaps.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the element counts differ.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        if checked_count(shape, "reshape")? != self.elem_count() {
            return Err(Error::shape(
                "reshape",
                format!(
                    "{:?} has {} elements, asked for {shape:?}",
                    self.shape(),
                    self.elem_count()
                ),
            ));
        }
        if shape == self.shape() {
            return Ok(self.clone());
        }
        let Some(layout) = self.layout().reshape(shape) else {
            return self.contiguous()?.reshape(shape);
        };
        let from = self.shape().to_vec();
        Ok(self.view(layout).with_node(&[self], || Box::new(Reshape { from })))
    }

    /// Merges dimensions `from` to `to` (inclusive) into one.
    pub fn flatten(&self, from: isize, to: isize) -> Result<Tensor> {
        let (from, to) =
            (resolve_dim(from, self.rank(), "flatten")?, resolve_dim(to, self.rank(), "flatten")?);
        if from > to {
            return Err(Error::shape("flatten", format!("dimensions {from} to {to}")));
        }
        let mut shape = self.shape()[..from].to_vec();
        shape.push(self.shape()[from..=to].iter().product());
        shape.extend(&self.shape()[to + 1..]);
        self.reshape(&shape)
    }

    /// Swaps two dimensions.
    pub fn transpose(&self, d0: isize, d1: isize) -> Result<Tensor> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(
            resolve_dim(d0, self.rank(), "transpose")?,
            resolve_dim(d1, self.rank(), "transpose")?,
        );
        self.permute(&order)
    }

    /// Reorders dimensions: dimension `d` of the result is dimension `order[d]` of this tensor.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when `order` is not a permutation of the dimensions.
    pub fn permute(&self, order: &[usize]) -> Result<Tensor> {
        let mut inverse = vec![usize::MAX; self.rank()];
        for (to, &from) in order.iter().enumerate() {
            if let Some(slot) = inverse.get_mut(from) {
                *slot = to;
            }
        }
        if order.len() != self.rank() || inverse.contains(&usize::MAX) {
            return Err(Error::shape(
                "permute",
                format!("{order:?} does not order the {} dimensions", self.rank()),
            ));
        }
        let old = self.layout();
        let layout = Layout {
            shape: order.iter().map(|&d| old.shape[d]).collect(),
            strides: order.iter().map(|&d| old.strides[d]).collect(),
            offset: old.offset,
        };
        Ok(self.view(layout).with_node(&[self], || Box::new(Permute { inverse })))
    }

    /// `len` entries from `start` on along one dimension.
    pub fn narrow(&self, dim: isize, start: usize, len: usize) -> Result<Tensor> {
        let dim = resolve_dim(dim, self.rank(), "narrow")?;
        let extent = self.shape()[dim];
        if start.checked_add(len).is_none_or(|end| end > extent) {
            return Err(Error::shape(
                "narrow",
                format!("entries {start}..{start}+{len} of dimension {dim} with extent {extent}"),
            ));
        }
        let mut layout = self.layout().clone();
        layout.shape[dim] = len;
        // A view of nothing starts where its storage does: the sum may lie past the end.
        layout.offset = match layout.elem_count() {
            0 => 0,
            _ => layout.offset + start * layout.strides[dim],
        };
        let from = self.shape().to_vec();
        Ok(self.view(layout).with_node(&[self], || Box::new(Narrow { from, dim, start })))
    }

    /// One entry along a dimension, which disappears.
    pub fn select(&self, dim: isize, index: usize) -> Result<Tensor> {
        self.narrow(dim, index, 1)?.squeeze(dim)
    }

    /// Adds a dimension of extent 1 before `dim` (`-1` adds it at the end).
    pub fn unsqueeze(&self, dim: isize) -> Result<Tensor> {
        let at = resolve_dim(dim, self.rank() + 1, "unsqueeze")?;
        let mut layout = self.layout().clone();
        layout.shape.insert(at, 1);
        layout.strides.insert(at, 0);
        let from = self.shape().to_vec();
        Ok(self.view(layout).with_node(&[self], || Box::new(Reshape { from })))
    }

    /// Removes a dimension of extent 1.
    pub fn squeeze(&self, dim: isize) -> Result<Tensor> {
        let at = resolve_dim(dim, self.rank(), "squeeze")?;
        if self.shape()[at] != 1 {
            return Err(Error::shape(
                "squeeze",
                format!(
                    "dimension {at} of {:?} has extent {}, expected 1",
                    self.shape(),
                    self.shape()[at]
                ),
            ));
        }
        let mut layout = self.layout().clone();
        layout.shape.remove(at);
        layout.strides.remove(at);
        let from = self.shape().to_vec();
        Ok(self.view(layout).with_node(&[self], || Box::new(Reshape { from })))
    }

    /// Repeats extents of 1 up to `shape`, without a copy.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Tensor> {
        if shape == self.shape() {
            return Ok(self.clone());
        }
        checked_count(shape, "broadcast_to")?;
        let layout = self.layout().broadcast_to(shape, "broadcast_to")?;
        let from = self.shape().to_vec();
        Ok(self.view(layout).with_node(&[self], || Box::new(Broadcast { from })))
    }
}

struct Reshape {
    from: Vec<usize>,
}

impl Backward for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.reshape(&self.from)?)])
    }
}

struct Permute {
    inverse: Vec<usize>,
}

impl Backward for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.permute(&self.inverse)?)])
    }
}

struct Narrow {
    from: Vec<usize>,
    dim: usize,
    start: usize,
}

impl Backward for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let padding = |extent: usize| {
            let mut shape = self.from.clone();
            shape[self.dim] = extent;
            Tensor::zeros(&shape, grad.dtype(), grad.device())
        };
        let after = self.from[self.dim] - self.start - grad.shape()[self.dim];
        let padded =
            Tensor::cat(&[&padding(self.start)?, grad, &padding(after)?], self.dim as isize)?;
        Ok(vec![Some(padded)])
    }
}

struct Broadcast {
    from: Vec<usize>,
}

impl Backward for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(super::reduce::sum_to(grad, &self.from)?)])
    }
}

#[cfg(test)]
mod tests;
