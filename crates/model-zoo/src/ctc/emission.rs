//! The scores that CTC decodes: log-probabilities of every label at every frame of one item.

use tensor_core::Tensor;

use crate::error::{Result, ZooError};

const PLACE: &str = "ctc emission";

/// Log-probabilities `(T, V)` of one item, f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    log_probs: Vec<f64>,
    vocab: usize,
}

impl Emission {
    /// From log-probabilities in row-major order.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when `vocab` is 0 or does not divide their number;
    /// [`Option`](crate::ErrorKind::Option) when one of them is NaN.
    pub fn new(log_probs: Vec<f64>, vocab: usize) -> Result<Self> {
        if vocab == 0 || !log_probs.len().is_multiple_of(vocab) {
            let detail =
                format!("{} values, expected a multiple of {vocab} labels", log_probs.len());
            return Err(ZooError::shape(PLACE, detail));
        }
        if let Some(at) = log_probs.iter().position(|p| p.is_nan()) {
            let detail = format!("frame {}, label {}: NaN", at / vocab, at % vocab);
            return Err(ZooError::option(PLACE, detail));
        }
        Ok(Self { log_probs, vocab })
    }

    /// The items of logits `(B, T, V)`, each with its valid frames alone. The softmax is taken in
    /// f64; frames beyond an item's length are not read.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the logits are not `(B, T, V)` or the lengths do
    /// not fit; [`Option`](crate::ErrorKind::Option) when a valid logit is NaN.
    pub fn from_logits(logits: &Tensor, lengths: &[usize]) -> Result<Vec<Self>> {
        let &[batch, time, vocab] = logits.shape() else {
            let detail = format!("logits is {:?}, expected (B, T, V)", logits.shape());
            return Err(ZooError::shape(PLACE, detail));
        };
        if lengths.len() != batch {
            let detail = format!("{} lengths, expected {batch}", lengths.len());
            return Err(ZooError::shape(PLACE, detail));
        }
        if let Some((k, n)) = lengths.iter().enumerate().find(|(_, n)| **n > time) {
            let detail = format!("lengths[{k}] is {n}, expected at most {time}");
            return Err(ZooError::shape(PLACE, detail));
        }
        let item = |(k, &n): (usize, &usize)| {
            let mut values = logits.select(0, k)?.narrow(0, 0, n)?.to_vec_f64()?;
            for row in values.chunks_exact_mut(vocab.max(1)) {
                let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = row.iter().map(|x| (x - top).exp()).sum();
                row.iter_mut().for_each(|x| *x -= top + sum.ln());
            }
            Self::new(values, vocab)
        };
        lengths.iter().enumerate().map(item).collect()
    }

    /// Number of labels `V`, the blank included.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Number of frames `T`.
    pub fn len(&self) -> usize {
        self.log_probs.len() / self.vocab
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.log_probs.is_empty()
    }

    /// The frames in order, `V` log-probabilities each.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.log_probs.chunks_exact(self.vocab)
    }

    /// Log-probability of `label` at frame `t`.
    pub(super) fn at(&self, t: usize, label: u32) -> f64 {
        self.log_probs[t * self.vocab + label as usize]
    }

    /// Refuses a blank that is no label.
    pub(super) fn check_blank(&self, place: &str, blank: u32) -> Result<()> {
        if (blank as usize) < self.vocab {
            return Ok(());
        }
        let detail = format!("blank is {blank}, expected below {}", self.vocab);
        Err(ZooError::option(place, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_core::Device;

    #[test]
    fn each_item_gets_its_valid_frames_as_log_probabilities() {
        let logits = vec![1.0f32, 1.0, 0.0, f32::ln(3.0), f32::NAN, f32::NAN, 5.0, -5.0];
        let logits = Tensor::from_vec(logits, &[2, 2, 2], Device::Cpu).unwrap();
        let text = Emission::from_logits(&logits, &[2, 1]).unwrap_err().to_string();
        assert_eq!(text, "ctc emission: frame 0, label 0: NaN");
        let logits = logits.narrow(0, 0, 1).unwrap();
        let items = Emission::from_logits(&logits, &[2]).unwrap();
        let expected = [0.5f64, 0.5, 0.25, 0.75];
        for (got, expected) in items[0].log_probs.iter().zip(expected) {
            assert!((got.exp() - expected).abs() < 1e-7);
        }
        let text = Emission::from_logits(&logits, &[3]).unwrap_err().to_string();
        assert_eq!(text, "ctc emission: lengths[0] is 3, expected at most 2");
    }
}
