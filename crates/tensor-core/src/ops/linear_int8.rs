//! The affine map of a linear layer whose weight is kept in 8 bits.

use cpu_math::linear;

use crate::autograd::Backward;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::int8_weight::Int8Weight;
use crate::storage::Device;
use crate::tensor::Tensor;

impl Tensor {
    /// `x W' + bias` with a quantised weight.
    ///
    /// # Shapes
    ///
    /// As [`linear`](Self::linear): `(.., I)` to `(.., O)`.
    ///
    /// # Numerics
    ///
    /// The f32 product with the numbers that the weight stands for, in the dtype of `self`. A row of the
    /// input has the same result beside any others, up to 32 rows in all. The gradient flows to the
    /// input and the bias; the weight is frozen.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the shapes do not fit; [`DType`](crate::ErrorKind::DType)
    /// when the input is not f32, bf16 or f16.
    pub fn linear_int8(&self, weight: &Int8Weight, bias: Option<&Tensor>) -> Result<Tensor> {
        let [outputs, inputs] = weight.shape();
        let fits = self.rank() >= 1
            && self.dim(-1)? == inputs
            && bias.is_none_or(|bias| bias.shape() == [outputs]);
        if !fits {
            return Err(Error::shape(
                "linear_int8",
                format!(
                    "input {:?}, weight {:?}, bias {:?}, expected (.., I), (O, I), (O)",
                    self.shape(),
                    weight.shape(),
                    bias.map(Tensor::shape)
                ),
            ));
        }
        if self.dtype().widened() != DType::F32 {
            let text = format!("input is {}, expected f32, bf16 or f16", self.dtype());
            return Err(Error::dtype("linear_int8", text));
        }
        let mut shape = self.shape().to_vec();
        shape[self.rank() - 1] = outputs;
        let rows = shape[..self.rank() - 1].iter().product();
        let x = self.reshape(&[rows, inputs])?.widened()?;
        let mut y = vec![0.0; rows * outputs];
        linear::forward((rows, outputs, inputs), &x.cpu_slice()?, weight.weights(), &mut y);
        let y = Tensor::from_vec(y, &[rows, outputs], Device::Cpu)?
            .with_node(&[&x], || Box::new(LinearInt8Backward { weight: weight.clone() }));
        let y = match bias {
            Some(bias) => y.add(&bias.to_dtype(DType::F32)?)?,
            None => y,
        };
        y.reshape(&shape)?.to_dtype(self.dtype())
    }
}

struct LinearInt8Backward {
    weight: Int8Weight,
}

impl Backward for LinearInt8Backward {
    fn name(&self) -> &'static str {
        "linear_int8"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let ([outputs, inputs], rows) = (self.weight.shape(), grad.shape()[0]);
        let mut dx = vec![0.0; rows * inputs];
        let extents = (rows, outputs, inputs);
        linear::input_gradient(extents, &grad.cpu_slice()?, self.weight.weights(), &mut dx);
        Ok(vec![Some(Tensor::from_vec(dx, &[rows, inputs], Device::Cpu)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use crate::{ErrorKind, Var};

    #[test]
    fn a_quantised_map_is_that_of_the_numbers_it_stands_for() -> Result<()> {
        for (rows, outputs, inputs) in [(1, 1, 1), (3, 5, 64), (7, 33, 130), (40, 70, 200)] {
            let x = Var::new(noise(&[rows, inputs], 1).to_dtype(DType::F32)?);
            let bias = Var::new(noise(&[outputs], 3).to_dtype(DType::F32)?);
            let weight = Int8Weight::quantize(&noise(&[outputs, inputs], 2))?;
            let run = |y: Tensor| -> Result<[Vec<f32>; 3]> {
                let gradients = y.sqr()?.sum_all()?.backward()?;
                let of = |var: &Var| gradients.get(var).expect("the loss depends on it").to_vec();
                Ok([y.to_vec()?, of(&x)?, of(&bias)?])
            };
            let got = run(x.tensor().linear_int8(&weight, Some(&bias.tensor()))?)?;
            let want = run(x.tensor().linear(&weight.dequantize()?, Some(&bias.tensor()))?)?;
            for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                let error = (got - want).abs();
                assert!(
                    error <= 2e-5 * (1.0 + want.abs()),
                    "{rows} {outputs} {inputs}: {got} {want}"
                );
            }
            if rows <= 32 {
                assert_eq!(got[0], want[0]);
            }
        }
        Ok(())
    }

    #[test]
    fn the_error_of_a_weight_is_half_a_step_of_its_group() -> Result<()> {
        let w = noise(&[3, 130], 1);
        let (exact, close) =
            (w.to_vec_f64()?, Int8Weight::quantize(&w)?.dequantize()?.to_vec_f64()?);
        for row in 0..3 {
            for from in [0, 64, 128] {
                let group = row * 130 + from..row * 130 + 130.min(from + 64);
                let most = exact[group.clone()].iter().fold(0.0f64, |most, w| most.max(w.abs()));
                for at in group {
                    let error = (exact[at] - close[at]).abs();
                    assert!(error <= most / 254.0 * (1.0 + 1e-4), "{at}: {error}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn multiples_of_the_step_and_zeros_are_exact() -> Result<()> {
        let mut values: Vec<f32> = (-64..64).map(|q| q as f32 / 32.0).collect();
        (values[1], values[65]) = (127.0 / 32.0, -127.0 / 32.0);
        values.extend([0.0; 128]);
        let w = Tensor::from_vec(values.clone(), &[2, 128], Device::Cpu)?;
        assert_eq!(Int8Weight::quantize(&w)?.dequantize()?.to_vec::<f32>()?, values);
        Ok(())
    }

    #[test]
    fn what_cannot_be_quantised_or_multiplied_is_named() -> Result<()> {
        let w = Tensor::from_vec(vec![1.0f32, f32::NAN], &[1, 2], Device::Cpu)?;
        let error = Int8Weight::quantize(&w).unwrap_err();
        assert_eq!(error.to_string(), "quantize: weight (0, 1) is NaN, expected a finite one");
        let error = Int8Weight::quantize(&noise(&[2], 1)).unwrap_err();
        assert_eq!(error.to_string(), "quantize: weight is [2], expected (O, I)");
        let weight = Int8Weight::quantize(&noise(&[2, 3], 1))?;
        let error = noise(&[1, 3], 1).linear_int8(&weight, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DType);
        let error = noise(&[1, 4], 1).linear_int8(&weight, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        Ok(())
    }
}
