//! A bandwidth from the data.

use cpu_math::parallel::map_tasks;

use super::{Discrepancy, check_sides, usable};
use crate::error::{KernelError, Result};
use crate::ragged::Ragged;
use crate::vector::squared_distance;

/// Points of an item whose distances are taken at most; evenly spaced ones stand for the rest.
const MOST_POINTS: usize = 512;

/// Median distance between different points of the two sides together: the usual bandwidth of a
/// [`Gaussian`](super::Kernel::Gaussian) kernel.
///
/// ```text
/// s = median over items k, and i < i' in the points of x_k and y_k, of |z_i - z_i'|
/// ```
///
/// Of items with more than 512 points, 512 evenly spaced ones are taken. Of an even number of
/// distances the larger middle one is taken. Distances that are not numbers are left out. Of points on
/// a GPU the distances come from there, and the middle one is found on the host.
///
/// # Shapes
///
/// As [`mmd`](fn@super::mmd).
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) as `mmd`; [`Value`](crate::ErrorKind::Value) when no item
/// has two points, or the median distance is 0 or beyond what a bandwidth may be.
///
/// # Source
///
/// Gretton et al. 2012, JMLR 13:723-773, section 8.
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::mmd::median_bandwidth;
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0f32], [1.0]], array![[3.0f32]]);
/// let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
/// assert_eq!(median_bandwidth(&x, &y)?, 2.0); // of the distances 1, 2 and 3
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn median_bandwidth<P: Discrepancy>(x: &Ragged<'_, P>, y: &Ragged<'_, P>) -> Result<f64> {
    check_sides("median_bandwidth", x, y)?;
    let mut squares = P::squared_distances(x, y)?;
    squares.retain(|square| !square.is_nan());
    if squares.is_empty() {
        let detail = "no two points in an item, expected one item of 2 or more".to_string();
        return Err(KernelError::value("median_bandwidth", detail));
    }
    let middle = squares.len() / 2;
    let median = squares.select_nth_unstable_by(middle, f64::total_cmp).1.sqrt();
    if usable(median) {
        Ok(median)
    } else {
        let detail = format!("the median distance is {median}, expected 1e-15 to 1e15");
        Err(KernelError::value("median_bandwidth", detail))
    }
}

/// The points of an item of `count` whose distances are taken, in order.
pub(crate) fn chosen(count: usize) -> impl ExactSizeIterator<Item = usize> {
    let taken = count.min(MOST_POINTS);
    (0..taken).map(move |i| i * count / taken)
}

/// Squared distances of the chosen points of each item, of checked points on the host.
pub(super) fn on_host(x: &Ragged<'_>, y: &Ragged<'_>) -> Vec<f64> {
    let width = x.points().width();
    let (points_x, points_y) = (x.points().to_f32(), y.points().to_f32());
    let of_item = |k: usize| -> Vec<f64> {
        let (of_x, of_y) = (x.range(k), y.range(k));
        let point = |at: usize| match at.checked_sub(of_x.len()) {
            None => &points_x[(of_x.start + at) * width..][..width],
            Some(at) => &points_y[(of_y.start + at) * width..][..width],
        };
        let rows: Vec<&[f32]> = chosen(of_x.len() + of_y.len()).map(point).collect();
        let of_point =
            |i: usize| (0..i).map(|j| squared_distance(rows[i], rows[j])).collect::<Vec<_>>();
        map_tasks(rows.len(), of_point).concat()
    };
    map_tasks(x.items(), of_item).concat()
}
