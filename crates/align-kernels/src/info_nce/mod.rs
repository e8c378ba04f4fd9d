//! InfoNCE: each point picks its partner out of all others.
//!
//! | function | for |
//! |---|---|
//! | [`info_nce`](fn@info_nce) | two clouds, value and gradients |
//! | [`info_nce_layers`] | several pairs of clouds, their losses summed |
//! | [`info_nce_similarities`] | similarities that something else computed, such as Sinkhorn divergences |
//! | [`info_nce_lse`], [`combine_lse`], [`info_nce_given_lse`] | a block of the matrix, when data are spread over workers |
//!
//! The matrix of logits is never in memory as a whole: at most two stripes of it are, 12 MiB each
//! (above 12,288 rows, 256 columns each). Other work memory is small, unless points are masked or
//! not contiguous f32: those are copied. A symmetric loss costs `8 N M D` floating-point operations (`6 N M D` when the stripes fit),
//! a one-directional one `6 N M D`; gradients of one side alone save `2 N M D`.

mod backward;
mod block;
pub(crate) mod combine;
mod contrast;
mod forward;
mod host;
mod layer;
mod layers;
mod lse;
pub(crate) mod options;
mod scores;
mod sides;
mod similarities;
mod tile;

use ndarray::Array2;

pub use block::{info_nce_given_lse, info_nce_lse};
pub use combine::combine_lse;
pub use contrast::Contrast;
pub use layer::Layer;
pub use layers::{Layers, info_nce_layers};
pub use lse::{Block, Lse};
pub use options::{Options, Similarity};
pub use similarities::{OfSimilarities, info_nce_similarities};

use crate::error::{KernelError, Result};
use crate::gradient_sides::GradientSides;
use crate::place::Placed;
use crate::points::Points;
use backward::{anchors_of, backward, one_direction};
use forward::{Forward, forward};
use options::{Extent, NONE};
use scores::Scores;
use sides::Side;

/// Value and gradients of InfoNCE.
///
/// Gradients are arrays, or for points on a device a `DeviceBuffer<f32>`, row-major; all else is on
/// the host.
#[derive(Debug, Clone)]
pub struct Output<V = Array2<f32>> {
    /// The loss; 0 when there is no pair.
    pub value: f64,
    /// Gradient with respect to `x`, `(N, D)`; 0 for rows that do not count. Empty where
    /// [`Options::gradients`] leaves it out.
    pub grad_x: V,
    /// Gradient with respect to `y`, `(M, D)`; likewise.
    pub grad_y: V,
    /// Gradient with respect to the temperature. Times the temperature it is that with respect to
    /// its logarithm, and the negative of that with respect to the log of a `logit_scale`.
    pub grad_temperature: f64,
    /// Log-sum-exp of each row's logits, `(N,)`; `-inf` for rows that do not count.
    pub row_lse: Vec<f64>,
    /// Log-sum-exp of each column's logits, `(M,)`; empty unless symmetric.
    pub column_lse: Vec<f64>,
    /// Logit of each row with its partner, `(N,)`; NaN without one.
    pub positives: Vec<f64>,
}

