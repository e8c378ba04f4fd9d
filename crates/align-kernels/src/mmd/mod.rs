//! Maximum mean discrepancy: how far apart two distributions are, judged by samples.
//!
//! ```text
//! MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)
//! ```
//!
//! | kernel | sees | cost of an item of `N + M` points of width `D` |
//! |---|---|---|
//! | [`Linear`](Kernel::Linear) | means | `(N + M) D` |
//! | [`Polynomial`](Kernel::Polynomial) of degree 2 | second moments too | `(N + M) D min(N + M, D)` |
//! | [`Polynomial`](Kernel::Polynomial) of degree 3 and up | as many moments | `(N + M)^2 D` |
//! | [`Gaussian`](Kernel::Gaussian) | everything | `(N + M)^2 D` |
//!
//! [`Estimator::LinearTime`] costs `(N + M) D` with any kernel. Degree 2 goes by moments where
//! `D < N + M`; kernels of all pairs go by tiles of 256 x 256, and no more than one tile a thread
//! is ever in memory.
//!
//! [`mmd`](fn@mmd) computes values and gradients in one pass. [`median_bandwidth`] proposes a
//! bandwidth. The forms of neuron selectivity transfer are in [`nst`](mod@crate::nst).

mod bandwidth;
mod discrepancy;
mod gaussian;
mod linear;
mod linear_time;
mod moments;
mod options;
mod polynomial;
mod rounds;
mod route;
mod tiles;

#[cfg(feature = "cuda")]
pub(crate) use bandwidth::chosen;
pub use bandwidth::median_bandwidth;
pub use discrepancy::Discrepancy;
#[cfg(feature = "cuda")]
pub(crate) use gaussian::{Stage, Step, stages};
pub(crate) use options::usable;
pub use options::{Estimator, Kernel, Options};
pub(crate) use route::Route;

use cpu_math::parallel::{for_each_chunk, rows_per_chunk};
use ndarray::Array2;
use rayon::prelude::*;

use crate::error::{KernelError, Result};
use crate::place::{Cloud, Place};
use crate::ragged::Ragged;

/// Values and gradients of a batch. `G` is a gradient where the points are: an [`Array2`], or a
/// `DeviceBuffer<f32>` of the same rows.
#[derive(Debug, Clone)]
pub struct Output<G = Array2<f32>> {
    /// One squared discrepancy an item: `(B,)`.
    pub value: Vec<f64>,
    /// Derivative of the sum of all values with respect to `x`: `(N, D)`. Items share no points,
    /// so the rows of item `k` are the derivative of value `k`, to be scaled by its upstream
    /// gradient.
    pub grad_x: G,
    /// As `grad_x`, with respect to `y`: `(M, D)`.
    pub grad_y: G,
}

/// Squared maximum mean discrepancy between item `k` of `x` and item `k` of `y`, for every `k`.
///
/// ```text
/// biased       sum_ii' k(x_i, x_i') / n^2 + sum_jj' k(y_j, y_j') / m^2 - 2 sum_ij k(x_i, y_j) / (n m)
/// unbiased     the same with i != i' over n (n - 1), and j != j' over m (m - 1)
/// linear time  mean over q < min(n, m) / 2 of
///              k(x_2q, x_2q+1) + k(y_2q, y_2q+1) - k(x_2q, y_2q+1) - k(x_2q+1, y_2q)
/// ```
///
/// An item with too few points for its estimator has value 0 and no gradient: with none on a side,
/// or with fewer than two where different points of a side are paired.
///
/// # Shapes
///
/// | argument | shape              | dtype          | meaning                     |
/// |----------|--------------------|----------------|-----------------------------|
/// | `x`      | `(N, D)` in B items | f32, bf16, f16 | samples of one distribution |
/// | `y`      | `(M, D)` in B items | f32, bf16, f16 | samples of the other        |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when widths or counts of items differ;
/// [`Option`](crate::ErrorKind::Option) for a degree, offset or bandwidth out of range.
///
/// # Numerics
///
/// Products and kernel values are f32, their sums f64. Half-precision points are widened exactly.
/// Gaussian kernels see points relative to the item's mean, and close pairs by their differences,
/// so that a common shift costs no digits. The moment form of degree 2 subtracts before it squares.
/// An item with a NaN gets the value NaN, and NaN in its gradient; other items do not notice.
/// Polynomials overflow where `|x . y + offset|^degree` leaves f32.
///
/// On a GPU gradients stay there. f32 points are as on the host. bf16 points are multiplied by tensor
/// cores with sums in f32, as they are, without a shift to the mean; what they are multiplied by for the
/// gradient (kernel slopes, moment matrices) is rounded to bf16 once. Rows of bf16 that do not start at
/// multiples of 16 bytes are widened, as for [`LinearTime`](Estimator::LinearTime).
///
/// # Source
///
/// Gretton et al. 2012, JMLR 13:723-773: equations 5 (biased), 3 (unbiased), lemma 14 (linear
/// time).
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::mmd::{Options, mmd};
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0f32, 1.0], [2.0, 1.0]], array![[1.0f32, 3.0]]);
/// let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
/// let out = mmd(&x, &y, &Options::linear())?;
/// assert_eq!(out.value, [4.0]); // means (1, 1) and (1, 3)
/// assert_eq!(out.grad_y, array![[0.0, 4.0]]);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn mmd<P: Discrepancy>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    options: &Options,
) -> Result<Output<P::Gradient>> {
    check_sides("mmd", x, y)?;
    options.check()?;
    P::discrepancy(x, y, options)
}

