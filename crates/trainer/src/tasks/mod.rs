//! Training problems: what a batch is, what is minimised, and how a model is scored.

pub mod asr;
pub mod ctc;
pub mod finetune_text;
pub mod language_model;
mod ridge;
pub mod speech_llm;
pub mod teach_whisper;

use std::sync::Arc;

use model_zoo::Parameters;
use tensor_core::{Context, Tensor};

use crate::batching::BatchPlan;

/// Named numbers, in the order they are reported.
pub type Scores = Vec<(String, f64)>;

/// Makes batches away from the training thread.
pub trait BatchSource: Send + Sync + 'static {
    /// What one forward pass reads.
    type Batch: Send + 'static;

    /// The micro-batch `number` of a run, made of these utterances of the plan.
    ///
    /// A pure function of its arguments and the recipe, so that a resumed run sees the batches
    /// that an unbroken one would.
    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<Self::Batch>;

    /// For every part of the loss, how many terms its sum has over this batch.
    fn counts(&self, batch: &Self::Batch) -> Vec<f64>;

    /// Seconds of audio and number of tokens, for throughput.
    fn volume(&self, batch: &Self::Batch) -> (f64, usize);
}

/// One summand of the loss.
pub struct LossPart {
    /// Name in the logs.
    pub name: &'static str,
    /// Sum over the terms of this micro-batch, a scalar in the graph.
    pub sum: Tensor,
    /// Weight in the total.
    pub weight: f64,
}

/// A problem as the training loop sees it.
///
/// The loop minimises `sum over parts of weight * sum / count`, with counts taken over all
/// micro-batches of a step, so that accumulation over unequal micro-batches equals one large
/// batch.
pub trait Task {
    /// The worker-side half.
    type Source: BatchSource;

    /// The worker-side half, shared with the prefetch threads.
    fn source(&self) -> Arc<Self::Source>;

    /// Which utterances form which micro-batch.
    fn plan(&self) -> Arc<BatchPlan>;

    /// Everything that is trained or saved, by name.
    fn parameters(&self) -> &Parameters;

    /// The loss of one micro-batch, in the order of [`BatchSource::counts`].
    fn loss(
        &mut self,
        ctx: &Context,
        batch: &<Self::Source as BatchSource>::Batch,
    ) -> anyhow::Result<Vec<LossPart>>;

    /// Means of the loss parts that compare two sides of a batch, without dropout; where `shuffled`,
    /// each item is compared with the other side of the next one. A part that does not rise then
    /// learns nothing from the other side. Empty where no part compares anything.
    fn probe(
        &self,
        batch: &<Self::Source as BatchSource>::Batch,
        shuffled: bool,
    ) -> anyhow::Result<Scores> {
        let _ = (batch, shuffled);
        Ok(Scores::new())
    }

    /// Called after a step: `applied` is false when its gradients were not usable.
    fn after_step(&mut self, applied: bool) -> anyhow::Result<()> {
        let _ = applied;
        Ok(())
    }

    /// State beside the parameters that affects later steps, such as memory banks.
    fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Restores what [`buffers`](Self::buffers) gave.
    fn load_buffers(
        &mut self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        let _ = read;
        Ok(())
    }

    /// Scores on the development set.
    fn evaluate(&self) -> anyhow::Result<Scores>;
}

/// Items of a batch, each in the place of the one before it.
pub(crate) fn next_items(items: usize) -> Vec<usize> {
    (0..items).map(|item| (item + 1) % items).collect()
}