/// InfoNCE of two clouds of points, with its gradients.
///
/// With `s_ij = similarity(x_i, y_j) / temperature` and `p(i) = i + positive_offset`,
///
/// ```text
/// L_rows    = mean over pairs of  ln sum_j e^(s_ij)    - s_i,p(i)
/// L_columns = mean over pairs of  ln sum_i e^(s_i,p(i)) - s_i,p(i)     (sum over the column)
/// L         = L_rows,   or (L_rows + L_columns) / 2 if symmetric
/// ```
///
/// Columns beyond the partners are extra negatives of the rows. A masked point takes no part; a
/// pair counts when both its points do.
///
/// # Shapes
///
/// | argument | shape    | dtype          | meaning               |
/// |----------|----------|----------------|-----------------------|
/// | `x`      | `(N, D)` | f32, bf16, f16 | anchors: a view, [`Points`], or `DevicePoints` |
/// | `y`      | `(M, D)` | f32, bf16, f16 | partners, negatives, in the same place |
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when widths differ or are 0, a mask has another length, or a
/// row's partner lies outside of `y`; [`Option`](crate::ErrorKind::Option) when the temperature is
/// not above 0; [`Device`](crate::ErrorKind::Device) when a GPU fails.
///
/// # Numerics
///
/// Logits and slopes are f32, sums over tiles, log-sum-exps and the value f64. Partners are kept
/// out of the sums and join in f64: a loss near 0 is good to 1e-14 beyond what f32 logits cost it,
/// and so are the slopes. Points of any length do; NaN in a point that counts gives NaN in the value
/// and wherever its logits go. Values of masked points are never used.
///
/// On a device logits never leave the chip. bf16 points are multiplied by tensor cores with f32 sums, and
/// the slopes, which multiply the points once more, are rounded to bf16: gradients are then good to
/// `2^-8` of their terms. Log-sum-exps, values and the temperature's gradient are as good as f32 logits
/// are. Points that are f32 on one side are f32 on both. The points are copied once.
///
/// # Source
///
/// van den Oord et al. 2018, arXiv:1807.03748, eq. (4); the symmetric form is that of CLIP,
/// Radford et al. 2021, arXiv:2103.00020.
///
/// # Examples
///
/// ```
/// use align_kernels::info_nce::{Options, info_nce};
/// use ndarray::array;
///
/// let (x, y) = (array![[1.0f32, 0.0], [0.0, 1.0]], array![[2.0f32, 0.1], [0.0, 0.5]]);
/// let out = info_nce(x.view(), y.view(), &Options::default())?;
/// assert!(out.value < 1e-3 && out.grad_x.dim() == (2, 2));
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn info_nce<'x, 'y, P: Contrast>(
    x: impl Placed<'x, Place = P>,
    y: impl Placed<'y, Place = P>,
    options: &Options<'_>,
) -> Result<Output<P::Gradient>> {
    P::contrast(x.placed(), y.placed(), options)
}

/// Refuses clouds that do not fit each other or the options.
pub(crate) fn check(
    (n, d): (usize, usize),
    (m, e): (usize, usize),
    options: &Options<'_>,
    extent: Extent,
) -> Result<()> {
    if d != e || d == 0 {
        let text = format!("x is ({n}, {d}) and y is ({m}, {e}), expected one width above 0");
        return Err(KernelError::shape("info_nce", text));
    }
    options.check(n, m, extent)
}

/// [`info_nce`](fn@info_nce) on the host, times `weight`.
fn weighted(x: Points<'_>, y: Points<'_>, options: &Options<'_>, weight: f64) -> Result<Output> {
    let problem = Problem::new(x, y, options, Extent::Whole)?;
    let pairs = problem.column_of.iter().filter(|&&j| j != NONE).count();
    let share = if pairs == 0 { 0.0 } else { weight / (options.directions() * pairs as f64) };
    if options.symmetric {
        let scores = Scores::new(&problem.x, &problem.y, &problem.column_of, options.temperature)
            .wanting(options.gradients.has_x(), options.gradients.has_y());
        let held = scores.stripes().clamp(1, 2);
        let mut windows: Vec<_> = (0..held).map(|_| scores.window()).collect();
        let found = forward(&scores, &mut windows);
        let rows = anchors_of(&found.row_lse, &problem.column_of);
        let columns = anchors_of(&found.column_lse, &problem.row_of);
        let lse = (Some(&rows[..]), &columns[..]);
        let gradients = backward(&scores, lse, &found.positives, share, &mut windows, held);
        let gradients = problem.finish(gradients, options.temperature);
        return Ok(problem.output(found, share, gradients));
    }
    // Anchors become columns, whose logits a stripe holds all.
    let scores = Scores::new(&problem.y, &problem.x, &problem.row_of, options.temperature)
        .wanting(options.gradients.has_y(), options.gradients.has_x());
    let mut found = one_direction(&scores, share);
    let gradients = &mut found.gradients;
    std::mem::swap(&mut gradients.rows, &mut gradients.columns);
    std::mem::swap(&mut gradients.row_dots, &mut gradients.column_dots);
    let gradients = problem.finish(found.gradients, options.temperature);
    let of_row = |&j: &usize| if j == NONE { f64::NAN } else { found.positives[j] };
    let positives = problem.column_of.iter().map(of_row).collect();
    let found = Forward { row_lse: found.column_lse, column_lse: Vec::new(), positives };
    Ok(problem.output(found, share, gradients))
}

