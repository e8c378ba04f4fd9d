//! Picking and placing by i64 index: embedding, gather, scatter.

use cpu_math::number::Number as _;
use std::ops::AddAssign;

use crate::autograd::Backward;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::shape::resolve_dim;
use crate::storage::{Device, element_dispatch, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// Rows of this `(V, D)` table for i64 ids of any shape: `(..)` -> `(.., D)`.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when an id is outside `0..V`.
    pub fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        if self.rank() != 2 {
            return Err(Error::shape(
                "embedding",
                format!("table is {:?}, expected (V, D)", self.shape()),
            ));
        }
        let mut shape = ids.shape().to_vec();
        shape.push(self.shape()[1]);
        self.pick(0, checked(ids, self.shape()[0], "embedding")?)?.reshape(&shape)
    }

    /// Entries `index[0], index[1], ..` along one dimension; an entry may repeat.
    ///
    /// # Errors
    ///
    /// As [`embedding`](Self::embedding).
    pub fn index_select(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let d = resolve_dim(dim, self.rank(), "index_select")?;
        if index.rank() != 1 {
            return Err(Error::shape(
                "index_select",
                format!("index is {:?}, expected one dimension", index.shape()),
            ));
        }
        self.pick(d, checked(index, self.shape()[d], "index_select")?)
    }

    /// Entries `index[0], index[1], ..` along dimension `d`, each below its extent.
    fn pick(&self, d: usize, index: Vec<usize>) -> Result<Tensor> {
        let (outer, extent, inner) = around(self.shape(), d);
        let mut shape = self.shape().to_vec();
        shape[d] = index.len();
        let out = element_dispatch!(self.dtype(), T => {
            let source = self.cpu_slice::<T>()?;
            let mut values: Vec<T> = Vec::with_capacity(outer * index.len() * inner);
            for o in 0..outer {
                for &i in &index {
                    let start = (o * extent + i) * inner;
                    values.extend_from_slice(&source[start..start + inner]);
                }
            }
            Tensor::from_vec(values, &shape, Device::Cpu)?
        });
        let from = self.shape().to_vec();
        Ok(out.with_node(&[self], || Box::new(IndexSelectBackward { from, dim: d, index })))
    }

    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]` along one dimension, as in PyTorch.
    ///
    /// `index` has this tensor's rank and, outside `dim`, its extents.
    pub fn gather(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let d = resolve_dim(dim, self.rank(), "gather")?;
        let picks = Picks::new(self.shape(), d, index, "gather")?;
        let out = element_dispatch!(self.dtype(), T => {
            let source = self.cpu_slice::<T>()?;
            let values: Vec<T> = picks.positions().map(|at| source[at]).collect();
            Tensor::from_vec(values, index.shape(), Device::Cpu)?
        });
        Ok(out.with_node(&[self], || Box::new(GatherBackward { picks })))
    }

    /// This tensor plus `source` added at `index` along one dimension, the inverse of `gather`.
    ///
    /// Repeated indices add up, in row-major order; bf16 and f16 in f32, rounded once.
    pub fn scatter_add(&self, dim: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        let d = resolve_dim(dim, self.rank(), "scatter_add")?;
        let picks = Picks::new(self.shape(), d, index, "scatter_add")?;
        if source.shape() != index.shape() || source.dtype() != self.dtype() {
            return Err(Error::shape(
                "scatter_add",
                format!(
                    "source is {:?} {}, expected {:?} {}",
                    source.shape(),
                    source.dtype(),
                    index.shape(),
                    self.dtype()
                ),
            ));
        }
        let (base, addend) = (self.widened()?, source.widened()?);
        let out = match base.dtype() {
            DType::I64 => picks.scatter_add::<i64>(&base, &addend),
            dtype => {
                real_dispatch!(dtype, "scatter_add", T => picks.scatter_add::<T>(&base, &addend))
            }
        }?;
        let index = index.detach();
        let node = || -> Box<dyn Backward> { Box::new(ScatterAddBackward { dim: d, index }) };
        out.with_node(&[&base, &addend], node).to_dtype(self.dtype())
    }
}

/// Ids in row-major order as `usize`, each below `extent`.
fn checked(index: &Tensor, extent: usize, op: &str) -> Result<Vec<usize>> {
    if index.dtype() != DType::I64 {
        return Err(Error::dtype(op, format!("indices are {}, expected i64", index.dtype())));
    }
    index
        .cpu_slice::<i64>()?
        .iter()
        .enumerate()
        .map(|(at, &id)| match usize::try_from(id) {
            Ok(id) if id < extent => Ok(id),
            _ => {
                Err(Error::option(op, format!("index {id} at position {at}, expected 0..{extent}")))
            }
        })
        .collect()
}

/// Extents before, at and after a dimension.
fn around(shape: &[usize], d: usize) -> (usize, usize, usize) {
    (shape[..d].iter().product(), shape[d], shape[d + 1..].iter().product())
}

/// A checked index tensor for `gather` and `scatter_add` on a tensor of shape `from`.
struct Picks {
    from: Vec<usize>,
    dim: usize,
    /// Entries along `dim` of the index tensor.
    count: usize,
    index: Vec<usize>,
}

impl Picks {
    fn new(from: &[usize], dim: usize, index: &Tensor, op: &str) -> Result<Self> {
        let fits = index.rank() == from.len()
            && (0..from.len()).all(|d| d == dim || index.shape()[d] == from[d]);
        if !fits {
            return Err(Error::shape(
                op,
                format!("index is {:?}, expected {from:?} outside dimension {dim}", index.shape()),
            ));
        }
        Ok(Self {
            from: from.to_vec(),
            dim,
            count: index.shape()[dim],
            index: checked(index, from[dim], op)?,
        })
    }

    /// `base` plus `addend` at the picked positions.
    fn scatter_add<T: Element + AddAssign>(
        &self,
        base: &Tensor,
        addend: &Tensor,
    ) -> Result<Tensor> {
        let mut values = base.to_vec::<T>()?;
        for (at, &value) in self.positions().zip(&*addend.cpu_slice::<T>()?) {
            values[at] += value;
        }
        Tensor::from_vec(values, base.shape(), Device::Cpu)
    }

    /// Row-major positions in the indexed tensor, in the order of the index tensor.
    fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let (_, extent, inner) = around(&self.from, self.dim);
        let row = self.count * inner;
        self.index
            .iter()
            .enumerate()
            .map(move |(at, &pick)| ((at / row) * extent + pick) * inner + at % inner)
    }
}

struct IndexSelectBackward {
    from: Vec<usize>,
    dim: usize,
    index: Vec<usize>,
}

impl Backward for IndexSelectBackward {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (outer, extent, inner) = around(&self.from, self.dim);
        let wide = grad.widened()?;
        let out = real_dispatch!(wide.dtype(), "index_select", T => {
            let source = wide.cpu_slice::<T>()?;
            let mut sum = vec![T::from_f64(0.0); outer * extent * inner];
            let rows = (0..outer).flat_map(|o| self.index.iter().map(move |&i| o * extent + i));
            for (row, values) in rows.zip(source.chunks(inner.max(1))) {
                let target = &mut sum[row * inner..(row + 1) * inner];
                target.iter_mut().zip(values).for_each(|(t, &v)| *t += v);
            }
            Tensor::from_vec(sum, &self.from, Device::Cpu)
        })?;
        Ok(vec![Some(out.to_dtype(grad.dtype())?)])
    }
}

struct GatherBackward {
    picks: Picks,
}

impl Backward for GatherBackward {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let wide = grad.widened()?;
        let out = real_dispatch!(wide.dtype(), "gather", T => {
            let mut sum = vec![T::from_f64(0.0); self.picks.from.iter().product()];
            for (at, &value) in self.picks.positions().zip(&*wide.cpu_slice::<T>()?) {
                sum[at] += value;
            }
            Tensor::from_vec(sum, &self.picks.from, Device::Cpu)
        })?;
        Ok(vec![Some(out.to_dtype(grad.dtype())?)])
    }
}

struct ScatterAddBackward {
    dim: usize,
    index: Tensor,
}

impl Backward for ScatterAddBackward {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let source = grad.gather(self.dim as isize, &self.index)?;
        Ok(vec![Some(grad.clone()), Some(source)])
    }
}

#[cfg(test)]
mod tests;
