//! Costs between the points of every pair of a ragged batch.
//!
//! These are the costs that [`sinkhorn`](fn@crate::sinkhorn::sinkhorn) moves mass by, for those who
//! want to look at them or bring a solver of their own
//! ([`sinkhorn_cost`](crate::sinkhorn::sinkhorn_cost)).

use std::ops::Range;

use crate::error::Result;
use crate::place::{Host, Place};
use crate::ragged::Ragged;
use crate::sinkhorn::{check_sides, cost_matrices};

pub use crate::sinkhorn::{Cost, Pairing};

/// Cost matrices of all pairs, packed.
#[derive(Debug, Clone)]
pub struct Costs<V> {
    /// `(N, M)` of each pair, row-major, one after another.
    pub values: V,
    /// Where each pair starts in `values`, and where the last one ends.
    pub starts: Vec<usize>,
}

impl<V> Costs<V> {
    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.starts.len() - 1
    }

    /// Where pair `k` is in `values`.
    pub fn range(&self, k: usize) -> Range<usize> {
        self.starts[k]..self.starts[k + 1]
    }
}

/// Computes what it costs to move one unit of mass between the points of every pair.
///
/// # Shapes
///
/// | argument | shape | dtype | meaning |
/// |---|---|---|---|
/// | `x` | `(N, D)`, `B_x` items | f32, bf16, f16 | points of the rows |
/// | `y` | `(M, D)`, `B_y` items | f32, bf16, f16 | points of the columns |
/// | result | `(N_k, M_k)` a pair | f32 | where the points are |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when widths or item counts (paired) differ, or the width is 0;
/// [`Device`](crate::ErrorKind::Device) when a GPU fails.
///
/// # Numerics
///
/// f32, from inner products and norms of the same points: the error is that of
/// `|x|^2 + |y|^2 - 2 <x, y>`, so centre points that lie far from the origin. Where `x` and `y` are the
/// same memory, the cost of a point to itself is exactly 0 (1e-4 for [`Cost::Euclidean`], its bound). On
/// a GPU bf16 points are multiplied by tensor cores and summed in f32; f32 points exactly, unless both
/// clouds ask for TF32 by `DevicePoints::with_precision`.
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0f32, 0.0], [1.0, 0.0]], array![[0.0f32, 2.0]]);
/// let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
/// let costs = pairwise_cost(&x, &y, Cost::SqEuclidean, Pairing::Paired)?;
/// assert_eq!(costs.values, [2.0, 2.5]);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn pairwise_cost<P: PairwiseCost>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    cost: Cost,
    pairing: Pairing,
) -> Result<Costs<P::Values>> {
    check_sides("pairwise_cost", x, y, pairing)?;
    P::costs(x, y, cost, pairing)
}

/// A place that computes costs.
pub trait PairwiseCost: Place {
    /// [`pairwise_cost`] of checked arguments.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn costs(
        x: &Ragged<'_, Self>,
        y: &Ragged<'_, Self>,
        cost: Cost,
        pairing: Pairing,
    ) -> Result<Costs<Self::Values>>;
}

impl PairwiseCost for Host {
    fn costs(
        x: &Ragged<'_>,
        y: &Ragged<'_>,
        cost: Cost,
        pairing: Pairing,
    ) -> Result<Costs<Vec<f32>>> {
        let (values, starts) = cost_matrices(x, y, cost, pairing)?;
        Ok(Costs { values, starts })
    }
}

#[cfg(test)]
mod tests;
