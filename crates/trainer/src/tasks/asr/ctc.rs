//! A CTC head beside the decoder, on the pieces of the transcript.
//!
//! It teaches the encoder of a model from scratch to listen before the decoder has learnt to
//! align, and says what the encoder hears without the decoder's guesses.

use std::ops::Range;

use model_zoo::Parameters;
use model_zoo::whisper::{EncoderOutput, Whisper};
use tensor_core::{Context, DType, Device, Philox, Tensor, Var, ctc_loss};

use super::align::forced_alignment;

/// A linear map from encoder states to the vocabulary.
pub(super) struct CtcHead {
    /// A token that no transcript holds.
    blank: u32,
    weight: Var,
    bias: Var,
}

impl CtcHead {
    /// A head with random weights, which are added to `parameters`.
    pub(super) fn new(
        model: &Whisper,
        parameters: &mut Parameters,
        blank: u32,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (width, vocab) = (model.config.d_model, model.config.vocab_size);
        let std = model.config.init_std;
        let mut rng = Philox::new(seed, u64::from_le_bytes(*b"ctc_head"));
        let weight = Tensor::randn(&[vocab, width], std, &mut rng, DType::F32, Device::Cpu)?;
        let bias = Tensor::zeros(&[vocab], DType::F32, Device::Cpu)?;
        let head = Self { blank, weight: Var::new(weight), bias: Var::new(bias) };
        parameters.insert("ctc_head.weight", head.weight.clone())?;
        parameters.insert("ctc_head.bias", head.bias.clone())?;
        Ok(head)
    }

    /// Sum of the losses of a batch.
    pub(super) fn loss(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        labels: &[Vec<u32>],
    ) -> anyhow::Result<Tensor> {
        let logits = self.logits(ctx, memory)?;
        Ok(ctc_loss(&logits, &memory.lengths, labels, self.blank as usize, true)?.sum_all()?)
    }

    /// The best piece of each frame, repeats merged and blanks dropped: a row an item.
    pub(super) fn read(&self, memory: &EncoderOutput) -> anyhow::Result<Vec<Vec<u32>>> {
        let logits = self.logits(&Context::eval(), memory)?;
        let best = logits.argmax(-1)?.to_vec::<i64>()?;
        let rows = best.chunks(logits.shape()[1].max(1)).zip(&memory.lengths);
        Ok(rows.map(|(row, &length)| collapse(&row[..length], self.blank)).collect())
    }

    /// Encoder positions of each label of each item; `None` where the labels do not fit.
    pub(super) fn align<'a>(
        &self,
        memory: &EncoderOutput,
        labels: impl Iterator<Item = &'a [u32]>,
    ) -> anyhow::Result<Vec<Option<Vec<Range<usize>>>>> {
        let log_probs = self.logits(&Context::eval(), memory)?.log_softmax()?;
        let (positions, vocab) = (log_probs.shape()[1], log_probs.shape()[2]);
        let values = log_probs.to_vec::<f32>()?;
        let rows = values.chunks((positions * vocab).max(1)).zip(&memory.lengths).zip(labels);
        Ok(rows
            .map(|((row, &length), labels)| {
                forced_alignment(&row[..length * vocab], vocab, labels, self.blank)
            })
            .collect())
    }

    fn logits(&self, ctx: &Context, memory: &EncoderOutput) -> anyhow::Result<Tensor> {
        let weight = ctx.weight(&self.weight)?;
        Ok(memory.last_hidden_state.linear(&weight, Some(&ctx.param(&self.bias)))?)
    }
}

/// One label a run of equal ones, without the blanks.
fn collapse(frames: &[i64], blank: u32) -> Vec<u32> {
    let mut labels: Vec<u32> = frames.iter().map(|&id| id as u32).collect();
    labels.dedup();
    labels.retain(|&id| id != blank);
    labels
}

#[cfg(test)]
mod tests {
    use super::collapse;

    #[test]
    fn repeats_merge_unless_a_blank_parts_them() {
        assert_eq!(collapse(&[9, 3, 3, 9, 3, 5, 5, 9, 9], 9), [3, 3, 5]);
        assert!(collapse(&[9, 9], 9).is_empty());
        assert!(collapse(&[], 9).is_empty());
    }
}
