//! Layer, RMS and group normalisation with affine parameters.

use crate::autograd::Backward;
use crate::cpu::norm::{self, NormGradients, Normalized, Stats};
use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;
use cpu_math::real::Real;

impl Tensor {
    /// Normalises the last dimension to mean 0 and variance 1, then scales and shifts.
    ///
    /// ```text
    /// y = (x - mean) / sqrt(variance + norm_eps) weight + bias
    /// ```
    ///
    /// # Shapes
    ///
    /// `self: (.., D)`, `weight` and `bias`: `(D)`.
    ///
    /// # Numerics
    ///
    /// f32 (f64 for f64 input), in two passes: the variance is of deviations from the mean.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the parameters are not `(D)`;
    /// [`DType`](crate::ErrorKind::DType) when only one of input and parameters is f64.
    ///
    /// # Source
    ///
    /// Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, norm_eps: f64) -> Result<Tensor> {
        normalize(self, weight, Some(bias), Kind::Layer, norm_eps)
    }

    /// Divides the last dimension by its root mean square, then scales.
    ///
    /// ```text
    /// y = x / sqrt(mean(x^2) + norm_eps) weight
    /// ```
    ///
    /// # Shapes
    ///
    /// `self: (.., D)`, `weight: (D)`.
    ///
    /// # Errors
    ///
    /// As [`layer_norm`](Self::layer_norm).
    ///
    /// # Source
    ///
    /// Zhang and Sennrich 2019, arXiv:1910.07467.
    pub fn rms_norm(&self, weight: &Tensor, norm_eps: f64) -> Result<Tensor> {
        normalize(self, weight, None, Kind::Rms, norm_eps)
    }

    /// Normalises groups of neighbouring channels over their channels and time, then scales and
    /// shifts each channel.
    ///
    /// # Shapes
    ///
    /// `self: (B, C, T)`, `weight` and `bias`: `(C)`.
    ///
    /// # Errors
    ///
    /// As [`layer_norm`](Self::layer_norm), and [`Option`](crate::ErrorKind::Option) when `groups`
    /// does not divide C.
    ///
    /// # Source
    ///
    /// Wu and He 2018, arXiv:1803.08494.
    pub fn group_norm(
        &self,
        groups: usize,
        weight: &Tensor,
        bias: &Tensor,
        norm_eps: f64,
    ) -> Result<Tensor> {
        let &[_, channels, time] = self.shape() else {
            return Err(Error::shape(
                "group_norm",
                format!("input is {:?}, expected (B, C, T)", self.shape()),
            ));
        };
        if groups == 0 || channels % groups != 0 {
            return Err(Error::option(
                "group_norm",
                format!("groups is {groups}, expected a divisor of {channels} channels"),
            ));
        }
        normalize(self, weight, Some(bias), Kind::Group { groups, time }, norm_eps)
    }
}

/// What is normalised together.
#[derive(Clone, Copy)]
enum Kind {
    Layer,
    Rms,
    Group { groups: usize, time: usize },
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Layer => "layer_norm",
            Kind::Rms => "rms_norm",
            Kind::Group { .. } => "group_norm",
        }
    }

    /// Dimension that the parameters run along, counted from the end.
    fn channel_dim(self) -> isize {
        match self {
            Kind::Layer | Kind::Rms => -1,
            Kind::Group { .. } => -2,
        }
    }
}

fn normalize(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    kind: Kind,
    norm_eps: f64,
) -> Result<Tensor> {
    let op = kind.name();
    let x = input.widened()?;
    let weight = parameter("weight", &x, weight, kind)?;
    let bias = bias.map(|bias| parameter("bias", &x, bias, kind)).transpose()?;
    let (y, stats) = real_dispatch!(x.dtype(), op, T => {
        let (values, w) = (x.cpu_slice::<T>()?, weight.cpu_slice::<T>()?);
        let b = bias.as_ref().map(|bias| bias.cpu_slice::<T>()).transpose()?;
        let Normalized { y, stats } = match (kind, &b) {
            (Kind::Group { groups, time }, Some(b)) => {
                norm::group_norm::<T>(&values, (groups, time), &w, b, norm_eps)
            }
            _ => norm::norm_rows::<T>(&values, &w, b.as_deref(), norm_eps),
        };
        Ok((Tensor::from_vec(y, x.shape(), Device::Cpu)?, stats.into()))
    })?;
    let mut inputs = vec![&x, &weight];
    inputs.extend(&bias);
    let node = || -> Box<dyn Backward> {
        Box::new(NormBackward { x: x.detach(), weight: weight.detach(), stats, kind })
    };
    y.with_node(&inputs, node).to_dtype(input.dtype())
}

