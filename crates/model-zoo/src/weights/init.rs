//! How a parameter is drawn when no file supplies it.

use tensor_core::{DType, Device, Philox, Tensor};

use crate::error::{Result, ZooError};

/// Distribution of a fresh parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Independent normal values with this standard deviation.
    Normal(f64),
    /// As `Normal`, with one row of zeros: an embedding whose padding row stays out of the sums.
    NormalExceptRow {
        /// Standard deviation of the other rows.
        std: f64,
        /// Row of zeros, usually `pad_token_id`.
        row: usize,
    },
    /// Independent values, uniform on `[lo, hi)`.
    Uniform {
        /// Smallest value.
        lo: f64,
        /// Bound above.
        hi: f64,
    },
    /// All equal.
    Constant(f64),
    /// All zero: biases.
    Zeros,
    /// All one: gains of norms.
    Ones,
    /// Ones on the main diagonal of a matrix, which need not be square, zeros elsewhere.
    Identity,
    /// Whisper's fixed positions `(T, D)`: sines in the first half of the columns, cosines in
    /// the second, wavelengths from `2 pi` to `10000 * 2 pi` in geometric steps.
    Sinusoids,
}

impl Init {
    /// What `torch` draws a map of `inputs` inputs from, and its bias: `kaiming_uniform_` with
    /// `a = sqrt(5)`, values within `1 / sqrt(inputs)`.
    pub(crate) fn fan_in(inputs: usize) -> Self {
        let bound = (inputs as f64).sqrt().recip();
        Self::Uniform { lo: -bound, hi: bound }
    }

    /// Draws a tensor of `shape`; the same generator state gives the same values.
    pub(crate) fn draw(
        self,
        shape: &[usize],
        rng: &mut Philox,
        dtype: DType,
        device: Device,
    ) -> Result<Tensor> {
        Ok(match self {
            Init::Normal(std) => Tensor::randn(shape, std, rng, dtype, device)?,
            Init::NormalExceptRow { std, row } => {
                let drawn = Tensor::randn(shape, std, rng, DType::F32, Device::Cpu)?;
                let mut values = drawn.to_vec::<f32>()?;
                let width: usize = shape.iter().skip(1).product();
                if let Some(padding) = values.get_mut(row * width..(row + 1) * width) {
                    padding.fill(0.0);
                }
                Tensor::from_vec(values, shape, Device::Cpu)?.to_dtype(dtype)?.to_device(device)?
            }
            Init::Uniform { lo, hi } => Tensor::rand_uniform(shape, lo, hi, rng, dtype, device)?,
            Init::Constant(value) => Tensor::full(shape, value, dtype, device)?,
            Init::Zeros => Tensor::zeros(shape, dtype, device)?,
            Init::Ones => Tensor::ones(shape, dtype, device)?,
            Init::Identity => Tensor::from_vec(identity(shape)?, shape, Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?,
            Init::Sinusoids => Tensor::from_vec(sinusoids(shape)?, shape, Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?,
        })
    }
}

/// `1` at `(i, i)`.
fn identity(shape: &[usize]) -> Result<Vec<f32>> {
    let &[rows, columns] = shape else {
        return Err(ZooError::shape("identity", format!("got shape {shape:?}, expected (M, N)")));
    };
    let mut values = vec![0.0; rows * columns];
    values.iter_mut().step_by(columns + 1).take(rows.min(columns)).for_each(|v| *v = 1.0);
    Ok(values)
}

/// `p(t, i) = sin(t w_i)`, `p(t, D/2 + i) = cos(t w_i)`, `w_i = 10000^(-i / (D/2 - 1))`.
fn sinusoids(shape: &[usize]) -> Result<Vec<f32>> {
    let &[positions, width] = shape else {
        return Err(ZooError::shape("sinusoids", format!("got shape {shape:?}, expected (T, D)")));
    };
    if width < 4 || width % 2 != 0 {
        let detail = format!("width is {width}, expected an even number of at least 4");
        return Err(ZooError::shape("sinusoids", detail));
    }
    let half = width / 2;
    let step = -(10_000f64.ln()) / (half - 1) as f64;
    let mut values = Vec::with_capacity(positions * width);
    for t in 0..positions {
        let angle = |i: usize| t as f64 * (step * i as f64).exp();
        values.extend((0..half).map(|i| angle(i).sin() as f32));
        values.extend((0..half).map(|i| angle(i).cos() as f32));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_position_is_all_sine_zero_and_cosine_one() {
        let values = sinusoids(&[3, 6]).unwrap();
        assert_eq!(values[..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert!((values[6] - 1f32.sin()).abs() < 1e-7);
        assert!((values[6 + 2] - 1e-4).abs() < 1e-9, "the slowest wave has frequency 1/10000");
    }

    #[test]
    fn identity_has_ones_on_the_main_diagonal_alone() {
        assert_eq!(identity(&[3, 2]).unwrap(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(identity(&[2, 3]).unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let text = identity(&[4]).unwrap_err().to_string();
        assert_eq!(text, "identity: got shape [4], expected (M, N)");
    }

    #[test]
    fn odd_width_is_refused() {
        let text = sinusoids(&[3, 5]).unwrap_err().to_string();
        assert_eq!(text, "sinusoids: width is 5, expected an even number of at least 4");
    }

    #[test]
    fn padding_row_is_zero_and_the_others_are_not() {
        let init = Init::NormalExceptRow { std: 0.5, row: 1 };
        let drawn = init.draw(&[3, 2], &mut Philox::new(1, 2), DType::F32, Device::Cpu).unwrap();
        let values = drawn.to_vec::<f32>().unwrap();
        assert_eq!(values[2..4], [0.0, 0.0]);
        assert!(values[..2].iter().chain(&values[4..]).all(|&v| v != 0.0));
    }
    #[test]
    fn a_row_that_is_not_there_is_no_panic() {
        let init = Init::NormalExceptRow { std: 0.5, row: 3 };
        for shape in [&[][..], &[2], &[2, 3]] {
            let drawn = init.draw(shape, &mut Philox::new(1, 2), DType::F32, Device::Cpu).unwrap();
            assert_eq!(drawn.shape(), shape);
        }
    }
}
