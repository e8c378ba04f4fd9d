//! The CTC loss.

use crate::autograd::Backward;
use crate::cpu::ctc::CtcProblem;
use crate::error::{Error, Result};
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;
use cpu_math::number::Number as _;

/// Returns each item's negative log-likelihood of its label sequence, in nats.
///
/// ```text
/// loss_b = -ln sum over paths pi that spell target_b of  prod_t softmax(logits[b, t])[pi_t]
/// ```
///
/// A path has one symbol a frame; it spells the sequence left after merging repeats and then
/// removing blanks.
///
/// # Shapes
///
/// | argument        | shape       | dtype | meaning                                     |
/// |-----------------|-------------|-------|---------------------------------------------|
/// | `logits`        | `(B, T, V)` | float | unnormalised; the softmax is inside         |
/// | `logit_lengths` | `B`         |       | valid frames, at most `T`                   |
/// | `targets`       | `B`         |       | labels in `0..V` without the blank          |
/// | result          | `(B)`       | f32, or f64 for f64 logits |                        |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when the counts or extents disagree;
/// [`Option`](crate::ErrorKind::Option) when `blank` or a label is outside the vocabulary, or a
/// label is the blank.
///
/// # Numerics
///
/// The lattice is in f64 and in the log domain. Frames at or after an item's length are never
/// read, so NaN there changes nothing, and their gradient is zero. A target without any path (too
/// few frames) costs infinity and has a NaN gradient, as in PyTorch; with `zero_infinity` both are
/// zero. An empty target costs the sum of the blanks.
///
/// # Source
///
/// Graves et al. 2006, "Connectionist temporal classification", equations 6 to 15; edge cases as
/// `torch.nn.functional.ctc_loss` with `reduction="none"`.
pub fn ctc_loss(
    logits: &Tensor,
    logit_lengths: &[usize],
    targets: &[Vec<u32>],
    blank: usize,
    zero_infinity: bool,
) -> Result<Tensor> {
    check(logits, logit_lengths, targets, blank)?;
    let logits = logits.widened()?;
    let call = Call {
        logits: logits.detach(),
        logit_lengths: logit_lengths.to_vec(),
        targets: targets.to_vec(),
        blank,
        zero_infinity,
    };
    let losses = real_dispatch!(logits.dtype(), "ctc_loss", T => {
        let slice = call.logits.cpu_slice::<T>()?;
        let losses = call.problem(&slice).losses();
        let losses: Vec<T> = losses.into_iter().map(T::from_f64).collect();
        Tensor::from_vec(losses, &[targets.len()], Device::Cpu)
    })?;
    Ok(losses.with_node(&[&logits], || Box::new(CtcBackward { call })))
}

fn check(
    logits: &Tensor,
    logit_lengths: &[usize],
    targets: &[Vec<u32>],
    blank: usize,
) -> Result<()> {
    let &[batch, n_frames, vocab] = logits.shape() else {
        return Err(Error::shape(
            "ctc_loss",
            format!("logits {:?}, expected (B, T, V)", logits.shape()),
        ));
    };
    if (logit_lengths.len(), targets.len()) != (batch, batch) {
        return Err(Error::shape(
            "ctc_loss",
            format!(
                "{} lengths and {} targets, expected {batch} as in logits {:?}",
                logit_lengths.len(),
                targets.len(),
                logits.shape()
            ),
        ));
    }
    if let Some(b) = logit_lengths.iter().position(|&len| len > n_frames) {
        let text =
            format!("length of item {b} is {}, expected at most {n_frames}", logit_lengths[b]);
        return Err(Error::shape("ctc_loss", text));
    }
    if blank >= vocab {
        let text = format!("blank is {blank}, expected 0..{vocab}");
        return Err(Error::option("ctc_loss", text));
    }
    for (b, target) in targets.iter().enumerate() {
        for (u, &label) in target.iter().enumerate() {
            if label as usize >= vocab || label as usize == blank {
                return Err(Error::option(
                    "ctc_loss",
                    format!(
                        "label {u} of item {b} is {label}, expected 0..{vocab} without the blank {blank}"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// One call's operands, off the graph.
struct Call {
    logits: Tensor,
    logit_lengths: Vec<usize>,
    targets: Vec<Vec<u32>>,
    blank: usize,
    zero_infinity: bool,
}

impl Call {
    fn problem<'a, T>(&'a self, logits: &'a [T]) -> CtcProblem<'a, T> {
        CtcProblem {
            logits,
            n_frames: self.logits.shape()[1],
            vocab: self.logits.shape()[2],
            logit_lengths: &self.logit_lengths,
            targets: &self.targets,
            blank: self.blank,
            zero_infinity: self.zero_infinity,
        }
    }
}

struct CtcBackward {
    call: Call,
}

impl Backward for CtcBackward {
    fn name(&self) -> &'static str {
        "ctc_loss"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let loss_grads = grad.to_vec_f64()?;
        real_dispatch!(self.call.logits.dtype(), "ctc_loss", T => {
            let logits = self.call.logits.cpu_slice::<T>()?;
            let values = self.call.problem(&logits).logit_grads(&loss_grads);
            Ok(vec![Some(Tensor::from_vec(values, self.call.logits.shape(), Device::Cpu)?)])
        })
    }
}

#[cfg(test)]
mod tests;
