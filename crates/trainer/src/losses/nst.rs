//! Neuron selectivity transfer: maximum mean discrepancy between activations.
//!
//! A neuron is an embedding dimension. In the per-token forms each token gives one scalar a
//! neuron, and the two sets of scalars are compared as distributions:
//!
//! ```text
//! MMD^2(F, G) = 1/n^2 sum k(f_i, f_i') + 1/m^2 sum k(g_j, g_j') - 2/(nm) sum k(f_i, g_j)
//! ```
//!
//! Source: Huang and Wang 2017, arXiv:1707.01219; its use between an utterance vector and token
//! states, Hasan et al. 2023, arXiv:2311.07014.

use rayon::prelude::*;
use tensor_core::{Backward, CustomOp, Device, Result, Tensor};

use super::check_tokens;
use super::scaled::scaled;

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
    token_mmd(student, teacher, clip_of, gauss_own, gauss_token)
}

/// As [`nst_gauss`] with the kernel `k(x, y) = (x y)^2`.
///
/// On scalars this collapses to `(|f|^2 / n - |g|^2 / m)^2`: it compares norms alone.
pub fn nst_poly(student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<Tensor> {
    token_mmd(student, teacher, clip_of, mean_square, poly_token)
}

/// `MMD^2` over the whole batch with the token axis as the neuron's activation vector.
///
/// Row `i` of the teacher side is dimension `i` of each token's utterance vector; rows of both
/// sides are L2-normalised over the `N` tokens; `k(x, y) = (x . y)^2`. By the identity
///
/// ```text
/// MMD^2 = | F'F / n - G'G / m |_F^2,     F in R^{n x N}, G in R^{m x N}
/// ```
///
/// two `N x N` Gram matrices suffice. Returns the value times `N`, a sum like the others.
pub fn nst_gram(student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<Tensor> {
    check_tokens("nst", student, teacher, clip_of)?;
    let rows = clip_of.iter().map(|&clip| clip as i64).collect::<Vec<_>>();
    let rows = Tensor::from_vec(rows, &[clip_of.len()], Device::Cpu)?;
    let gram = |x: &Tensor| -> Result<Tensor> {
        let unit = x.l2_normalize(0, 1e-12)?;
        unit.matmul(&unit.transpose(0, 1)?)?.mul_scalar(1.0 / x.shape()[1] as f64)
    };
    let gap = gram(student)?.sub(&gram(&teacher.detach().index_select(0, &rows)?)?)?;
    gap.sqr()?.sum_all()?.mul_scalar(clip_of.len() as f64)
}

/// `MMD^2` between a token's activations and its clip's, given the term of the clip alone; writes
/// the gradient to the last argument.
type TokenKernel = fn(student: &[f32], teacher: &[f32], own: f64, grad: &mut [f32]) -> f64;

/// `own` is the term of a clip's activations alone, the same for all of its tokens.
fn token_mmd(
    student: &Tensor,
    teacher: &Tensor,
    clip_of: &[usize],
    own: fn(&[f32]) -> f64,
    token: TokenKernel,
) -> Result<Tensor> {
    check_tokens("nst", student, teacher, clip_of)?;
    let (width, values) = (teacher.dim(1)?, teacher.to_vec_f32()?);
    let own = values.par_chunks(width).map(own).collect();
    Tensor::apply(&TokenMmd { width, teacher: values, own, clip_of, token }, &[student])
}

struct TokenMmd<'a> {
    /// Dimensions of a teacher vector.
    width: usize,
    /// `(C, width)`.
    teacher: Vec<f32>,
    /// Term of each clip alone.
    own: Vec<f64>,
    clip_of: &'a [usize],
    token: TokenKernel,
}

impl CustomOp for TokenMmd<'_> {
    fn name(&self) -> &'static str {
        "nst"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        let (width, states) = (inputs[0].dim(1)?, inputs[0].to_vec_f32()?);
        let mut grad = vec![0.0; states.len()];
        let values: Vec<f64> = grad
            .par_chunks_mut(width)
            .zip(states.par_chunks(width))
            .zip(self.clip_of)
            .map(|((grad, state), &clip)| {
                let vector = &self.teacher[clip * self.width..(clip + 1) * self.width];
                (self.token)(state, vector, self.own[clip], grad)
            })
            .collect();
        scaled(values.iter().sum(), grad, inputs[0].shape())
    }
}

/// Mean of the kernel over all pairs of a clip's activations.
fn gauss_own(teacher: &[f32]) -> f64 {
    let n = teacher.len() as f64;
    teacher.iter().map(|&y| kernel_row(y, teacher).0).sum::<f64>() / (n * n)
}

fn gauss_token(student: &[f32], teacher: &[f32], teacher_own: f64, grad: &mut [f32]) -> f64 {
    let (m, n) = (student.len() as f64, teacher.len() as f64);
    let (mut own, mut cross) = (0.0, 0.0);
    for (&x, grad) in student.iter().zip(grad) {
        // d/dx_j of the own term counts each pair twice; of the cross term once.
        let (sum, slope) = kernel_row(x, student);
        own += sum;
        let (cross_sum, cross_slope) = kernel_row(x, teacher);
        cross += cross_sum;
        *grad = (2.0 * slope / (m * m) - 2.0 * cross_slope / (n * m)) as f32;
    }
    own / (m * m) + teacher_own - 2.0 * cross / (n * m)
}

/// `sum_k exp(-(x - y_k)^2 / 2)` and its derivative with respect to `x`.
fn kernel_row(x: f32, ys: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut sums, mut slopes) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut blocks = ys.chunks_exact(LANES);
    for block in &mut blocks {
        for lane in 0..LANES {
            let gap = x - block[lane];
            let k = exp_non_positive(-0.5 * gap * gap);
            sums[lane] += k;
            slopes[lane] -= gap * k;
        }
    }
    for &y in blocks.remainder() {
        let gap = x - y;
        let k = exp_non_positive(-0.5 * gap * gap);
        sums[0] += k;
        slopes[0] -= gap * k;
    }
    let wide = |lanes: [f32; LANES]| lanes.iter().map(|&v| f64::from(v)).sum();
    (wide(sums), wide(slopes))
}

/// `exp(x)` for `x <= 0`, to about 1 ulp, without branches so that loops vectorise. NaN stays NaN.
#[inline(always)]
fn exp_non_positive(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    // x = n ln 2 + r; adding 1.5 * 2^23 rounds to an integer.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (p * r * r + r + 1.0) * power
}

fn mean_square(xs: &[f32]) -> f64 {
    xs.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / xs.len() as f64
}

/// [`mean_square`] is the term of a clip alone here, before squaring.
fn poly_token(student: &[f32], _: &[f32], teacher_own: f64, grad: &mut [f32]) -> f64 {
    let gap = mean_square(student) - teacher_own;
    for (slot, &x) in grad.iter_mut().zip(student) {
        *slot = (4.0 * gap * f64::from(x) / student.len() as f64) as f32;
    }
    gap * gap
}

#[cfg(test)]
mod tests;
