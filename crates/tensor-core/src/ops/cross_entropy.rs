//! Cross-entropy over the vocabulary, with ignored rows and label smoothing.

use crate::autograd::Backward;
use crate::cpu::cross_entropy::Targets;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;

/// Options of [`cross_entropy`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropyOptions {
    /// Rows with this label count for nothing.
    pub ignore_index: i64,
    /// Share of the target spread evenly over the whole vocabulary, the label included; in
    /// `[0, 1]`.
    pub label_smoothing: f64,
}

impl Default for CrossEntropyOptions {
    fn default() -> Self {
        Self { ignore_index: -100, label_smoothing: 0.0 }
    }
}

/// Returns the sum over labelled rows of the cross-entropy, in nats; the caller divides.
///
/// ```text
/// loss = sum_n [ logsumexp(x_n) - (1 - s) x_n[label_n] - s mean_v x_n[v] ]
/// ```
///
/// # Shapes
///
/// | argument | shape    | dtype  | meaning                                   |
/// |----------|----------|--------|-------------------------------------------|
/// | `logits` | `(N, V)` | float  | unnormalised                              |
/// | `labels` | `(N)`    | i64    | in `0..V`, or `options.ignore_index`      |
/// | result   | `()`     | f32, or f64 for f64 logits | sum                   |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when the extents disagree;
/// [`Option`](crate::ErrorKind::Option) when a label is outside the vocabulary, naming its row, or
/// the smoothing is outside `[0, 1]`; [`DType`](crate::ErrorKind::DType) when `labels` is not i64.
///
/// # Numerics
///
/// No probabilities are kept: one log-sum-exp a row serves the backward pass. Rows are summed in
/// f64. Logits of ignored rows are never read, so NaN there changes nothing, and their gradient is
/// zero. bf16 and f16 logits compute in f32, and the loss stays f32.
///
/// # Source
///
/// `torch.nn.functional.cross_entropy` with `reduction="sum"`, whose smoothing this matches.
///
/// # Examples
///
/// ```
/// use tensor_core::{CrossEntropyOptions, Device, Tensor, cross_entropy};
///
/// # fn main() -> tensor_core::Result<()> {
/// let logits = Tensor::from_vec(vec![0.0f32; 8], &[2, 4], Device::Cpu)?;
/// let labels = Tensor::from_vec(vec![3i64, -100], &[2], Device::Cpu)?;
/// let loss = cross_entropy(&logits, &labels, CrossEntropyOptions::default())?;
/// assert!((loss.item()? - 4f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    options: CrossEntropyOptions,
) -> Result<Tensor> {
    let (&[n, vocab], &[n_labels]) = (logits.shape(), labels.shape()) else {
        return Err(shape_error(logits, labels));
    };
    if n != n_labels {
        return Err(shape_error(logits, labels));
    }
    if !(0.0..=1.0).contains(&options.label_smoothing) {
        let text = format!("label_smoothing is {}, expected 0 to 1", options.label_smoothing);
        return Err(Error::option("cross_entropy", text));
    }
    if labels.dtype() != DType::I64 {
        let text = format!("labels are {}, expected i64", labels.dtype());
        return Err(Error::dtype("cross_entropy", text));
    }
    let labels = checked_labels(labels, vocab, options.ignore_index)?;
    let smoothing = options.label_smoothing;
    let logits = logits.widened()?;
    let (loss, lse) = real_dispatch!(logits.dtype(), "cross_entropy", T => {
        let targets = Targets { vocab, labels: &labels, label_smoothing: smoothing };
        let (loss, lse) = targets.forward(&logits.cpu_slice::<T>()?);
        Ok((
            Tensor::scalar(loss, T::DTYPE, Device::Cpu)?,
            Tensor::from_vec(lse, &[n], Device::Cpu)?,
        ))
    })?;
    Ok(loss.with_node(&[&logits], || {
        Box::new(CrossEntropyBackward { logits: logits.detach(), lse, labels, smoothing })
    }))
}

fn shape_error(logits: &Tensor, labels: &Tensor) -> Error {
    Error::shape(
        "cross_entropy",
        format!("logits {:?}, labels {:?}, expected (N, V), (N)", logits.shape(), labels.shape()),
    )
}

fn checked_labels(labels: &Tensor, vocab: usize, ignore: i64) -> Result<Vec<Option<usize>>> {
    let label = |(row, &label): (usize, &i64)| match usize::try_from(label) {
        _ if label == ignore => Ok(None),
        Ok(label) if label < vocab => Ok(Some(label)),
        _ => Err(Error::option(
            "cross_entropy",
            format!("label of row {row} is {label}, expected 0..{vocab} or {ignore}"),
        )),
    };
    labels.cpu_slice::<i64>()?.iter().enumerate().map(label).collect()
}

struct CrossEntropyBackward {
    logits: Tensor,
    /// `(N)`.
    lse: Tensor,
    labels: Vec<Option<usize>>,
    smoothing: f64,
}

impl Backward for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Self { logits, lse, labels, smoothing } = *self;
        let (n, vocab) = (labels.len(), logits.dim(-1)?);
        let targets = Targets { vocab, labels: &labels, label_smoothing: smoothing };
        real_dispatch!(logits.dtype(), "cross_entropy", T => {
            let mut values = logits.into_values::<T>()?;
            targets.backward(&mut values, &lse.cpu_slice::<T>()?, grad.item()?);
            Ok(vec![Some(Tensor::from_vec(values, &[n, vocab], Device::Cpu)?)])
        })
    }
}

#[cfg(test)]
mod tests;
