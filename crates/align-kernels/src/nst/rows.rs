//! Neurons as unit rows over positions, compared by squared products.

use cpu_math::parallel::{map_tasks, rows_per_chunk};
use ndarray::{Array2, s};
use rayon::prelude::*;

use super::Selectivity;
use crate::error::Result;
use crate::mmd::{Item, Options, Output, check_sides, one_item};
use crate::ragged::Ragged;
use crate::vector::{combine, dot, square_sum};

/// Neuron selectivity transfer between item `k` of `x` and item `k` of `y`: the squared
/// discrepancy between neurons, each scaled to length 1 over positions.
///
/// ```text
/// u_i = x_i / |x_i|,  v_j = y_j / |y_j|
/// value = sum_ii' (u_i . u_i')^2 / n^2 + sum_jj' (v_j . v_j')^2 / m^2 - 2 sum_ij (u_i . v_j)^2 / (n m)
///       = | U'U / n - V'V / m |^2
/// ```
///
/// The gradient passes through the scaling. A row of zeros stays one and takes no gradient; an
/// item without neurons on a side has value 0.
///
/// # Shapes
///
/// | argument | shape               | dtype          | meaning                          |
/// |----------|---------------------|----------------|----------------------------------|
/// | `x`      | `(N, D)` in B items | f32, bf16, f16 | neurons by positions, one side   |
/// | `y`      | `(M, D)` in B items | f32, bf16, f16 | neurons by positions, the other  |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when numbers of positions or of items differ.
///
/// # Numerics
///
/// As [`mmd`](fn@crate::mmd::mmd); lengths are f64, and at least 1e-12. On a GPU scaled rows of bf16
/// points are rounded to bf16, and those are what is compared.
///
/// # Source
///
/// Huang and Wang 2017, arXiv:1707.01219, with the normalisation and kernel of RepDistiller's
/// `NST.py`.
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::nst::nst;
/// use ndarray::array;
///
/// let f = array![[1.0f32, 0.0], [1.0, 1.0], [0.0, 2.0]];
/// let g = array![[0.5f32, 0.5], [1.0, -1.0], [2.0, 1.0]];
/// let out = nst(&Ragged::single(f.view().into()), &Ragged::single(g.view().into()))?;
/// assert!((out.value[0] - 1.0 / 45.0).abs() < 1e-7);
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn nst<P: Selectivity>(x: &Ragged<'_, P>, y: &Ragged<'_, P>) -> Result<Output<P::Gradient>> {
    check_sides("nst", x, y)?;
    P::of_rows(x, y)
}

/// [`nst`] of checked rows on the host.
pub(super) fn on_host(x: &Ragged<'_>, y: &Ragged<'_>) -> Output {
    let width = x.points().width();
    let (rows_x, rows_y) = (x.points().to_f32(), y.points().to_f32());
    let item = |k: usize| {
        let rows = |of: &Ragged<'_>| of.range(k).start * width..of.range(k).end * width;
        nst_of(&rows_x[rows(x)], &rows_y[rows(y)], width)
    };
    let mut out = Output {
        value: vec![],
        grad_x: Array2::zeros((x.points().count(), width)),
        grad_y: Array2::zeros((y.points().count(), width)),
    };
    for (k, (value, grad_x, grad_y)) in map_tasks(x.items(), item).into_iter().enumerate() {
        out.value.push(value);
        for (all, own, range) in
            [(&mut out.grad_x, grad_x, x.range(k)), (&mut out.grad_y, grad_y, y.range(k))]
        {
            all.slice_mut(s![range, ..]).iter_mut().zip(own).for_each(|(all, own)| *all = own);
        }
    }
    out
}

/// [`nst`] of one pair of clouds in memory: the value, and the gradients.
pub(super) fn nst_of(x: &[f32], y: &[f32], width: usize) -> (f64, Vec<f32>, Vec<f32>) {
    let (unit_x, unit_y) = (UnitRows::new(x, width), UnitRows::new(y, width));
    let (mut grad_x, mut grad_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    let item =
        Item { x: &unit_x.unit, y: &unit_y.unit, width, grad_x: &mut grad_x, grad_y: &mut grad_y };
    let value = one_item(item, &Options::polynomial(2, 0.0));
    unit_x.through_norm(&mut grad_x);
    unit_y.through_norm(&mut grad_y);
    (value, grad_x, grad_y)
}

/// Rows of length 1, with the lengths they had.
struct UnitRows {
    unit: Vec<f32>,
    lengths: Vec<f64>,
    width: usize,
}

impl UnitRows {
    fn new(rows: &[f32], width: usize) -> Self {
        let width = width.max(1);
        let part = rows_per_chunk(width);
        let lengths = map_tasks(rows.len().div_ceil(part * width), |k| {
            let rows = &rows[k * part * width..];
            let rows = &rows[..rows.len().min(part * width)];
            rows.chunks_exact(width).map(length).collect::<Vec<_>>()
        })
        .concat();
        let mut unit = rows.to_vec();
        unit.par_chunks_mut(width).with_min_len(part).zip(&lengths).for_each(|(row, length)| {
            let factor = 1.0 / length;
            row.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
        });
        Self { unit, lengths, width }
    }

    /// `(g - (u . g) u) / |x|`, in place.
    fn through_norm(&self, grad: &mut [f32]) {
        let width = self.width;
        grad.par_chunks_mut(width)
            .with_min_len(rows_per_chunk(width))
            .zip(self.unit.par_chunks(width).zip(&self.lengths))
            .for_each(|(grad, (unit, length))| {
                let along = dot(unit, grad) as f32;
                combine(grad, (1.0 / length) as f32, -along, unit);
            });
    }
}

/// Length of a row, at least 1e-12 as in the usual normalisation. NaN stays.
fn length(row: &[f32]) -> f64 {
    let length = square_sum(row).sqrt();
    if length < 1e-12 { 1e-12 } else { length }
}
