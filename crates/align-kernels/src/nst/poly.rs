//! Activations of a token against those of its clip, compared by squared products.

use cpu_math::parallel::map_tasks;
use rayon::prelude::*;

use super::{Gradients, Selectivity, TokenOutput, Tokens, matrix};
use crate::error::Result;
use crate::vector::square_sum;

/// As [`nst_gauss`](super::nst_gauss) with the kernel `k(x, y) = (x y)^2`.
///
/// ```text
/// value_t = (|f|^2 / n - |g|^2 / m)^2,    f = student_t in R^n,  g = teacher_clip(t) in R^m
/// ```
///
/// # Shapes
///
/// See [`Tokens`].
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when extents disagree or are 0.
///
/// # Numerics
///
/// Values are f64 throughout, on a GPU too.
///
/// # Examples
///
/// ```
/// use align_kernels::nst::{Gradients, Tokens, nst_poly};
/// use ndarray::array;
///
/// let (student, teacher) = (array![[3.0f32, 1.0], [2.0, 0.0]], array![[1.0f32], [2.0]]);
/// let (student, teacher) = (student.view().into(), teacher.view().into());
/// let out = nst_poly(&Tokens::new(student, teacher, &[1, 0]), Gradients::Student)?;
/// assert_eq!(out.value, [1.0, 1.0]); // (5 - 4)^2 and (2 - 1)^2
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn nst_poly<P: Selectivity>(
    tokens: &Tokens<'_, P>,
    wanted: Gradients,
) -> Result<TokenOutput<P::Gradient>> {
    tokens.check("nst_poly")?;
    P::poly(tokens, wanted)
}

/// [`nst_poly`] of checked tokens on the host.
pub(super) fn on_host(tokens: &Tokens<'_>, wanted: Gradients) -> TokenOutput {
    let (width, width_teacher) = (tokens.student.width(), tokens.teacher.width());
    let (students, teachers) = (tokens.student.to_f32(), tokens.teacher.to_f32());
    let mean = |row: &[f32]| square_sum(row) / row.len() as f64;
    let clips: Vec<f64> = teachers.par_chunks(width_teacher).map(mean).collect();
    let mut grad_student = vec![0.0; students.len()];
    let gaps: Vec<f64> = grad_student
        .par_chunks_mut(width)
        .zip(students.par_chunks(width))
        .zip(tokens.clip_of)
        .map(|((grad, state), &clip)| {
            let gap = mean(state) - clips[clip];
            scale(grad, state, 4.0 * gap / width as f64);
            gap
        })
        .collect();
    let grad_teacher = (wanted == Gradients::Both).then(|| {
        let of_clips = tokens.of_clips();
        let rows = map_tasks(of_clips.len(), |clip| {
            let gap: f64 = of_clips[clip].iter().map(|&token| gaps[token]).sum();
            let mut row = vec![0.0; width_teacher];
            if !of_clips[clip].is_empty() {
                let vector = &teachers[clip * width_teacher..][..width_teacher];
                scale(&mut row, vector, -4.0 * gap / width_teacher as f64);
            }
            row
        });
        matrix(of_clips.len(), width_teacher, rows.concat())
    });
    let grad_student = matrix(tokens.clip_of.len(), width, grad_student);
    TokenOutput { value: gaps.iter().map(|gap| gap * gap).collect(), grad_student, grad_teacher }
}

fn scale(out: &mut [f32], row: &[f32], factor: f64) {
    for (out, &x) in out.iter_mut().zip(row) {
        *out = (factor * f64::from(x)) as f32;
    }
}
