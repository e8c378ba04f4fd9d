//! Loss and gradients of a step, accumulated over its micro-batches.
//!
//! Each part of the loss is divided by its count over the *whole* step, known before the first
//! forward pass, so that unequal micro-batches weigh by their terms and add up to one large batch:
//!
//! ```text
//! loss = sum over parts p of weight_p * (sum over batches of sum_p) / max(1, sum over batches of count_p)
//! ```

use tensor_core::{Context, DType, Gradients};

use crate::recipe::{Precision, Recipe};
use crate::tasks::{BatchSource, Task};

/// What the micro-batches of a step add up to.
pub(super) struct Accumulated {
    /// Name and mean of each part, without its weight.
    pub(super) parts: Vec<(&'static str, f64)>,
    /// Weighted sum of the parts.
    pub(super) loss: f64,
    /// Gradients of `loss`.
    pub(super) gradients: Gradients,
}

/// Forward and backward pass of step number `step` over its micro-batches, in order.
pub(super) fn accumulate<T: Task>(
    task: &mut T,
    recipe: &Recipe,
    step: u64,
    batches: &[<T::Source as BatchSource>::Batch],
) -> anyhow::Result<Accumulated> {
    let source = task.source();
    let mut counts: Vec<f64> = Vec::new();
    for batch in batches {
        let own = source.counts(batch);
        counts.resize(own.len(), 0.0);
        counts.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    let mut gradients = Gradients::new();
    let mut parts: Vec<(&'static str, f64)> = Vec::new();
    let mut loss = 0.0;
    for (k, batch) in batches.iter().enumerate() {
        let mut ctx = Context::train(recipe.seed, step * batches.len() as u64 + k as u64);
        if recipe.train.precision == Precision::Bf16 {
            ctx = ctx.with_autocast(DType::BF16);
        }
        let mut total = None;
        for (index, part) in task.loss(&ctx, batch)?.into_iter().enumerate() {
            let mean = part.sum.mul_scalar(1.0 / counts[index].max(1.0))?;
            let value = mean.item()?;
            match parts.get_mut(index) {
                Some((_, sum)) => *sum += value,
                None => parts.push((part.name, value)),
            }
            loss += part.weight * value;
            let weighted = mean.mul_scalar(part.weight)?;
            total = Some(match total {
                Some(total) => weighted.add(&total)?,
                None => weighted,
            });
        }
        if let Some(total) = total {
            gradients.accumulate(total.backward()?)?;
        }
    }
    Ok(Accumulated { parts, loss, gradients })
}
