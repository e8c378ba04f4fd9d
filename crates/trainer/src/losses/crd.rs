//! Contrastive representation distillation, with the other clips of a batch as negatives.
//!
//! ```text
//! h(T, S) = e^(T.S/temperature) / (e^(T.S/temperature) + N/M)
//! L       = -log h(positive) - sum over N negatives of log(1 - h(negative))
//! ```
//!
//! `M` is the number of training clips. With `b = ln(N/M)` both logarithms are softplus of the
//! shifted score `s = T.S/temperature`, which is how they are computed: `-log h = softplus(b - s)`,
//! `-log(1 - h) = softplus(s - b)`.
//!
//! Source: Tian, Krishnan and Isola 2020, arXiv:1910.10699, eq. (19) and (20).

use std::ops::Range;

use tensor_core::{Backward, CustomOp, Error, Philox, Result, Tensor};

use super::check_tokens;
use super::scaled::scaled;

/// For every token, one random token of each other clip, in the order of clips.
///
/// `clip_of` is the clip of each token, ascending. A clip without tokens offers none, so that the
/// result has `N * (C - 1)` token indices, `C` being the number of clips that have tokens.
pub fn draw_tokens(clip_of: &[usize], rng: &mut Philox) -> Vec<usize> {
    let spans = spans(clip_of);
    let mut drawn = Vec::with_capacity(clip_of.len() * spans.len().saturating_sub(1));
    for &own in clip_of {
        for span in spans.iter().filter(|span| clip_of[span.start] != own) {
            drawn.push(span.start + rng.below(span.len() as u32) as usize);
        }
    }
    drawn
}

/// The tokens of each clip that has some.
fn spans(clip_of: &[usize]) -> Vec<Range<usize>> {
    let mut start = 0;
    clip_of
        .chunk_by(|a, b| a == b)
        .map(|own| {
            start += own.len();
            start - own.len()..start
        })
        .collect()
}

/// In-batch CRD in both directions, summed over tokens.
///
/// A token of clip `c` is contrasted with `c`'s utterance vector against those of the other
/// clips; and that utterance vector with the token against one token of each other clip. A lone
/// clip has no negatives, and the loss is 0.
///
/// # Shapes
///
/// | argument  | shape         | meaning                                       |
/// |-----------|---------------|-----------------------------------------------|
/// | `student` | `(N, P)`      | unit-norm projections of valid tokens         |
/// | `teacher` | `(C, P)`      | unit-norm projections of utterance vectors    |
/// | `clip_of` | `N`           | clip of each token                            |
/// | `drawn`   | `N * (C - 1)` | from [`draw_tokens`]; clips with tokens count |
///
/// # Errors
///
/// [`Shape`](tensor_core::ErrorKind::Shape) when the extents disagree.
pub fn crd_in_batch(
    student: &Tensor,
    teacher: &Tensor,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Result<Tensor> {
    check_tokens("crd", student, teacher, clip_of)?;
    let draws = spans(clip_of).len().saturating_sub(1);
    if drawn.len() != clip_of.len() * draws || drawn.iter().any(|&at| at >= clip_of.len()) {
        let (n, got) = (clip_of.len(), drawn.len());
        let text = format!("{got} drawn tokens, expected {n} * {draws} below {n}");
        return Err(Error::shape("crd", text).with_hint("draw_tokens, tokens clip by clip"));
    }
    let scores = student.matmul(&teacher.transpose(0, 1)?)?.mul_scalar(1.0 / temperature)?;
    Tensor::apply(&InBatch { clip_of, drawn, draws, n_data }, &[&scores])
}

struct InBatch<'a> {
    clip_of: &'a [usize],
    drawn: &'a [usize],
    /// Drawn tokens of each token.
    draws: usize,
    n_data: usize,
}

impl CustomOp for InBatch<'_> {
    fn name(&self) -> &'static str {
        "crd"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        let scores = inputs[0].to_vec_f32()?;
        let clips = inputs[0].dim(1)?;
        let negatives = clips.saturating_sub(1);
        let mut grad = vec![0.0f32; scores.len()];
        let mut total = 0.0;
        if negatives > 0 {
            let shift = (negatives as f64 / self.n_data as f64).ln();
            let mut add = |at: usize, positive: bool, times: f64| {
                let (value, slope) = log_loss(f64::from(scores[at]) - shift, positive);
                total += times * value;
                grad[at] += (times * slope) as f32;
            };
            for (token, &own) in self.clip_of.iter().enumerate() {
                add(token * clips + own, true, 2.0);
                for clip in (0..clips).filter(|&clip| clip != own) {
                    add(token * clips + clip, false, 1.0);
                }
                for &other in &self.drawn[token * self.draws..(token + 1) * self.draws] {
                    add(other * clips + own, false, 1.0);
                }
            }
        }
        scaled(total, grad, inputs[0].shape())
    }
}

/// `-log sigmoid(x)` of a positive, `-log(1 - sigmoid(x))` of a negative, and the derivative.
pub(super) fn log_loss(x: f64, positive: bool) -> (f64, f64) {
    let signed = if positive { -x } else { x };
    let value = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
    let sigmoid = 1.0 / (1.0 + (-signed).exp());
    (value, if positive { -sigmoid } else { sigmoid })
}

#[cfg(test)]
mod tests;