/// Both sides, packed, and who pairs with whom.
struct Problem<'a> {
    x: Side<'a>,
    y: Side<'a>,
    /// The column of each row that counts, or [`NONE`].
    column_of: Vec<usize>,
    /// The row of each column that counts, or [`NONE`].
    row_of: Vec<usize>,
    gradients: GradientSides,
}

/// Gradients with respect to what the caller gave.
struct Finished {
    x: Array2<f32>,
    y: Array2<f32>,
    temperature: f64,
}

impl<'a> Problem<'a> {
    /// Lifetimes of their own, because those of [`Points`] do not shorten.
    fn new<'x: 'a, 'y: 'a>(
        x: Points<'x>,
        y: Points<'y>,
        options: &Options<'_>,
        extent: Extent,
    ) -> Result<Self> {
        let (n, m) = (x.count(), y.count());
        check((n, x.width()), (m, y.width()), options, extent)?;
        let x = Side::new(x, options.row_mask, options.similarity);
        let y = Side::new(y, options.column_mask, options.similarity);
        let (mut column_of, mut row_of) = (vec![NONE; x.count], vec![NONE; y.count]);
        let columns = y.index();
        for (i, row) in x.index().into_iter().enumerate() {
            let column = options.partner(i, m).and_then(|j| columns[j]);
            if let (Some(row), Some(column)) = (row, column) {
                (column_of[row], row_of[column]) = (column, row);
            }
        }
        Ok(Self { x, y, column_of, row_of, gradients: options.gradients })
    }

    fn finish(&self, gradients: scores::Gradients, temperature: f64) -> Finished {
        let scores::Gradients { rows, columns, row_dots, column_dots } = gradients;
        let finish = |is_wanted: bool, side: &Side<'_>, grad, dots: &[f64]| match is_wanted {
            true => side.finish(grad, dots),
            false => Array2::zeros((0, side.width)),
        };
        Finished {
            // Logits go with 1 / temperature.
            temperature: -row_dots.iter().sum::<f64>() / temperature,
            x: finish(self.gradients.has_x(), &self.x, rows, &row_dots),
            y: finish(self.gradients.has_y(), &self.y, columns, &column_dots),
        }
    }

    /// `weight * sum over anchors of (lse - logit)`, with everything at its place.
    fn output(&self, found: Forward, weight: f64, gradients: Finished) -> Output {
        let Forward { row_lse, column_lse, positives } = found;
        let mut value = 0.0;
        for (i, &j) in self.column_of.iter().enumerate().filter(|&(_, &j)| j != NONE) {
            let losses = [Some(row_lse[i]), column_lse.get(j).copied()];
            let known = losses.into_iter().flatten().filter(|&lse| lse != f64::INFINITY);
            value += weight * known.map(|lse| lse - positives[i]).sum::<f64>();
        }
        let has_columns = !column_lse.is_empty();
        let column_lse = self.y.unpack(column_lse, f64::NEG_INFINITY);
        Output {
            value,
            grad_x: gradients.x,
            grad_y: gradients.y,
            grad_temperature: gradients.temperature,
            row_lse: self.x.unpack(row_lse, f64::NEG_INFINITY),
            column_lse: if has_columns { column_lse } else { Vec::new() },
            positives: self.x.unpack(positives, f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests;
