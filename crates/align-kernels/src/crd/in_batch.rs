//! CRD with the other clips of a batch as negatives.

use cpu_math::gemm::{MatRef, gemm_batched};
use ndarray::Array2;

use super::distillation::Distillation;
use super::loss;
use crate::error::{KernelError, Result};
use crate::place::{Cloud, Placed};
use crate::points::Points;

/// Value and gradients of CRD; the gradients are arrays, or for points on a GPU a `DeviceBuffer<f32>`.
#[derive(Debug, Clone)]
pub struct Crd<G = Array2<f32>> {
    /// The loss, summed over anchors.
    pub value: f64,
    /// Gradient with respect to the student's rows.
    pub grad_student: G,
    /// Gradient with respect to the teacher's rows.
    pub grad_teacher: G,
}

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

/// How often the score of each token with each clip serves as a negative, `(N, C)`.
pub(crate) fn counts(clips: usize, clip_of: &[usize], drawn: &[usize]) -> Vec<u32> {
    let n = clip_of.len();
    let mut counts = vec![1; n * clips];
    let draws = drawn.len() / n;
    for (token, &own) in clip_of.iter().enumerate() {
        counts[token * clips + own] -= 1;
        for &other in &drawn[token * draws..(token + 1) * draws] {
            counts[other * clips + own] += 1;
        }
    }
    counts
}

/// What a score is compared with.
pub(crate) fn shift(clips: usize, n_data: usize) -> f32 {
    ((clips - 1) as f64 / n_data as f64).ln() as f32
}

/// [`crd_in_batch`] of checked points on the host.
pub(super) fn on_host(
    student: Points<'_>,
    teacher: Points<'_>,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Result<Crd> {
    let ((n, width), clips) = ((student.count(), student.width()), teacher.count());
    let (student, teacher) = (student.to_f32(), teacher.to_f32());
    let mut grad_student = vec![0.0; n * width];
    let mut grad_teacher = vec![0.0; clips * width];
    let mut value = 0.0;
    if clips > 1 && n > 0 {
        // 1. Scores, and how often each serves as a negative.
        let mut scores = vec![0.0; n * clips];
        let matrix = |data, strides| [MatRef::new(data, strides)];
        let (rows, columns) = (matrix(&student, (width, 1)), matrix(&teacher, (1, width)));
        gemm_batched((n, clips, width), &rows, &columns, &mut scores);
        let inverse = (1.0 / temperature) as f32;
        scores.iter_mut().for_each(|score| *score *= inverse);
        let counts = counts(clips, clip_of, drawn);
        let counts: Vec<f32> = counts.into_iter().map(|count| count as f32).collect();

        // 2. Losses and slopes; a positive serves both directions.
        let shift = shift(clips, n_data);
        let own = |token: usize| token * clips + clip_of[token];
        let positives: Vec<f32> = (0..n).map(|token| scores[own(token)]).collect();
        value = loss::counted_negatives(&mut scores, &counts, shift);
        for (token, score) in positives.into_iter().enumerate() {
            let (loss, slope) = loss::positive(score, shift);
            value += 2.0 * loss;
            scores[own(token)] += 2.0 * slope;
        }
        scores.iter_mut().for_each(|slope| *slope *= inverse);

        // 3. Back to the vectors.
        let (slopes, turned) = (matrix(&scores, (clips, 1)), matrix(&scores, (1, clips)));
        let columns = matrix(&teacher, (width, 1));
        gemm_batched((n, width, clips), &slopes, &columns, &mut grad_student);
        gemm_batched((clips, width, n), &turned, &rows, &mut grad_teacher);
    }
    let shaped = |rows, grad| Array2::from_shape_vec((rows, width), grad);
    Ok(Crd {
        value,
        grad_student: shaped(n, grad_student).expect("one gradient a coordinate"),
        grad_teacher: shaped(clips, grad_teacher).expect("one gradient a coordinate"),
    })
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
