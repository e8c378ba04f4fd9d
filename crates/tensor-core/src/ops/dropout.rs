//! Dropout with a mask that is drawn again, not stored.

use crate::autograd::Backward;
use crate::error::{Error, Result};
use crate::philox::{self, DropoutKey};
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

impl Tensor {
    /// Zeroes each element with probability `p` and scales the others by `1 / (1 - p)`.
    ///
    /// Element `i` in row-major order is kept or dropped by counter `i / 4`, word `i % 4` of the
    /// Philox stream that `key` names; the same key gives the same mask.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when `p` is outside `[0, 1)`.
    pub fn dropout(&self, p: f64, key: DropoutKey) -> Result<Tensor> {
        if !(0.0..1.0).contains(&p) {
            return Err(Error::option("dropout", format!("p is {p}, expected 0 <= p < 1")));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let x = self.widened()?;
        drop_out(&x, p, key)?
            .with_node(&[&x], || Box::new(DropoutBackward { p, key }))
            .to_dtype(self.dtype())
    }
}

fn drop_out(x: &Tensor, p: f64, key: DropoutKey) -> Result<Tensor> {
    real_dispatch!(x.dtype(), "dropout", T => {
        let out = philox::dropout::<T>(&x.cpu_slice::<T>()?, p, key);
        Tensor::from_vec(out, x.shape(), Device::Cpu)
    })
}

struct DropoutBackward {
    p: f64,
    key: DropoutKey,
}

impl Backward for DropoutBackward {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(drop_out(grad, self.p, self.key)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gradcheck, noise};
    use crate::{DType, ErrorKind};

    const KEY: DropoutKey = DropoutKey { seed: 4, stream: 2 };

    #[test]
    fn the_backward_pass_draws_the_same_mask() {
        gradcheck(|x| x[0].dropout(0.4, KEY), &[noise(&[3, 17], 1)]);
        gradcheck(|x| x[0].transpose(0, 1)?.dropout(0.4, KEY), &[noise(&[3, 17], 1)]);
    }

    #[test]
    fn a_key_names_one_mask_in_every_dtype() -> Result<()> {
        let ones = |dtype| Tensor::ones(&[7, 129], dtype, Device::Cpu)?.dropout(0.5, KEY);
        let want = ones(DType::F64)?.to_vec_f64()?;
        assert!(want.contains(&0.0) && want.contains(&2.0));
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            assert_eq!(ones(dtype)?.to_vec_f64()?, want);
        }
        Ok(())
    }

    #[test]
    fn a_probability_outside_its_range_is_refused() {
        for p in [-0.1, 1.0, f64::NAN] {
            let error = noise(&[3], 1).dropout(p, KEY).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Option);
            assert_eq!(error.to_string(), format!("dropout: p is {p}, expected 0 <= p < 1"));
        }
    }
}