/// A parameter in the dtype that the operator computes in.
fn parameter(name: &str, x: &Tensor, parameter: &Tensor, kind: Kind) -> Result<Tensor> {
    let op = kind.name();
    let channels = x.dim(kind.channel_dim()).map_err(|_| {
        Error::shape(op, format!("input is {:?}, expected at least one dimension", x.shape()))
    })?;
    if parameter.shape() != [channels] {
        return Err(Error::shape(
            op,
            format!(
                "{name} is {:?}, expected [{channels}] for input {:?}",
                parameter.shape(),
                x.shape()
            ),
        ));
    }
    let parameter = parameter.widened()?;
    if parameter.dtype() != x.dtype() {
        return Err(Error::dtype(
            op,
            format!("{name} is {}, expected {} as the input", parameter.dtype(), x.dtype()),
        ));
    }
    Ok(parameter)
}

/// Statistics in the precision they were computed in.
enum SavedStats {
    F32(Vec<Stats<f32>>),
    F64(Vec<Stats<f64>>),
}

impl From<Vec<Stats<f32>>> for SavedStats {
    fn from(stats: Vec<Stats<f32>>) -> Self {
        SavedStats::F32(stats)
    }
}

impl From<Vec<Stats<f64>>> for SavedStats {
    fn from(stats: Vec<Stats<f64>>) -> Self {
        SavedStats::F64(stats)
    }
}

struct NormBackward {
    x: Tensor,
    weight: Tensor,
    stats: SavedStats,
    kind: Kind,
}

impl Backward for NormBackward {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        match &self.stats {
            SavedStats::F32(stats) => self.gradients::<f32>(stats, grad),
            SavedStats::F64(stats) => self.gradients::<f64>(stats, grad),
        }
    }
}

impl NormBackward {
    fn gradients<T: Real + Element>(
        &self,
        stats: &[Stats<T>],
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let (x, dy) = (self.x.cpu_slice::<T>()?, grad.cpu_slice::<T>()?);
        let weight = self.weight.cpu_slice::<T>()?;
        let NormGradients { dx, dweight, dbias } = match self.kind {
            Kind::Group { groups, time } => {
                norm::group_norm_backward(&x, &dy, stats, (groups, time), &weight)
            }
            Kind::Layer => norm::norm_rows_backward(&x, &dy, stats, &weight, true),
            Kind::Rms => norm::norm_rows_backward(&x, &dy, stats, &weight, false),
        };
        let tensor = |values: Vec<T>, like: &Tensor| {
            Tensor::from_vec(values, like.shape(), Device::Cpu).map(Some)
        };
        let mut gradients = vec![tensor(dx, &self.x)?, tensor(dweight, &self.weight)?];
        if !matches!(self.kind, Kind::Rms) {
            gradients.push(tensor(dbias, &self.weight)?);
        }
        Ok(gradients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gradcheck, noise};
    use crate::{DType, ErrorKind};

    #[test]
    fn gradients_agree_with_finite_differences() {
        for shape in [&[1, 3][..], &[5, 2], &[3, 2, 17], &[2, 129], &[7]] {
            let d = shape[shape.len() - 1];
            let inputs = [noise(shape, 1), noise(&[d], 2), noise(&[d], 3)];
            gradcheck(|x| x[0].layer_norm(&x[1], &x[2], 1e-2), &inputs);
            gradcheck(|x| x[0].rms_norm(&x[1], 1e-2), &inputs[..2]);
        }
        for (shape, groups) in [([1, 1, 7], 1), ([2, 6, 5], 3), ([2, 4, 3], 4), ([3, 4, 1], 2)] {
            let c = shape[1];
            let inputs = [noise(&shape, 1), noise(&[c], 2), noise(&[c], 3)];
            gradcheck(|x| x[0].group_norm(groups, &x[1], &x[2], 1e-2), &inputs);
        }
    }

    #[test]
    fn bf16_input_takes_f32_parameters() -> Result<()> {
        let x = noise(&[3, 17], 1).to_dtype(DType::BF16)?;
        let (w, b) = (noise(&[17], 2).to_dtype(DType::F32)?, noise(&[17], 3).to_dtype(DType::F32)?);
        let y = x.layer_norm(&w, &b, 1e-5)?;
        let want = x.to_dtype(DType::F32)?.layer_norm(&w, &b, 1e-5)?.to_dtype(DType::BF16)?;
        assert_eq!((y.dtype(), y.to_vec_f32()?), (DType::BF16, want.to_vec_f32()?));
        Ok(())
    }

    #[test]
    fn wrong_parameters_are_refused_with_both_shapes() {
        let (x, three) = (noise(&[2, 4, 5], 1), noise(&[3], 2));
        let text = |result: Result<Tensor>| result.unwrap_err().to_string();
        assert_eq!(
            text(x.rms_norm(&three, 1e-5)),
            "rms_norm: weight is [3], expected [5] for input [2, 4, 5]"
        );
        assert_eq!(
            text(x.group_norm(3, &three, &three, 1e-5)),
            "group_norm: groups is 3, expected a divisor of 4 channels"
        );
        let wide = noise(&[5], 1).to_dtype(DType::F32);
        let error = wide.and_then(|w| x.rms_norm(&w, 1e-5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DType);
    }
}
