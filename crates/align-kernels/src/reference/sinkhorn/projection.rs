//! Barycentric projections: each point of one side as a mean of the other side's.

use crate::error::{KernelError, Result};
use crate::reference::pairwise_cost::{count, transpose};

/// Computes, for every row, the mean of the columns' points under the plan.
///
/// ```text
/// out_i = sum_j P_ij y_j / sum_j P_ij
/// ```
///
/// # Shapes
///
/// | argument | shape    | dtype | meaning                                  |
/// |----------|----------|-------|------------------------------------------|
/// | `plan`   | `(N, M)` | f64   | row-major, >= 0                          |
/// | `y`      | `(M, D)` | f64   | what is averaged                         |
/// | `n`      | -        | usize | `N`                                      |
/// | `width`  | -        | usize | `D`, at least 1                          |
/// | result   | `(N, D)` | f64   | rows without mass are 0                  |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when `width` does not divide `y` or the plan is not `(N, M)`.
///
/// # Numerics
///
/// Divides by the plan's own row sums, so an unconverged plan still gives means. Entries that are
/// exactly 0 are skipped: NaN in a point without mass stays there.
pub fn project_onto_rows(plan: &[f64], y: &[f64], n: usize, width: usize) -> Result<Vec<f64>> {
    let m = count("sinkhorn", y, width, "y")?;
    if plan.len() != n * m {
        let detail = format!("plan has {} values, expected N * M = {n} * {m}", plan.len());
        return Err(KernelError::shape("sinkhorn", detail));
    }
    let mut out = vec![0.0; n * width];
    for (i, out) in out.chunks_exact_mut(width).enumerate() {
        let row = &plan[i * m..(i + 1) * m];
        let mass: f64 = row.iter().sum();
        for (&p, y) in row.iter().zip(y.chunks_exact(width)).filter(|(p, _)| **p != 0.0) {
            for (out, y) in out.iter_mut().zip(y) {
                *out += p / mass * y;
            }
        }
    }
    Ok(out)
}

/// Computes, for every column, the mean of the rows' points under the plan.
///
/// ```text
/// out_j = sum_i P_ij x_i / sum_i P_ij
/// ```
///
/// # Shapes
///
/// As [`project_onto_rows`] with the sides exchanged: `x` is `(N, D)`, `m` is `M`, the result `(M,
/// D)`.
///
/// # Errors
///
/// As [`project_onto_rows`].
pub fn project_onto_columns(plan: &[f64], x: &[f64], m: usize, width: usize) -> Result<Vec<f64>> {
    let n = count("sinkhorn", x, width, "x")?;
    if plan.len() != n * m {
        let detail = format!("plan has {} values, expected N * M = {n} * {m}", plan.len());
        return Err(KernelError::shape("sinkhorn", detail));
    }
    project_onto_rows(&transpose(plan, n, m), x, m, width)
}
