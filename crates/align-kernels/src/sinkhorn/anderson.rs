//! Anderson acceleration of the column potentials, with a safeguard.
//!
//! An iteration is a map `g -> T(g)`. From the residuals `T(g) - g` of the last few points follows the
//! combination of them whose residual would be least if `T` were affine; the same combination of the
//! `T(g)` is the next point. Far from the solution that can lead astray, so a step after which the
//! marginal error has risen is taken back, and the iteration goes on from where the map alone leads.
//!
//! # Source
//!
//! Anderson 1965; Walker and Ni 2011, SIAM J. Numer. Anal. 49, algorithm AA.

use std::collections::VecDeque;

/// Ridge of the least-squares problem, relative to its largest diagonal entry.
const RIDGE: f64 = 1e-10;

/// The last points of an iteration.
#[derive(Debug)]
pub(super) struct Anderson {
    memory: usize,
    /// `(T(g), T(g) - g)`, the oldest first; at most one more than `memory`.
    seen: VecDeque<(Vec<f64>, Vec<f64>)>,
    /// Where the map alone led from the last point, while the step taken instead is unproven.
    plain: Option<Vec<f64>>,
    /// Marginal error at the last point that was kept.
    error: f64,
}

impl Anderson {
    /// Combines up to `memory` differences of points.
    pub fn new(memory: usize) -> Self {
        Self { memory, seen: VecDeque::new(), plain: None, error: f64::INFINITY }
    }

    /// Where to go back to, if `error` at the present point has risen over that of the one before.
    pub fn retreat(&mut self, error: f64) -> Option<Vec<f64>> {
        let plain = self.plain.take().filter(|_| error > self.error)?;
        self.seen.clear();
        Some(plain)
    }

    /// Where to go from `g`, at which the marginal error was `error` and which the map takes to
    /// `mapped`.
    pub fn step(&mut self, g: &[f64], mapped: Vec<f64>, error: f64) -> Vec<f64> {
        self.error = error;
        if self.seen.len() > self.memory {
            self.seen.pop_front();
        }
        let residual = mapped.iter().zip(g).map(|(t, g)| t - g).collect();
        self.seen.push_back((mapped.clone(), residual));
        match self.combined() {
            Some(next) => {
                self.plain = Some(mapped);
                next
            }
            None => mapped,
        }
    }

    /// Forgets everything: the map has changed, or a sum could not be trusted.
    pub fn clear(&mut self) {
        *self = Self::new(self.memory);
    }

    /// `T(g) - dT c`, `c` minimising `|r - dR c|`; the columns of `dT` and `dR` are differences of
    /// successive points. `None` with a single point, or when the problem cannot be solved.
    fn combined(&self) -> Option<Vec<f64>> {
        let (last, residual) = self.seen.back()?;
        let pairs: Vec<_> = self.seen.iter().zip(self.seen.iter().skip(1)).collect();
        if pairs.is_empty() {
            return None;
        }
        let steps: Vec<Vec<f64>> =
            pairs.iter().map(|((_, old), (_, new))| difference(new, old)).collect();
        let gram = steps.iter().map(|a| steps.iter().map(|b| dot(a, b)).collect()).collect();
        let right = steps.iter().map(|step| dot(step, residual)).collect();
        let weights = solve(gram, right)?;
        let mut next = last.clone();
        for (((old, _), (new, _)), weight) in pairs.into_iter().zip(weights) {
            for (next, (new, old)) in next.iter_mut().zip(new.iter().zip(old)) {
                *next -= weight * (new - old);
            }
        }
        next.iter().all(|value| value.is_finite()).then_some(next)
    }
}

fn difference(new: &[f64], old: &[f64]) -> Vec<f64> {
    new.iter().zip(old).map(|(new, old)| new - old).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric positive system by elimination; `None` when it is not one.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    let ridge = RIDGE * (0..n).map(|k| matrix[k][k]).fold(0.0, f64::max);
    for k in 0..n {
        matrix[k][k] += ridge;
        let (above, below) = matrix.split_at_mut(k + 1);
        let (pivot_row, pivot) = (&above[k], above[k][k]);
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        for (i, row) in below.iter_mut().enumerate() {
            let factor = row[k] / pivot;
            row.iter_mut().zip(pivot_row).for_each(|(x, p)| *x -= factor * p);
            right[k + 1 + i] -= factor * right[k];
        }
    }
    for k in (0..n).rev() {
        let known = dot(&matrix[k][k + 1..], &right[k + 1..]);
        right[k] = (right[k] - known) / matrix[k][k];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A contraction with three rates.
    fn affine(g: &[f64]) -> Vec<f64> {
        vec![0.99 * g[0] + 1.0, 0.9 * g[1] - 2.0, 0.5 * g[2] + 0.1 * g[0]]
    }

    fn largest(residual: &[f64]) -> f64 {
        residual.iter().fold(0.0, |most, r| r.abs().max(most))
    }

    #[test]
    fn an_affine_map_of_a_few_rates_is_solved_in_a_few_steps() {
        let (mut anderson, mut g) = (Anderson::new(5), vec![0.0; 3]);
        let mut error = f64::INFINITY;
        for _ in 0..9 {
            let mapped = affine(&g);
            error = largest(&difference(&mapped, &g));
            g = match anderson.retreat(error) {
                Some(plain) => plain,
                None => anderson.step(&g, mapped, error),
            };
        }
        assert!(error < 1e-6, "{error}");
        assert!((g[0] - 100.0).abs() < 1e-3 && (g[1] + 20.0).abs() < 1e-3, "{g:?}");
    }

    #[test]
    fn a_step_that_raises_the_error_is_taken_back() {
        let mut anderson = Anderson::new(3);
        assert_eq!(anderson.step(&[0.0], vec![1.0], 4.0), [1.0]);
        assert_eq!(anderson.retreat(2.0), None);
        let step = anderson.step(&[1.0], vec![1.5], 2.0);
        assert!((step[0] - 2.0).abs() < 1e-6, "the sum of a geometric series: {step:?}");
        assert_eq!(anderson.retreat(3.0), Some(vec![1.5]), "back to where the map led");
        assert_eq!(anderson.retreat(9.0), None, "once");
        assert_eq!(anderson.step(&[1.5], vec![1.6], 1.0), [1.6], "and nothing is remembered");
    }

    #[test]
    fn memory_is_bounded_and_degenerate_histories_fall_back_on_the_map() {
        let mut anderson = Anderson::new(2);
        for k in 0..9 {
            let next = anderson.step(&[0.0, 0.0], vec![0.0, 0.0], 1.0);
            assert_eq!(next, [0.0, 0.0], "{k}");
            assert!(anderson.seen.len() <= 3);
        }
        let next = anderson.step(&[0.0, 0.0], vec![f64::NAN, 1.0], 1.0);
        assert!(next[0].is_nan() && next[1] == 1.0);
    }
}
