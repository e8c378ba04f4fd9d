//! Rotary position embedding.

use crate::autograd::Backward;
use crate::cpu::rotary::{RotaryShape, rotary};
use crate::error::{Error, Result};
use crate::ops::promote::ready;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// Rotates features `d` and `d + D/2` of every head by the angle of their position.
    ///
    /// ```text
    /// y[d]       = x[d] cos[t, d] - x[d + D/2] sin[t, d]
    /// y[d + D/2] = x[d + D/2] cos[t, d] + x[d] sin[t, d]
    /// ```
    ///
    /// For positions that start later, narrow the tables. Tables with a batch in front give each
    /// item positions of its own, as left padding asks for.
    ///
    /// # Shapes
    ///
    /// | argument     | shape                          | meaning                          |
    /// |--------------|--------------------------------|----------------------------------|
    /// | `self`       | `(B, T, H, D)`                 | queries or keys; `D` is even     |
    /// | `cos`, `sin` | `(T, D/2)` or `(B, T, D/2)`    | constants: they get no gradient  |
    /// | result       | `(B, T, H, D)`                 | in the dtype of `self`           |
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the extents disagree or `D` is odd.
    ///
    /// # Source
    ///
    /// Su et al. 2021, arXiv:2104.09864, equation 34, with the pairs split by halves as
    /// `apply_rotary_pos_emb` of `transformers` does.
    pub fn rotary(&self, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let fits = match *self.shape() {
            [batch, len, heads, head_dim] if head_dim % 2 == 0 && cos.shape() == sin.shape() => {
                let half = head_dim / 2;
                let n_angles = match *cos.shape() {
                    [t, d] if [t, d] == [len, half] => Some(len),
                    [b, t, d] if [b, t, d] == [batch, len, half] => Some(batch * len),
                    _ => None,
                };
                n_angles.map(|n_angles| RotaryShape { n_angles, heads, head_dim })
            }
            _ => None,
        };
        let shape = fits.ok_or_else(|| {
            Error::shape(
                "rotary",
                format!(
                    "x {:?}, cos {:?}, sin {:?}, expected (B, T, H, D) with D even and two tables \
                     (T, D/2) or (B, T, D/2)",
                    self.shape(),
                    cos.shape(),
                    sin.shape()
                ),
            )
        })?;
        let x = self.widened()?;
        let (cos, sin) = (ready(&cos.detach(), x.dtype())?, ready(&sin.detach(), x.dtype())?);
        let rotation = Rotation { cos, sin, shape };
        let y = rotation.apply(&x, false)?;
        y.with_node(&[&x], || Box::new(rotation)).to_dtype(self.dtype())
    }
}

struct Rotation {
    cos: Tensor,
    sin: Tensor,
    shape: RotaryShape,
}

impl Rotation {
    fn apply(&self, x: &Tensor, inverse: bool) -> Result<Tensor> {
        real_dispatch!(x.dtype(), "rotary", T => {
            let (cos, sin) = (self.cos.cpu_slice::<T>()?, self.sin.cpu_slice::<T>()?);
            let values = rotary(&x.cpu_slice::<T>()?, &cos, &sin, self.shape, inverse);
            Tensor::from_vec(values, x.shape(), Device::Cpu)
        })
    }
}

impl Backward for Rotation {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.apply(grad, true)?)])
    }
}

#[cfg(test)]
mod tests;
