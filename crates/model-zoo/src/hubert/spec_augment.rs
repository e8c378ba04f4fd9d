//! SpecAugment as the published models train with it: spans of frames become one learned vector,
//! spans of channels become zero.
//!
//! Park et al. 2019, arXiv:1904.08779; spans are counted as `_compute_mask_indices` of
//! `transformers` counts them, each item by its own length. An item shorter than a span is left
//! as it is, where `transformers` refuses the batch.

use tensor_core::{Context, Philox, Tensor, Var};

use super::config::HubertConfig;
use crate::error::{Result, ZooError};

/// How spans are drawn along one axis.
#[derive(Debug, Clone, Copy)]
struct Spans {
    /// Expected number of masked places over all places, before spans overlap.
    prob: f64,
    /// Places of a span.
    length: usize,
    /// Fewest spans.
    min_masks: usize,
}

impl Spans {
    /// Spans of an axis of `n` places; `rounding` in `[0, 1)` rounds their number up or down.
    fn count(self, n: usize, rounding: f64) -> usize {
        let drawn = (self.prob * n as f64 / self.length as f64 + rounding) as usize;
        let starts = (n + 1).saturating_sub(self.length);
        drawn.max(self.min_masks).min(n / self.length).min(starts)
    }

    /// `(lengths.len(), width)`, one where a place is masked; no span reaches beyond its item's
    /// length.
    fn draw(self, lengths: &[usize], width: usize, rng: &mut Philox) -> Vec<u8> {
        let rounding = f64::from(rng.uniform());
        let mut mask = vec![0; lengths.len() * width];
        for (row, &n) in mask.chunks_exact_mut(width).zip(lengths) {
            // Starts without repetition: the first places of a shuffle.
            let count = self.count(n, rounding);
            let mut starts: Vec<usize> = (0..(n + 1).saturating_sub(self.length)).collect();
            for k in 0..count {
                let chosen = k + rng.below((starts.len() - k) as u32) as usize;
                starts.swap(k, chosen);
                row[starts[k]..starts[k] + self.length].fill(1);
            }
        }
        mask
    }
}

/// Masks features, when a pass trains or is told what to mask.
#[derive(Debug, Clone)]
pub(super) struct SpecAugment {
    /// `masked_spec_embed`, `(D,)`.
    embedding: Option<Var>,
    applies: bool,
    time: Spans,
    feature: Spans,
}

impl SpecAugment {
    pub(super) fn new(config: &HubertConfig, embedding: Option<Var>) -> Self {
        Self {
            embedding,
            applies: config.apply_spec_augment,
            time: Spans {
                prob: config.mask_time_prob,
                length: config.mask_time_length,
                min_masks: config.mask_time_min_masks,
            },
            feature: Spans {
                prob: config.mask_feature_prob,
                length: config.mask_feature_length,
                min_masks: config.mask_feature_min_masks,
            },
        }
    }

    /// `x` `(B, F, D)` with the frames of `indices` `(B, F)` replaced, or drawn ones in training;
    /// `lengths` are the valid frames of each item.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: Tensor,
        lengths: &[usize],
        indices: Option<&Tensor>,
    ) -> Result<Tensor> {
        if !self.applies && indices.is_none() {
            return Ok(x);
        }
        let (batch, frames, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let drawn = |spans: Spans, lengths: &[usize], places: usize| -> Option<Vec<u8>> {
            let key = if spans.prob > 0.0 { ctx.dropout_key() } else { None }?;
            Some(spans.draw(lengths, places, &mut Philox::new(key.seed, key.stream)))
        };
        let time = match indices {
            Some(indices) => {
                Some(indices.to_vec_f64()?.into_iter().map(|v| u8::from(v != 0.0)).collect())
            }
            None => drawn(self.time, lengths, frames),
        };
        let mut x = x;
        if let Some(mask) = time {
            let Some(embedding) = &self.embedding else {
                let detail = "mask_time_indices is given, but the model has no masked_spec_embed";
                let hint = "it has one when mask_time_prob or mask_feature_prob is above 0";
                return Err(ZooError::option("hubert", detail).hint(hint));
            };
            let mask = Tensor::from_vec(mask, &[batch, frames, 1], x.device())?;
            let embedding = ctx.param(embedding).to_dtype(x.dtype())?.broadcast_to(x.shape())?;
            x = Tensor::where_cond(&mask.broadcast_to(x.shape())?, &embedding, &x)?;
        }
        if self.applies
            && let Some(mask) = drawn(self.feature, &vec![width; batch], width)
        {
            let mask = Tensor::from_vec(mask, &[batch, 1, width], x.device())?;
            x = x.masked_fill(&mask.broadcast_to(x.shape())?, 0.0)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Spans = Spans { prob: 0.3, length: 4, min_masks: 1 };

    #[test]
    fn spans_are_counted_by_probability_minimum_and_room() {
        let spans = |prob, min_masks| Spans { prob, length: 10, min_masks };
        for (spans, n, rounding, expected) in [
            (spans(0.05, 2), 499, 0.0, 2),
            (spans(0.05, 2), 499, 0.6, 3),
            (spans(0.65, 0), 499, 0.0, 32),
            // No room for a second span, for one, for any.
            (spans(0.05, 2), 19, 0.9, 1),
            (spans(0.05, 2), 10, 0.9, 1),
            (spans(0.05, 2), 9, 0.9, 0),
            (spans(0.05, 0), 0, 0.0, 0),
        ] {
            assert_eq!(spans.count(n, rounding), expected, "{spans:?} of {n}");
        }
    }

    #[test]
    fn no_span_reaches_beyond_the_valid_frames() {
        let lengths = [23, 4, 3, 9];
        for seed in 0..50 {
            let mask = SPANS.draw(&lengths, 23, &mut Philox::new(seed, 1));
            for (row, n) in mask.chunks_exact(23).zip(lengths) {
                assert!(row[n..].iter().all(|&masked| masked == 0));
                let masked = row.iter().filter(|&&masked| masked == 1).count();
                assert!(if n < 4 { masked == 0 } else { masked >= 4 && masked <= n }, "{n}");
            }
        }
    }

    #[test]
    fn every_start_is_as_likely_as_any_other() {
        let spans = Spans { prob: 0.0, length: 2, min_masks: 2 };
        let mut counts = [0; 5];
        for seed in 0..2000 {
            for (place, &masked) in
                spans.draw(&[5], 5, &mut Philox::new(seed, 9)).iter().enumerate()
            {
                counts[place] += i32::from(masked);
            }
        }
        // Starts are 2 of 4: a place at the rim has one start, the next two, overlaps counted once.
        let expected = [1000, 1667, 1667, 1667, 1000];
        for (count, expected) in counts.iter().zip(expected) {
            assert!((count - expected).abs() < 100, "{counts:?}");
        }
    }
}
