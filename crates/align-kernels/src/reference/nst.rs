//! Reference neuron selectivity transfer. Twin of [`nst`](mod@crate::nst).

use super::mmd::{Discrepancy, mmd};
use crate::mmd::Options;

/// The discrepancy of each token's activations from its clip's, as scalars.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// One value a token: `(T,)`.
    pub values: Vec<f64>,
    /// Derivative of their sum with respect to the student: `(T, D)`.
    pub grad_student: Vec<f64>,
    /// Derivative of their sum with respect to the teacher: `(C, D')`.
    pub grad_teacher: Vec<f64>,
}

/// Per token, the biased discrepancy between its `D` activations and the `D'` of its clip, each
/// activation being a point on a line.
///
/// # Shapes
///
/// | argument  | shape     | meaning                                |
/// |-----------|-----------|----------------------------------------|
/// | `student` | `(T, D)`  | states of tokens                       |
/// | `teacher` | `(C, D')` | vectors of clips                       |
/// | `clip_of` | `(T,)`    | row of `teacher` each token belongs to |
/// | `widths`  |           | `(D, D')`                              |
///
/// # Source
///
/// Huang and Wang 2017, arXiv:1707.01219; per token, Hasan et al. 2023, arXiv:2311.07014.
pub fn per_token(
    student: &[f64],
    teacher: &[f64],
    clip_of: &[usize],
    (d, d_teacher): (usize, usize),
    options: &Options,
) -> Tokens {
    let mut out =
        Tokens { values: vec![], grad_student: vec![], grad_teacher: vec![0.0; teacher.len()] };
    for (state, &clip) in student.chunks(d).zip(clip_of) {
        let clip = clip * d_teacher..(clip + 1) * d_teacher;
        let one = mmd(state, &teacher[clip.clone()], 1, options);
        out.values.push(one.value);
        out.grad_student.extend(one.grad_x);
        for (sum, grad) in out.grad_teacher[clip].iter_mut().zip(one.grad_y) {
            *sum += grad;
        }
    }
    out
}

/// The biased discrepancy between rows scaled to length 1, with the kernel `(x . y)^2`.
///
/// A row is a neuron, a column a position. A row of zeros stays one, and takes no gradient.
///
/// # Shapes
///
/// `x: (N, D)` and `y: (M, D)`, row-major.
///
/// # Source
///
/// Huang and Wang 2017, arXiv:1707.01219, as in RepDistiller's `NST.py`.
pub fn nst(x: &[f64], y: &[f64], width: usize) -> Discrepancy {
    let (unit_x, unit_y) = (unit_rows(x, width), unit_rows(y, width));
    let mut out = mmd(&unit_x, &unit_y, width, &Options::polynomial(2, 0.0));
    through_norm(x, &unit_x, width, &mut out.grad_x);
    through_norm(y, &unit_y, width, &mut out.grad_y);
    out
}

/// [`nst`] of the columns of the student against the columns of the teacher, each token's row of
/// the teacher being its clip's, times the number of tokens.
///
/// Shapes as in [`per_token`]; `values` holds the one value.
pub fn nst_gram(
    student: &[f64],
    teacher: &[f64],
    clip_of: &[usize],
    (d, d_teacher): (usize, usize),
) -> Tokens {
    let tokens = clip_of.len();
    let mut out = Tokens {
        values: vec![0.0],
        grad_student: vec![0.0; student.len()],
        grad_teacher: vec![0.0; teacher.len()],
    };
    if tokens == 0 {
        return out;
    }
    let mut x = vec![0.0; student.len()];
    let mut y = vec![0.0; tokens * d_teacher];
    for (t, &clip) in clip_of.iter().enumerate() {
        for i in 0..d {
            x[i * tokens + t] = student[t * d + i];
        }
        for j in 0..d_teacher {
            y[j * tokens + t] = teacher[clip * d_teacher + j];
        }
    }
    let one = nst(&x, &y, tokens);
    out.values[0] = one.value * tokens as f64;
    for (t, &clip) in clip_of.iter().enumerate() {
        for i in 0..d {
            out.grad_student[t * d + i] = one.grad_x[i * tokens + t] * tokens as f64;
        }
        for j in 0..d_teacher {
            out.grad_teacher[clip * d_teacher + j] += one.grad_y[j * tokens + t] * tokens as f64;
        }
    }
    out
}

fn unit_rows(x: &[f64], width: usize) -> Vec<f64> {
    x.chunks(width).flat_map(|row| row.iter().map(|v| v / length(row))).collect()
}

/// The gradient with respect to rows from the one with respect to unit rows.
fn through_norm(x: &[f64], unit: &[f64], width: usize, grad: &mut [f64]) {
    for ((row, unit), grad) in x.chunks(width).zip(unit.chunks(width)).zip(grad.chunks_mut(width)) {
        let along: f64 = unit.iter().zip(grad.iter()).map(|(u, g)| u * g).sum();
        for (grad, u) in grad.iter_mut().zip(unit) {
            *grad = (*grad - along * u) / length(row);
        }
    }
}

/// Length of a row, at least 1e-12 as in the usual normalisation.
fn length(row: &[f64]) -> f64 {
    let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length < 1e-12 { 1e-12 } else { length }
}

#[cfg(test)]
mod tests {
    use cpu_math::testing::ramp;

    use super::*;

    #[track_caller]
    fn check_slopes(grad: &[f64], points: &[f64], value: impl Fn(&[f64]) -> f64) {
        for (at, &grad) in grad.iter().enumerate() {
            let moved = |by: f64| {
                let mut points = points.to_vec();
                points[at] += by;
                value(&points)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - grad).abs() < 1e-8, "{at}: {slope}, gradient {grad}");
        }
    }

    #[test]
    fn gradients_are_the_differences_of_values() {
        let (student, teacher) = (ramp::<f64>(3 * 4, 1), ramp::<f64>(2 * 5, 2));
        let (clip_of, widths) = ([1, 0, 1], (4, 5));
        let sum = |tokens: Tokens| tokens.values.iter().sum::<f64>();
        for options in [Options::gaussian(&[0.8]), Options::polynomial(2, 0.0)] {
            let run = |s: &[f64], t: &[f64]| per_token(s, t, &clip_of, widths, &options);
            let out = run(&student, &teacher);
            check_slopes(&out.grad_student, &student, |s| sum(run(s, &teacher)));
            check_slopes(&out.grad_teacher, &teacher, |t| sum(run(&student, t)));
        }
        let run = |s: &[f64], t: &[f64]| nst_gram(s, t, &clip_of, widths);
        let out = run(&student, &teacher);
        check_slopes(&out.grad_student, &student, |s| sum(run(s, &teacher)));
        check_slopes(&out.grad_teacher, &teacher, |t| sum(run(&student, t)));
    }

    #[test]
    fn the_vector_of_the_reference_notes() {
        let f = [1.0, 0.0, 1.0, 1.0, 0.0, 2.0];
        let g = [0.5, 0.5, 1.0, -1.0, 2.0, 1.0];
        let value = nst(&f, &g, 2).value;
        assert!((value - 0.022222222222).abs() < 5e-13, "{value}");
    }
}
