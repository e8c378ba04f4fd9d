//! Neuron selectivity transfer: maximum mean discrepancy between activations.
//!
//! Formulas and sources: [`align_kernels::nst`]. All three are sums over tokens, and the teacher is
//! a constant.

use align_kernels::nst::{self, Gradients, TokenOutput, Tokens};
use tensor_core::{Result, Tensor};

use super::fused::{fused, matrix, of_kernel};

/// Bandwidth of the published Gaussian form.
const BANDWIDTH: f64 = 1.0;

/// Sum over tokens of `MMD^2` between a token's activations and its clip's, Gaussian kernel with
/// bandwidth 1: `k(x, y) = exp(-(x - y)^2 / 2)`.
///
/// # Shapes
///
/// | argument  | shape     | meaning                               |
/// |-----------|-----------|---------------------------------------|
/// | `student` | `(N, D)`  | states of the valid tokens of a batch |
/// | `teacher` | `(C, D')` | utterance vectors; no gradient        |
/// | `clip_of` | `N`       | row of `teacher` each token belongs to|
///
/// # Errors
///
/// [`Shape`](tensor_core::ErrorKind::Shape) when the extents disagree.
pub fn nst_gauss(student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<Tensor> {
    let kernel = |tokens: &Tokens<'_>, wanted| nst::nst_gauss(tokens, BANDWIDTH, wanted);
    summed("nst_gauss", student, teacher, clip_of, kernel)
}

/// As [`nst_gauss`] with the kernel `k(x, y) = (x y)^2`, which compares norms alone.
pub fn nst_poly(student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<Tensor> {
    summed("nst_poly", student, teacher, clip_of, nst::nst_poly)
}

/// `MMD^2` over the whole batch with the token axis as the neuron's activation vector, times `N`.
pub fn nst_gram(student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<Tensor> {
    summed("nst_gram", student, teacher, clip_of, nst::nst_gram)
}

fn summed(
    op: &str,
    student: &Tensor,
    teacher: &Tensor,
    clip_of: &[usize],
    kernel: impl Fn(&Tokens<'_>, Gradients) -> align_kernels::Result<TokenOutput>,
) -> Result<Tensor> {
    let (rows, vectors) = (matrix(op, "student", student)?, matrix(op, "teacher", teacher)?);
    let tokens = Tokens { student: rows.view().into(), teacher: vectors.view().into(), clip_of };
    let output = kernel(&tokens, Gradients::Student).map_err(of_kernel)?;
    fused([student], output.value.iter().sum(), [output.grad_student])
}

#[cfg(test)]
mod tests;
