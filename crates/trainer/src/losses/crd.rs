//! Contrastive representation distillation, with the other clips of a batch as negatives.
//!
//! Formula and source: [`align_kernels::crd::crd_in_batch`].

use std::ops::Range;

use align_kernels::crd;
use tensor_core::{Error, Philox, Result, Tensor};

use super::fused::{fused, matrix, of_kernel};

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
    let (rows, vectors) = (matrix("crd", "student", student)?, matrix("crd", "teacher", teacher)?);
    // The paper's estimator has one token of each other clip; the kernel takes any number.
    let draws = spans(clip_of).len().saturating_sub(1);
    if drawn.len() != clip_of.len() * draws {
        let (n, got) = (clip_of.len(), drawn.len());
        let text = format!("{got} drawn tokens, expected {n} * {draws}");
        return Err(Error::shape("crd", text).with_hint("draw_tokens, tokens clip by clip"));
    }
    let (rows, vectors) = (rows.view(), vectors.view());
    let output =
        crd::crd_in_batch(rows, vectors, clip_of, drawn, temperature, n_data).map_err(of_kernel)?;
    fused([student, teacher], output.value, [output.grad_student, output.grad_teacher])
}

#[cfg(test)]
mod tests;
