//! A CTC head beside the decoder, on the pieces of the transcript.
//!
//! It teaches the encoder of a model from scratch to listen before the decoder has learnt to
//! align, and says what the encoder hears without the decoder's guesses.

use model_zoo::ctc::{AlignmentRule, Emission, TokenSpan, forced_align, greedy};
use model_zoo::whisper::{EncoderOutput, Whisper};
use model_zoo::{ErrorKind, Parameters};
use tensor_core::{Context, DType, Device, Philox, Tensor, Var, ctc_loss};

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
        let emissions = self.emissions(memory)?;
        emissions.iter().map(|emission| Ok(greedy(emission, self.blank)?)).collect()
    }

    /// Encoder positions of each label of each item; `None` where the labels do not fit.
    pub(super) fn align<'a>(
        &self,
        memory: &EncoderOutput,
        labels: impl Iterator<Item = &'a [u32]>,
    ) -> anyhow::Result<Vec<Option<Vec<TokenSpan>>>> {
        let emissions = self.emissions(memory)?;
        emissions
            .iter()
            .zip(labels)
            .map(|(emission, labels)| {
                match forced_align(emission, labels, self.blank, AlignmentRule::Ctc) {
                    Ok(alignment) => Ok(Some(alignment.spans)),
                    Err(error) if error.kind() == ErrorKind::Shape => Ok(None),
                    Err(error) => Err(error.into()),
                }
            })
            .collect()
    }

    fn emissions(&self, memory: &EncoderOutput) -> anyhow::Result<Vec<Emission>> {
        let logits = self.logits(&Context::eval(), memory)?;
        Ok(Emission::from_logits(&logits, &memory.lengths)?)
    }

    fn logits(&self, ctx: &Context, memory: &EncoderOutput) -> anyhow::Result<Tensor> {
        let weight = ctx.weight(&self.weight)?;
        Ok(memory.last_hidden_state.linear(&weight, Some(&ctx.param(&self.bias)))?)
    }
}
