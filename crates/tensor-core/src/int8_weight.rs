//! A weight matrix of 8-bit integers, for inference where memory is short.

use std::sync::Arc;

use cpu_math::linear::{GROUP, Int8, Weights, quantize_row};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::storage::Device;
use crate::tensor::Tensor;

/// A frozen `(O, I)` weight in 8 bits, with an f32 scale for every 64 inputs of an output.
///
/// The error of a weight is at most one part in 254 of the largest one of its group. A weight takes
/// 1.0625 bytes. Cloning shares the elements.
#[derive(Clone)]
pub struct Int8Weight(Arc<Inner>);

impl std::fmt::Debug for Int8Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Int8Weight({:?})", self.shape())
    }
}

struct Inner {
    values: Vec<i8>,
    /// `(ceil(I / 64), O)`.
    scales: Vec<f32>,
    shape: [usize; 2],
}

impl Int8Weight {
    /// The nearest quantised matrix to a float one, a few rows at a time.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when `weight` is not `(O, I)`;
    /// [`DType`](crate::ErrorKind::DType) when it is not of a float dtype;
    /// [`Option`](crate::ErrorKind::Option) when an element is infinite or NaN.
    pub fn quantize(weight: &Tensor) -> Result<Self> {
        /// Rows that are widened at once.
        const ROWS: usize = 64;
        let &[outputs, inputs] = weight.shape() else {
            let text = format!("weight is {:?}, expected (O, I)", weight.shape());
            return Err(Error::shape("quantize", text));
        };
        if !weight.dtype().is_float() {
            let text = format!("weight is {}, expected a float dtype", weight.dtype());
            return Err(Error::dtype("quantize", text));
        }
        let groups = inputs.div_ceil(GROUP);
        let mut values = vec![0; outputs * inputs];
        let mut scales = vec![0.0; groups * outputs];
        let mut of_row = vec![0.0; groups];
        for first in (0..outputs).step_by(ROWS) {
            let rows = weight.narrow(0, first, ROWS.min(outputs - first))?;
            let wide = rows.detach().to_dtype(DType::F32)?.to_vec::<f32>()?;
            if let Some(at) = wide.iter().position(|w| !w.is_finite()) {
                let (row, col) = (first + at / inputs, at % inputs);
                let text = format!("weight ({row}, {col}) is {}, expected a finite one", wide[at]);
                return Err(Error::option("quantize", text));
            }
            for (row, wide) in (first..).zip(wide.chunks_exact(inputs.max(1))) {
                quantize_row(wide, &mut values[row * inputs..][..inputs], &mut of_row);
                for (group, &scale) in of_row.iter().enumerate() {
                    scales[group * outputs + row] = scale;
                }
            }
        }
        Ok(Self(Arc::new(Inner { values, scales, shape: [outputs, inputs] })))
    }

    /// `(O, I)`.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape
    }

    /// The numbers that it stands for, in f32.
    pub fn dequantize(&self) -> Result<Tensor> {
        let [outputs, inputs] = self.0.shape;
        let value = |at: usize| {
            let (row, col) = (at / inputs, at % inputs);
            f32::from(self.0.values[at]) * self.0.scales[col / GROUP * outputs + row]
        };
        Tensor::from_vec((0..outputs * inputs).map(value).collect(), &self.0.shape, Device::Cpu)
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights::Int8(Int8 { values: &self.0.values, scales: &self.0.scales })
    }
}
