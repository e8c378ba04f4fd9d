//! Costs between the points of two clouds, and how a gradient of costs becomes one of points.

use crate::error::{KernelError, Result};

/// Least squared distance under the root of [`PointCost::Euclidean`], as in GeomLoss.
const LEAST_SQUARED_DISTANCE: f64 = 1e-8;
/// A vector shorter than this has no direction: its cosine with anything is 0.
const LEAST_NORM: f64 = 1e-8;

/// What it costs to move one unit of mass from `x` to `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointCost {
    /// `|x - y|^2 / 2`: GeomLoss's `p = 2`.
    SqEuclidean,
    /// `sqrt(max(|x - y|^2, 1e-8))`: GeomLoss's `p = 1`. No gradient where the bound holds.
    Euclidean,
    /// `1 - <x, y> / (|x| |y|)`: half the squared distance of the unit vectors. A vector shorter
    /// than 1e-8 has cosine 0 with everything, and no gradient.
    Cosine,
}

impl PointCost {
    /// The power `p` in `eps = blur^p` and `rho = reach^p`: 1 for a distance, 2 for a squared one.
    pub fn power(self) -> i32 {
        match self {
            Self::Euclidean => 1,
            Self::SqEuclidean | Self::Cosine => 2,
        }
    }

    fn between(self, x: &[f64], y: &[f64]) -> f64 {
        match self {
            Self::SqEuclidean => squared_distance(x, y) / 2.0,
            Self::Euclidean => floored(squared_distance(x, y)).sqrt(),
            Self::Cosine => 1.0 - cosine(x, y),
        }
    }

    /// Adds `scale * d cost / d x` to `grad`.
    fn add_gradient(self, x: &[f64], y: &[f64], scale: f64, grad: &mut [f64]) {
        match self {
            Self::SqEuclidean => {
                for ((slot, x), y) in grad.iter_mut().zip(x).zip(y) {
                    *slot += scale * (x - y);
                }
            }
            Self::Euclidean => {
                let squared = squared_distance(x, y);
                if squared < LEAST_SQUARED_DISTANCE {
                    return;
                }
                for ((slot, x), y) in grad.iter_mut().zip(x).zip(y) {
                    *slot += scale * (x - y) / squared.sqrt();
                }
            }
            Self::Cosine => {
                let (norm_x, norm_y) = (norm(x), norm(y));
                if norm_x < LEAST_NORM || norm_y < LEAST_NORM {
                    return;
                }
                let cosine = cosine(x, y);
                for ((slot, x), y) in grad.iter_mut().zip(x).zip(y) {
                    *slot += scale * (cosine * x / norm_x - y / norm_y) / norm_x;
                }
            }
        }
    }
}

/// Computes the cost of every pair.
///
/// # Shapes
///
/// | argument | shape    | dtype | meaning             |
/// |----------|----------|-------|---------------------|
/// | `x`      | `(N, D)` | f64   | points of the rows  |
/// | `y`      | `(M, D)` | f64   | points of the columns |
/// | `width`  | -        | usize | `D`, at least 1     |
/// | result   | `(N, M)` | f64   | row-major           |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when `width` is 0 or does not divide both clouds.
///
/// # Numerics
///
/// Differences first, then squares: no cancellation, and exactly 0 between equal points for
/// [`PointCost::SqEuclidean`].
pub fn cost_matrix(kind: PointCost, x: &[f64], y: &[f64], width: usize) -> Result<Vec<f64>> {
    count("pairwise_cost", x, width, "x")?;
    count("pairwise_cost", y, width, "y")?;
    let row = |x| y.chunks_exact(width).map(move |y| kind.between(x, y));
    Ok(x.chunks_exact(width).flat_map(row).collect())
}

/// Computes `d value / d x` from `d value / d cost`, with `y` held.
///
/// ```text
/// grad_x_i = sum_j d_cost_ij * d cost(x_i, y_j) / d x_i
/// ```
///
/// # Shapes
///
/// As [`cost_matrix`]; `d_cost` is `(N, M)`, usually a plan, and the result `(N, D)`.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) as for [`cost_matrix`], or when `d_cost` is not `(N, M)`.
///
/// # Numerics
///
/// Pairs whose `d_cost` is exactly 0 are skipped, so that NaN in a point without mass stays there.
pub fn point_gradient(
    kind: PointCost,
    x: &[f64],
    y: &[f64],
    width: usize,
    d_cost: &[f64],
) -> Result<Vec<f64>> {
    let (n, m) = (count("pairwise_cost", x, width, "x")?, count("pairwise_cost", y, width, "y")?);
    if d_cost.len() != n * m {
        let detail = format!("d_cost has {} values, expected N * M = {n} * {m}", d_cost.len());
        return Err(KernelError::shape("pairwise_cost", detail));
    }
    let mut grad = vec![0.0; x.len()];
    for (i, (x, grad)) in x.chunks_exact(width).zip(grad.chunks_exact_mut(width)).enumerate() {
        for (j, y) in y.chunks_exact(width).enumerate() {
            if d_cost[i * m + j] != 0.0 {
                kind.add_gradient(x, y, d_cost[i * m + j], grad);
            }
        }
    }
    Ok(grad)
}

/// Computes `d value / d x` and `d value / d y` from `d value / d cost`: [`point_gradient`] of both
/// sides.
///
/// # Errors
///
/// As [`point_gradient`].
pub fn point_gradients(
    kind: PointCost,
    x: &[f64],
    y: &[f64],
    width: usize,
    d_cost: &[f64],
) -> Result<(Vec<f64>, Vec<f64>)> {
    let grad_x = point_gradient(kind, x, y, width, d_cost)?;
    let turned = transpose(d_cost, x.len() / width, y.len() / width);
    Ok((grad_x, point_gradient(kind, y, x, width, &turned)?))
}

/// Turns `(N, M)` into `(M, N)`.
pub(in crate::reference) fn transpose(matrix: &[f64], n: usize, m: usize) -> Vec<f64> {
    (0..m).flat_map(|j| (0..n).map(move |i| matrix[i * m + j])).collect()
}

/// Scales each point to length 1; points too short to have a direction become 0.
pub(in crate::reference) fn unit_points(points: &[f64], width: usize) -> Vec<f64> {
    let unit = |point: &[f64]| {
        let norm = norm(point);
        let scale = if norm < LEAST_NORM { 0.0 } else { 1.0 / norm };
        point.iter().map(move |x| x * scale).collect::<Vec<f64>>()
    };
    points.chunks_exact(width).flat_map(unit).collect()
}

/// Number of points in `points`.
pub(in crate::reference) fn count(
    op: &'static str,
    points: &[f64],
    width: usize,
    name: &str,
) -> Result<usize> {
    if width == 0 || !points.len().is_multiple_of(width) {
        let detail =
            format!("{name} has {} values, expected a multiple of D = {width}", points.len());
        return Err(KernelError::shape(op, detail));
    }
    Ok(points.len() / width)
}

fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// `max(squared, 1e-8)` that lets NaN through.
fn floored(squared: f64) -> f64 {
    if squared < LEAST_SQUARED_DISTANCE { LEAST_SQUARED_DISTANCE } else { squared }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn cosine(x: &[f64], y: &[f64]) -> f64 {
    let (norm_x, norm_y) = (norm(x), norm(y));
    if norm_x < LEAST_NORM || norm_y < LEAST_NORM {
        return 0.0;
    }
    x.iter().zip(y).map(|(x, y)| (x / norm_x) * (y / norm_y)).sum()
}
