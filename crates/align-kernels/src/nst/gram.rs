//! Dimensions as neurons, the tokens of a batch as their positions.

use cpu_math::parallel::map_tasks;

use super::rows::nst_of;
use super::{Gradients, Selectivity, TokenOutput, Tokens, matrix};
use crate::error::Result;

/// [`nst`](super::nst) between the dimensions of student and teacher over the tokens of a batch,
/// each token's teacher being its clip's vector, times the number of tokens.
///
/// ```text
/// F in R^(D x T)  columns of the student scaled to length 1 over tokens, transposed
/// G in R^(D' x T) the same of the teacher's rows clip(t)
/// value = T | F'F / D - G'G / D' |^2
/// ```
///
/// It sees which dimension an activation belongs to, unlike the forms on numbers.
///
/// # Shapes
///
/// See [`Tokens`]. The one value is a sum over tokens, like those of the other forms; no tokens
/// give 0.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when extents disagree or are 0.
///
/// # Numerics
///
/// As [`nst`](super::nst); on a GPU gradients stay there.
///
/// # Examples
///
/// ```
/// use align_kernels::nst::{Gradients, Tokens, nst_gram};
/// use ndarray::array;
///
/// // Three neurons over two tokens, a clip each.
/// let student = array![[1.0f32, 1.0, 0.0], [0.0, 1.0, 2.0]];
/// let teacher = array![[0.5f32, 1.0, 2.0], [0.5, -1.0, 1.0]];
/// let (student, teacher) = (student.view().into(), teacher.view().into());
/// let out = nst_gram(&Tokens::new(student, teacher, &[0, 1]), Gradients::Student)?;
/// assert!((out.value[0] - 2.0 / 45.0).abs() < 1e-7);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn nst_gram<P: Selectivity>(
    tokens: &Tokens<'_, P>,
    wanted: Gradients,
) -> Result<TokenOutput<P::Gradient>> {
    tokens.check("nst_gram")?;
    P::gram(tokens, wanted)
}

/// [`nst_gram`] of checked tokens on the host.
pub(super) fn on_host(tokens: &Tokens<'_>, wanted: Gradients) -> TokenOutput {
    let (width, width_teacher) = (tokens.student.width(), tokens.teacher.width());
    let (students, teachers) = (tokens.student.to_f32(), tokens.teacher.to_f32());
    let count = tokens.clip_of.len();
    let (value, mut grad_x, grad_y) = if count == 0 {
        (0.0, vec![], vec![])
    } else {
        let x = transposed(count, width, |t| &students[t * width..][..width]);
        let clip = |t: usize| &teachers[tokens.clip_of[t] * width_teacher..][..width_teacher];
        nst_of(&x, &transposed(count, width_teacher, clip), count)
    };
    let scale = count as f32;
    if count > 0 {
        grad_x = transposed(width, count, |i| &grad_x[i * count..][..count]);
        grad_x.iter_mut().for_each(|slope| *slope *= scale);
    }
    let grad_teacher = (wanted == Gradients::Both).then(|| {
        let mut rows = vec![0.0f64; teachers.len()];
        for (t, &clip) in tokens.clip_of.iter().enumerate() {
            for (j, sum) in rows[clip * width_teacher..][..width_teacher].iter_mut().enumerate() {
                *sum += f64::from(grad_y[j * count + t]);
            }
        }
        let rows = rows.into_iter().map(|sum| (f64::from(scale) * sum) as f32).collect();
        matrix(tokens.teacher.count(), width_teacher, rows)
    });
    let grad_student = matrix(count, width, grad_x);
    TokenOutput { value: vec![value * count as f64], grad_student, grad_teacher }
}

/// A matrix of `rows` rows of `width`, turned: `(width, rows)`.
fn transposed<'a>(rows: usize, width: usize, row: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
    /// Columns that a task turns: a cache line of each row.
    const BAND: usize = 16;
    map_tasks(width.div_ceil(BAND), |band| {
        let columns = band * BAND..((band + 1) * BAND).min(width);
        let mut out = vec![0.0; columns.len() * rows];
        for r in 0..rows {
            for (k, &value) in row(r)[columns.clone()].iter().enumerate() {
                out[k * rows + r] = value;
            }
        }
        out
    })
    .concat()
}