/// [`mmd`] of checked points on the host.
fn on_host(x: &Ragged<'_>, y: &Ragged<'_>, options: &Options) -> Output {
    let width = x.points().width();
    let (points_x, points_y) = (x.points().to_f32(), y.points().to_f32());
    let mut grad_x = Array2::zeros((x.points().count(), width));
    let mut grad_y = Array2::zeros((y.points().count(), width));
    let items = cut(&points_x, rows(&mut grad_x), x, width)
        .into_iter()
        .zip(cut(&points_y, rows(&mut grad_y), y, width))
        .map(|((x, grad_x), (y, grad_y))| Item { x, y, width, grad_x, grad_y })
        .collect::<Vec<_>>();
    let value = items.into_par_iter().map(|item| one_item(item, options)).collect();
    Output { value, grad_x, grad_y }
}

/// Checks that sides can be compared, and returns their width.
pub(crate) fn check_sides<P: Place>(
    op: &'static str,
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
) -> Result<usize> {
    let (width, other) = (x.points().width(), y.points().width());
    if width != other {
        let detail = format!("y has width {other}, expected the {width} of x");
        return Err(KernelError::shape(op, detail));
    }
    if x.items() != y.items() {
        let detail = format!("y has {} items, expected the {} of x", y.items(), x.items());
        return Err(KernelError::shape(op, detail));
    }
    Ok(width)
}

/// The elements of a new array, which lie in one piece.
fn rows(array: &mut Array2<f32>) -> &mut [f32] {
    array.as_slice_mut().unwrap_or_default()
}

/// Points and gradients of each item.
fn cut<'a>(
    mut points: &'a [f32],
    mut grad: &'a mut [f32],
    ragged: &Ragged<'_>,
    width: usize,
) -> Vec<(&'a [f32], &'a mut [f32])> {
    let mut items = vec![];
    for k in 0..ragged.items() {
        let len = ragged.range(k).len() * width;
        let (own, rest) = points.split_at(len);
        let (own_grad, rest_grad) = grad.split_at_mut(len);
        items.push((own, own_grad));
        (points, grad) = (rest, rest_grad);
    }
    items
}

/// Two clouds, and where their gradients go; these are zero at first.
pub(crate) struct Item<'a> {
    /// `(N, D)`.
    pub x: &'a [f32],
    /// `(M, D)`.
    pub y: &'a [f32],
    /// `D`.
    pub width: usize,
    /// `(N, D)`.
    pub grad_x: &'a mut [f32],
    /// `(M, D)`.
    pub grad_y: &'a mut [f32],
}

/// Value of an item whose options were checked; writes its gradients.
pub(crate) fn one_item(item: Item<'_>, options: &Options) -> f64 {
    let count = |points: &[f32]| points.len().checked_div(item.width).unwrap_or(0);
    let (n, m) = (count(item.x), count(item.y));
    let unbiased = options.estimator == Estimator::Unbiased;
    match options.route(n, m, item.width) {
        Route::Nothing => 0.0,
        Route::LinearTime(kernel) => linear_time::linear_time(item, kernel),
        Route::Linear => linear::linear(item, unbiased),
        Route::Moments { offset } => moments::moments(item, offset, unbiased),
        Route::Products { degree, offset } => {
            let points = [item.x, item.y].concat();
            let cloud = tiles::Cloud { points: &points, split: n, width: item.width };
            let power = polynomial::Power { degree, offset: offset as f32 };
            tiles::all_pairs(&cloud, &power, unbiased, item)
        }
        Route::Distances { bandwidths } => {
            let points = centred(&item);
            let cloud = tiles::Cloud { points: &points, split: n, width: item.width };
            let stages = gaussian::stages(bandwidths);
            let gaussian = gaussian::Gaussian::new(&cloud, &stages);
            tiles::all_pairs(&cloud, &gaussian, unbiased, item)
        }
    }
}

/// The points of both sides relative to their common mean.
fn centred(item: &Item<'_>) -> Vec<f32> {
    let width = item.width;
    let mut points = [item.x, item.y].concat();
    let mean: Vec<f32> =
        crate::vector::mean_row(&points, width).iter().map(|&m| m as f32).collect();
    for_each_chunk(&mut points, rows_per_chunk(width) * width, |_, points| {
        for point in points.chunks_exact_mut(width) {
            point.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
        }
    });
    points
}

#[cfg(test)]
mod tests;
