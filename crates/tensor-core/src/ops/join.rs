//! Joining tensors: concatenation and stacking.

use crate::autograd::Backward;
use crate::error::{Error, Result};
use crate::shape::resolve_dim;
use crate::storage::{Device, element_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// Joins tensors of one dtype along a dimension in which alone their shapes may differ.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when they differ elsewhere, or there are none.
    pub fn cat(parts: &[&Tensor], dim: isize) -> Result<Tensor> {
        let first = parts.first().ok_or_else(|| Error::shape("cat", "no tensors to join"))?;
        let dim = resolve_dim(dim, first.rank(), "cat")?;
        let mut shape = first.shape().to_vec();
        shape[dim] = 0;
        for part in parts {
            let fits = part.rank() == first.rank()
                && part.dtype() == first.dtype()
                && (0..first.rank()).all(|d| d == dim || part.shape()[d] == first.shape()[d]);
            if !fits {
                return Err(Error::shape(
                    "cat",
                    format!(
                        "part is {:?} {}, the first is {:?} {}; they may differ in dimension {dim} alone",
                        part.shape(),
                        part.dtype(),
                        first.shape(),
                        first.dtype()
                    ),
                ));
            }
            shape[dim] += part.shape()[dim];
        }
        let outer: usize = shape[..dim].iter().product();
        let inner: usize = shape[dim + 1..].iter().product();
        let out = element_dispatch!(first.dtype(), T => {
            let slices = parts.iter().map(|p| p.cpu_slice::<T>()).collect::<Result<Vec<_>>>()?;
            let mut values: Vec<T> = Vec::with_capacity(shape.iter().product());
            for row in 0..outer {
                for (slice, part) in slices.iter().zip(parts) {
                    let width = part.shape()[dim] * inner;
                    values.extend_from_slice(&slice[row * width..(row + 1) * width]);
                }
            }
            Tensor::from_vec(values, &shape, Device::Cpu)?
        });
        let extents = parts.iter().map(|part| part.shape()[dim]).collect();
        Ok(out.with_node(parts, || Box::new(Cat { dim, extents })))
    }

    /// Joins tensors of one shape along a new dimension `dim` of the result.
    ///
    /// # Errors
    ///
    /// As [`cat`](Self::cat).
    pub fn stack(parts: &[&Tensor], dim: isize) -> Result<Tensor> {
        let parts = parts.iter().map(|part| part.unsqueeze(dim)).collect::<Result<Vec<_>>>()?;
        let rank = parts.first().map_or(1, Tensor::rank);
        let dim = resolve_dim(dim, rank, "stack")?;
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim as isize)
    }
}

struct Cat {
    dim: usize,
    extents: Vec<usize>,
}

impl Backward for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let mut start = 0;
        self.extents
            .iter()
            .map(|&extent| {
                let part = grad.narrow(self.dim as isize, start, extent)?;
                start += extent;
                Ok(Some(part))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gradcheck, noise};

    #[test]
    fn joined_tensors_each_get_their_part_of_the_gradient() {
        let inputs = [noise(&[2, 3, 2], 1), noise(&[2, 1, 2], 2), noise(&[2, 0, 2], 3)];
        gradcheck(|x| Tensor::cat(&[&x[0], &x[1], &x[2], &x[0]], 1)?.sqr(), &inputs);
        let inputs = [noise(&[2, 3], 1), noise(&[2, 3], 2)];
        for dim in [0, 1, 2, -1] {
            gradcheck(|x| Tensor::stack(&[&x[0], &x[1]], dim)?.sqr(), &inputs);
        }
        gradcheck(|x| Tensor::cat(&[&x[0].transpose(0, 1)?, &x[1].transpose(0, 1)?], -1), &inputs);
    }

    #[test]
    fn parts_lie_in_the_order_they_are_given() -> Result<()> {
        let x = Tensor::arange(12, Device::Cpu)?.reshape(&[3, 4])?;
        let pair = Tensor::stack(&[&x.select(1, 0)?, &x.select(1, 3)?], -1)?;
        assert_eq!(pair.to_vec::<i64>()?, [0, 3, 4, 7, 8, 11]);
        let joined = Tensor::cat(&[&x.narrow(1, 2, 2)?, &x.narrow(1, 0, 1)?], 1)?;
        assert_eq!(joined.to_vec::<i64>()?, [2, 3, 0, 6, 7, 4, 10, 11, 8]);
        Ok(())
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let text = |result: Result<Tensor>| result.unwrap_err().to_string();
        for join in [Tensor::cat, Tensor::stack] {
            assert_eq!(text(join(&[], 0)), "cat: no tensors to join");
        }
        assert_eq!(
            text(Tensor::cat(&[&noise(&[2, 3], 1), &noise(&[3, 3], 1)], 1)),
            "cat: part is [3, 3] f64, the first is [2, 3] f64; they may differ in dimension 1 alone"
        );
    }
}
