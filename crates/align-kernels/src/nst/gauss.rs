//! Activations of a token against those of its clip, compared by a Gaussian kernel.

use cpu_math::parallel::map_tasks;
use rayon::prelude::*;

use super::direct::{add_other_gradient, discrepancy, own_term};
use super::witness::{Bin, Binned, merge, sources};
use super::{Gradients, Selectivity, TokenOutput, Tokens, matrix};
use crate::error::{KernelError, Result};
use crate::mmd::usable;

/// Activations from which sorting them pays.
const WORTH_SORTING: usize = 48;

/// Per token, the squared discrepancy between its activations and its clip's, each a number, with
/// the kernel `k(x, y) = exp(-(x - y)^2 / (2 s^2))`.
///
/// ```text
/// value_t = sum_ii' k(f_i, f_i') / n^2 + sum_jj' k(g_j, g_j') / m^2 - 2 sum_ij k(f_i, g_j) / (n m)
/// f = student_t in R^n,  g = teacher_clip(t) in R^m
/// ```
///
/// # Shapes
///
/// See [`Tokens`]; `bandwidth` is `s`, in the units of activations. The published description has
/// one value a token, to be averaged over valid tokens, and `s = 1`.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when extents disagree or are 0;
/// [`Option`](crate::ErrorKind::Option) when `bandwidth` is not between 1e-15 and 1e15.
///
/// # Numerics
///
/// A fast Gauss transform in f64, in time proportional to `n + m`; its truncation is below 2e-10 of
/// a kernel's largest value. Fewer than 48 activations, and activations spread over more than 2000
/// bandwidths, are compared pair by pair in f32 with sums in f64. A NaN makes its token's value
/// NaN, and those of all tokens of its clip if it is the clip's. A GPU compares pair by pair always.
///
/// # Source
///
/// Huang and Wang 2017, arXiv:1707.01219; per token, Hasan et al. 2023, arXiv:2311.07014.
///
/// # Examples
///
/// ```
/// use align_kernels::nst::{Gradients, Tokens, nst_gauss};
/// use ndarray::array;
///
/// let (student, teacher) = (array![[0.5f32, 0.1, -0.3, 0.2]], array![[0.1f32, -0.2, 0.3, 0.4]]);
/// let tokens = Tokens::new(student.view().into(), teacher.view().into(), &[0]);
/// let out = nst_gauss(&tokens, 1.0, Gradients::Student)?;
/// assert!((out.value[0] - 0.001024074526).abs() < 1e-7);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn nst_gauss<P: Selectivity>(
    tokens: &Tokens<'_, P>,
    bandwidth: f64,
    wanted: Gradients,
) -> Result<TokenOutput<P::Gradient>> {
    tokens.check("nst_gauss")?;
    if !usable(bandwidth) {
        let detail = format!("bandwidth is {bandwidth}, expected 1e-15 to 1e15");
        return Err(KernelError::option("nst_gauss", detail, "1 is what was published"));
    }
    P::gauss(tokens, bandwidth, wanted)
}

/// [`nst_gauss`] of checked tokens on the host.
pub(super) fn on_host(tokens: &Tokens<'_>, bandwidth: f64, wanted: Gradients) -> TokenOutput {
    let (width, width_teacher) = (tokens.student.width(), tokens.teacher.width());
    let (students, teachers) = (tokens.student.to_f32(), tokens.teacher.to_f32());
    let state = |token: usize| &students[token * width..(token + 1) * width];
    let vector = |clip: usize| &teachers[clip * width_teacher..(clip + 1) * width_teacher];
    let narrow = 1.0 / bandwidth;
    let of_clips = tokens.of_clips();
    let clips = map_tasks(of_clips.len(), |clip| {
        // A clip without tokens costs nothing.
        if of_clips[clip].is_empty() { Clip::default() } else { Clip::new(vector(clip), narrow) }
    });

    let mut grad_student = vec![0.0; students.len()];
    let value = grad_student
        .par_chunks_mut(width)
        .zip(tokens.clip_of)
        .enumerate()
        .map(|(t, (grad, &clip))| clips[clip].compare(state(t), vector(clip), narrow, grad))
        .collect();
    let grad_teacher = (wanted == Gradients::Both).then(|| {
        let rows = map_tasks(of_clips.len(), |clip| {
            let states: Vec<_> = of_clips[clip].iter().map(|&t| state(t)).collect();
            clips[clip].gradient(&states, vector(clip), narrow)
        });
        matrix(of_clips.len(), width_teacher, rows.concat())
    });
    let grad_student = matrix(tokens.clip_of.len(), width, grad_student);
    TokenOutput { value, grad_student, grad_teacher }
}

/// What the tokens of a clip share.
#[derive(Default)]
struct Clip {
    /// Mean kernel over all pairs of its activations.
    own: f64,
    binned: Option<Binned>,
}

/// Activations in bins, where there are enough of them.
fn bin(values: &[f32], narrow: f64) -> Option<Binned> {
    if values.len() < WORTH_SORTING { None } else { Binned::new(values, narrow) }
}

impl Clip {
    fn new(vector: &[f32], narrow: f64) -> Self {
        let n = vector.len() as f64;
        let binned = bin(vector, narrow);
        let own = match &binned {
            Some(binned) => {
                binned.evaluate(&sources(&binned.bins, 1.0 / n, &[], 0.0), |_, _| ()).0 / n
            }
            None => own_term(vector, narrow as f32),
        };
        Self { own, binned }
    }

    /// The discrepancy of a token; writes the gradient with respect to its state.
    fn compare(&self, state: &[f32], vector: &[f32], narrow: f64, grad: &mut [f32]) -> f64 {
        let (Some(token), Some(clip)) = (bin(state, narrow), &self.binned) else {
            return discrepancy(state, vector, self.own, narrow as f32, grad);
        };
        let (m, n) = (state.len() as f64, vector.len() as f64);
        let sources = sources(&token.bins, 1.0 / m, &clip.bins, 1.0 / n);
        let (own, witness) =
            token.evaluate(&sources, |i, slope| grad[i] = (2.0 / m * narrow * slope) as f32);
        // mean w(f) = own - cross, so that own + own' - 2 cross = own' + 2 mean w(f) - own.
        self.own + 2.0 * witness / m - own / m
    }

    /// Derivative of the sum over `states` with respect to the clip's vector.
    ///
    /// The witness functions of tokens add up before they are evaluated, once.
    fn gradient(&self, states: &[&[f32]], vector: &[f32], narrow: f64) -> Vec<f32> {
        let n = vector.len() as f64;
        let mut grad = vec![0.0f64; vector.len()];
        let mut summed: Vec<Bin> = vec![];
        let mut in_bins = 0;
        for state in states {
            match (bin(state, narrow), &self.binned) {
                (Some(token), Some(_)) => {
                    merge(&mut summed, &token.bins);
                    in_bins += 1;
                }
                _ => add_other_gradient(state, vector, narrow as f32, &mut grad),
            }
        }
        if let (Some(clip), 1..) = (&self.binned, in_bins) {
            let m = states.first().map_or(1.0, |state| state.len() as f64);
            // The clip first: this is minus the witness, and so is the derivative.
            let sources = sources(&clip.bins, f64::from(in_bins) / n, &summed, 1.0 / m);
            clip.evaluate(&sources, |j, slope| grad[j] += 2.0 / n * narrow * slope);
        }
        grad.into_iter().map(|slope| slope as f32).collect()
    }
}
