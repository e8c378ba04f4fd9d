//! CRD with the other clips of a batch as negatives.

use super::distillation::Distillation;
use super::output::Crd;
use crate::error::{KernelError, Result};
use crate::place::{Cloud, Placed};

/// In-batch CRD in both directions, summed over tokens.
///
/// ```text
/// h(T, S) = e^(T.S/temperature) / (e^(T.S/temperature) + (C - 1)/M)
/// L       = -log h(positive) - sum over negatives of log(1 - h(negative))
/// ```
///
/// A token of clip `c` is contrasted with `c`'s vector against those of the other clips; and that
/// vector with the token against drawn tokens of other clips. A lone clip has no negatives, and
/// the loss is 0.
///
/// # Shapes
///
/// | argument  | shape    | dtype          | meaning                                      |
/// |-----------|----------|----------------|----------------------------------------------|
/// | `student` | `(N, P)` | f32, bf16, f16 | unit-norm vectors of tokens                  |
/// | `teacher` | `(C, P)` | f32, bf16, f16 | unit-norm vectors of clips                   |
/// | `clip_of` | `(N,)`   | index          | clip of each token                           |
/// | `drawn`   | `(N, J)` | index          | tokens that each token's clip is set against |
/// | `n_data`  |          |                | clips of the training set, `M`               |
///
/// The paper's estimator has one drawn token of each other clip, so `J = C - 1`.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when the extents disagree or an index is out of range;
/// [`Option`](crate::ErrorKind::Option) when the temperature is not above 0 or `n_data` is 0.
///
/// # Numerics
///
/// Scores and their softplus in f32, the sum in f64. A score that several anchors share is
/// evaluated once and counted.
///
/// # Source
///
/// Tian, Krishnan and Isola 2020, arXiv:1910.10699, eq. (19) and (20).
pub fn crd_in_batch<'s, 't, P: Distillation>(
    student: impl Placed<'s, Place = P>,
    teacher: impl Placed<'t, Place = P>,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Result<Crd<P::Gradient>> {
    let (student, teacher) = (student.placed(), teacher.placed());
    let widths = (student.width(), teacher.width());
    check(student.count(), widths, teacher.count(), clip_of, drawn)?;
    check_temperature(temperature)?;
    if n_data == 0 {
        let text = "n_data is 0, expected the clips of the training set".to_owned();
        return Err(KernelError::option("crd", text, "it scales how rare a pair is"));
    }
    P::in_batch(student, teacher, clip_of, drawn, temperature, n_data)
}

fn check(
    n: usize,
    (width, p): (usize, usize),
    clips: usize,
    clip_of: &[usize],
    drawn: &[usize],
) -> Result<()> {
    let text = if width != p || width == 0 {
        format!("student has width {width} and teacher {p}, expected one above 0")
    } else if clip_of.len() != n {
        format!("clips of {} tokens, expected {n}", clip_of.len())
    } else if let Some(clip) = clip_of.iter().find(|&&clip| clip >= clips) {
        format!("a token of clip {clip}, expected below {clips}")
    } else if !drawn.len().is_multiple_of(n.max(1)) || (n == 0 && !drawn.is_empty()) {
        format!("{} drawn tokens, expected a multiple of {n}", drawn.len())
    } else if let Some(token) = drawn.iter().find(|&&token| token >= n) {
        format!("drawn token {token}, expected below {n}")
    } else {
        return Ok(());
    };
    Err(KernelError::shape("crd", text))
}

pub(super) fn check_temperature(temperature: f64) -> Result<()> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(());
    }
    let text = format!("temperature is {temperature}, expected > 0 and finite");
    Err(KernelError::option("crd", text, "0.07 is usual"))
}
