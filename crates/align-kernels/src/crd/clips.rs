//! Tokens against clips on the host, and what both places know of it.

use cpu_math::gemm::{MatRef, gemm_batched};
use ndarray::Array2;

use super::loss;
use super::output::Crd;
use crate::error::Result;
use crate::points::Points;

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

/// [`crd_in_batch`](super::crd_in_batch) of checked points on the host.
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
