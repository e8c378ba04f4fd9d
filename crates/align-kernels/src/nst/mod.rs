//! Neuron selectivity transfer: a student's neurons should fire as the teacher's do.
//!
//! | form | compares | points of the discrepancy |
//! |---|---|---|
//! | [`nst`](fn@nst) | two sets of neurons over the same positions | a neuron's activations over positions, scaled to length 1; `(x . y)^2` |
//! | [`nst_gram`] | tokens with the vectors of their clips | the same, the tokens of a batch being the positions |
//! | [`nst_gauss`] | each token with its clip | an activation, a number; `exp(-(x - y)^2 / (2 s^2))` |
//! | [`nst_poly`] | each token with its clip | an activation, a number; `(x y)^2` |
//!
//! The forms on numbers forget which dimension an activation belongs to; `nst_poly` is
//! `(|f|^2 / n - |g|^2 / m)^2` and compares lengths alone. `nst_gram` is the sound one.
//!
//! All are maximum mean discrepancies in their biased form; see [`mmd`](mod@crate::mmd).
//!
//! Source: Huang and Wang 2017, arXiv:1707.01219; between an utterance vector and token states,
//! Hasan et al. 2023, arXiv:2311.07014.

mod direct;
mod gauss;
mod gram;
mod poly;
mod rows;
mod selectivity;
mod witness;

pub use gauss::nst_gauss;
pub use gram::nst_gram;
pub use poly::nst_poly;
pub use rows::nst;
pub use selectivity::Selectivity;

use ndarray::Array2;

use crate::error::{KernelError, Result};
use crate::place::{Cloud, Host, Place};
use crate::points::Points;

/// Tokens of a batch, each beside the vector of its clip. `P` says where both lie.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a, P: Place = Host> {
    /// States of tokens: `(T, D)`.
    pub student: P::Points<'a>,
    /// Vectors of clips: `(C, D')`.
    pub teacher: P::Points<'a>,
    /// Row of `teacher` each token belongs to: `(T,)`.
    pub clip_of: &'a [usize],
}

/// Whose gradients a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gradients {
    /// The teacher is a constant.
    #[default]
    Student,
    /// Both sides learn.
    Both,
}

/// Values and gradients over the tokens of a batch. `G` is a gradient where the tokens are.
#[derive(Debug, Clone)]
pub struct TokenOutput<G = Array2<f32>> {
    /// One value a token, `(T,)`; [`nst_gram`] gives one for all, `(1,)`.
    pub value: Vec<f64>,
    /// Derivative of the sum of all values with respect to the student: `(T, D)`.
    pub grad_student: G,
    /// Derivative with respect to the teacher, `(C, D')`, when [`Gradients::Both`] were asked for.
    pub grad_teacher: Option<G>,
}

impl<'a> Tokens<'a> {
    /// Tokens on the host.
    pub fn new(student: Points<'a>, teacher: Points<'a>, clip_of: &'a [usize]) -> Self {
        Self { student, teacher, clip_of }
    }
}

impl<P: Place> Tokens<'_, P> {
    /// Refuses extents that disagree.
    fn check(&self, op: &'static str) -> Result<()> {
        for (name, points) in [("student", &self.student), ("teacher", &self.teacher)] {
            if points.width() == 0 {
                let detail = format!("{name} has width 0, expected 1 or more");
                return Err(KernelError::shape(op, detail));
            }
        }
        let (tokens, clips) = (self.student.count(), self.teacher.count());
        if self.clip_of.len() != tokens {
            let detail = format!("clips of {} tokens, expected {tokens}", self.clip_of.len());
            return Err(KernelError::shape(op, detail));
        }
        match self.clip_of.iter().find(|&&clip| clip >= clips) {
            Some(clip) => {
                let detail = format!("a token of clip {clip}, expected below {clips}");
                Err(KernelError::shape(op, detail))
            }
            None => Ok(()),
        }
    }

    /// The tokens of each clip, in order.
    pub(crate) fn of_clips(&self) -> Vec<Vec<usize>> {
        let mut tokens = vec![vec![]; self.teacher.count()];
        for (token, &clip) in self.clip_of.iter().enumerate() {
            tokens[clip].push(token);
        }
        tokens
    }
}

/// Elements as a matrix of `width` columns.
fn matrix(rows: usize, width: usize, elements: Vec<f32>) -> Array2<f32> {
    debug_assert_eq!(elements.len(), rows * width);
    Array2::from_shape_vec((rows, width), elements).unwrap_or_default()
}

#[cfg(test)]
mod tests;
