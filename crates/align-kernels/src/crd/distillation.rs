//! The path of CRD on each place.

use std::fmt::Debug;

use ndarray::Array2;

use super::clips;
use super::contrast::{Contrast, contrast};
use super::output::Crd;
use crate::error::Result;
use crate::place::{Host, Place};
use crate::points::Points;

/// A place that contrasts vectors: what [`crd_in_batch`](super::crd_in_batch) and
/// [`Bank`](super::Bank) do there.
pub trait Distillation: Place {
    /// Gradients, `(N, P)`: an array, or a `DeviceBuffer<f32>`.
    type Gradient: Debug;
    /// Rows of a bank, `(M, P)`.
    type Table: Debug;
    /// Indices of rows: a slice, or a `&DeviceBuffer<u32>`.
    type Indices<'a>: Copy;

    /// [`crd_in_batch`](super::crd_in_batch).
    ///
    /// # Errors
    ///
    /// As there.
    fn in_batch(
        student: Self::Points<'_>,
        teacher: Self::Points<'_>,
        clip_of: &[usize],
        drawn: &[usize],
        temperature: f64,
        n_data: usize,
    ) -> Result<Crd<Self::Gradient>>;

    /// Samples and extent of a bank, `(M, P)`.
    fn dim(table: &Self::Table) -> (usize, usize);

    /// How many indices there are.
    fn count(indices: Self::Indices<'_>) -> usize;

    /// Whether all indices are below `n_data`, as far as is known before they are used.
    fn are_below(indices: Self::Indices<'_>, n_data: usize) -> bool;

    /// [`Bank::contrast`](super::Bank::contrast), with anchors and rows whose extents fit.
    ///
    /// # Errors
    ///
    /// As there.
    fn contrast(
        table: &Self::Table,
        anchors: Self::Points<'_>,
        rows: Self::Indices<'_>,
        temperature: f64,
        z: &mut f64,
    ) -> Result<(f64, Self::Gradient)>;

    /// [`Bank::update`](super::Bank::update), with fresh rows whose extents fit.
    ///
    /// # Errors
    ///
    /// As there.
    fn update(
        table: &mut Self::Table,
        index: Self::Indices<'_>,
        fresh: Self::Points<'_>,
        momentum: f64,
    ) -> Result<()>;
}

impl Distillation for Host {
    type Gradient = Array2<f32>;
    type Table = Array2<f32>;
    type Indices<'a> = &'a [usize];

    fn in_batch(
        student: Points<'_>,
        teacher: Points<'_>,
        clip_of: &[usize],
        drawn: &[usize],
        temperature: f64,
        n_data: usize,
    ) -> Result<Crd> {
        clips::on_host(student, teacher, clip_of, drawn, temperature, n_data)
    }

    fn dim(table: &Array2<f32>) -> (usize, usize) {
        table.dim()
    }

    fn count(indices: &[usize]) -> usize {
        indices.len()
    }

    fn are_below(indices: &[usize], n_data: usize) -> bool {
        indices.iter().all(|&row| row < n_data)
    }

    fn contrast(
        table: &Array2<f32>,
        anchors: Points<'_>,
        rows: &[usize],
        temperature: f64,
        z: &mut f64,
    ) -> Result<(f64, Array2<f32>)> {
        let (count, width) = (anchors.count(), anchors.width());
        let slots = rows.len() / count;
        let anchors = anchors.to_f32();
        let bank = table.as_slice().expect("standard layout");
        let problem = Contrast { anchors: &anchors, bank, width, rows, slots, temperature };
        let (value, grad) = contrast(&problem, z);
        let grad = Array2::from_shape_vec((count, width), grad);
        Ok((value, grad.expect("one gradient a coordinate")))
    }

    fn update(
        table: &mut Array2<f32>,
        index: &[usize],
        fresh: Points<'_>,
        momentum: f64,
    ) -> Result<()> {
        let width = table.ncols();
        let rows = table.as_slice_mut().expect("standard layout");
        for (&row, fresh) in index.iter().zip(fresh.to_f32().chunks(width)) {
            let row = &mut rows[row * width..(row + 1) * width];
            for (old, &new) in row.iter_mut().zip(fresh) {
                *old = (momentum * f64::from(*old) + (1.0 - momentum) * f64::from(new)) as f32;
            }
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm.max(1e-12)) as f32);
        }
        Ok(())
    }
}
