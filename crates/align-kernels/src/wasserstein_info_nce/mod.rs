//! InfoNCE between clouds: each picks its partner by what it costs to move there.
//!
//! Where [`info_nce`](mod@crate::info_nce) compares one vector an item, this compares all of an item's
//! vectors with all of another's, of any two lengths, by Sinkhorn divergence. One call solves every pair
//! once, takes the softmax, and sends its slopes back through the plans.

#[cfg(test)]
mod tests;

use ndarray::Array2;

use crate::error::{KernelError, Result};
use crate::info_nce::options::Extent;
use crate::info_nce::{self, info_nce_similarities};
use crate::place::Place;
use crate::ragged::Ragged;
use crate::sinkhorn::{
    self, Cost, GeomLoss, Gradients, Mode, Pairing, Transport, Weights, sinkhorn,
};

/// Value and gradients of InfoNCE between clouds. `G` is what the place of the clouds has for gradients:
/// `DeviceGradients` on a GPU.
#[derive(Debug, Clone)]
pub struct Output<G = Gradients> {
    /// The loss; 0 when there is no pair.
    pub value: f64,
    /// Transport value or divergence between item `i` of `x` and item `j` of `y`, `(B_x, B_y)`; NaN
    /// where one of them takes no part.
    pub divergence: Array2<f64>,
    /// Gradient with respect to the divergences, `(B_x, B_y)`; 0 where an item takes no part.
    pub grad_divergence: Array2<f64>,
    /// Gradients with respect to points, weights and `eps`; exactly 0 in items that take no part.
    pub gradients: G,
    /// Gradient with respect to the temperature of the softmax.
    pub grad_temperature: f64,
    /// Log-sum-exp of each row's logits, `(B_x,)`; `-inf` for items that take no part.
    pub row_lse: Vec<f64>,
    /// Log-sum-exp of each column's logits, `(B_y,)`.
    pub column_lse: Vec<f64>,
    /// Potentials, iterations, marginal errors and, if asked for, plans: pair `(i, j)` is number
    /// `i B_y + j`. All 0 where an item takes no part.
    pub transport: sinkhorn::Output,
}

/// Transport as contr-wasser has it: debiased, GeomLoss's schedule down to `blur`, half the squared
/// distance of vectors scaled to length 1. The paper names a blur of 0.5, its code runs 0.05.
///
/// # Source
///
/// arXiv:2412.15712, eq. (2) and its code.
pub fn contr_wasser(blur: f64) -> sinkhorn::Options {
    sinkhorn::Options {
        pairing: Pairing::AllPairs,
        cost: Cost::Cosine,
        mode: Mode::GeomLoss(GeomLoss { blur, ..GeomLoss::default() }),
        debias: true,
        ..sinkhorn::Options::default()
    }
}

/// InfoNCE of all items of `x` against all items of `y`, with its gradients.
///
/// With `S` the Sinkhorn divergence (or the plain transport value, without `debias`), neither rooted
/// nor scaled, and `p(i) = i + positive_offset`,
///
/// ```text
/// s_ij      = -S(x_i, y_j) / temperature
/// L_rows    = mean over pairs of  ln sum_j e^(s_ij)     - s_i,p(i)
/// L_columns = mean over pairs of  ln sum_i e^(s_i,p(i)) - s_i,p(i)     (sum over the column)
/// L         = L_rows,   or (L_rows + L_columns) / 2 if symmetric
/// d L / d x = sum_ij  (d L / d S_ij)  d S(x_i, y_j) / d x
/// ```
///
/// The gradient of each `S` is that of
/// [`sinkhorn_with_gradient`](crate::sinkhorn::sinkhorn_with_gradient). Masks are masks of items, and
/// `contrast.similarity` has no say.
///
/// # Which items take part
///
/// Not those that are masked, and not those without mass (empty, or only weights of 0), which would be
/// at distance 0 from everything. A row whose partner takes no part is no anchor: if the loss is
/// symmetric it stays a negative of the columns, otherwise nothing asks for it and it takes no part
/// either. What takes no part is never read, so it may hold NaN, and costs nothing.
///
/// # Shapes
///
/// | argument          | shape              | dtype          | meaning                          |
/// |-------------------|--------------------|----------------|----------------------------------|
/// | `x`               | `(N, D)`, `B_x` items | f32, bf16, f16 | anchors                       |
/// | `y`               | `(M, D)`, `B_y` items | f32, bf16, f16 | partners, negatives           |
/// | `weights.a`, `.b` | `(N,)`, `(M,)`     | f32            | >= 0; `1 / n` unless given       |
/// | `transport`       |                    |                | what `S` is; all pairs           |
/// | `contrast`        |                    |                | temperature, direction, masks    |
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `transport` pairs items one by one; otherwise as
/// [`sinkhorn`](fn@crate::sinkhorn::sinkhorn) and [`info_nce_similarities`], under their names.
///
/// # Numerics
///
/// Costs and potentials are f32, divergences sums in f64, the softmax f64 throughout: logits carry the
/// error of the divergences over the temperature, about 1e-6 for unit vectors at 0.1, and a loss near 0
/// keeps its digits. Slopes are rounded to f32 on their way into the plans. Potentials are kept and plans
/// made anew, so memory is `O(B_y N + B_x M)` beyond that of [`sinkhorn`](fn@crate::sinkhorn::sinkhorn),
/// and time `O(N M (D + iterations))`. Results have the same bits on any number of threads.
///
/// # On a GPU
///
/// With clouds of `DevicePoints` transport and its gradients run there; the divergences come to the host
/// for the softmax, and their slopes go back. Gradients by the points stay on the device.
///
/// # Source
///
/// arXiv:2412.15712, eq. (1) and (2).
///
/// # Examples
///
/// ```
/// use align_kernels::Ragged;
/// use align_kernels::info_nce::Options;
/// use align_kernels::sinkhorn::Weights;
/// use align_kernels::wasserstein_info_nce::{contr_wasser, wasserstein_info_nce};
/// use ndarray::array;
///
/// // Two texts of one token and of two, two recordings of two frames and of one.
/// let text = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 1.0]];
/// let speech = array![[1.0f32, 0.1], [1.0, 0.0], [-0.5, 1.0]];
/// let text = Ragged::new(text.view().into(), &[0, 1, 3])?;
/// let speech = Ragged::new(speech.view().into(), &[0, 2, 3])?;
/// let (transport, contrast) = (contr_wasser(0.05), Options::default());
/// let out = wasserstein_info_nce(&text, &speech, Weights::default(), &transport, &contrast)?;
/// assert!(out.value < 1e-3 && out.divergence[[0, 0]] < out.divergence[[0, 1]]);
/// assert_eq!(out.gradients.x.dim(), (3, 2));
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
pub fn wasserstein_info_nce<P: Transport>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    weights: Weights<'_>,
    transport: &sinkhorn::Options,
    contrast: &info_nce::Options<'_>,
) -> Result<Output<P::Gradients>> {
    if transport.pairing != Pairing::AllPairs {
        let detail = "transport pairs items one by one, expected all pairs".to_owned();
        let hint = "the softmax compares each item with all others: Pairing::AllPairs";
        return Err(KernelError::option("wasserstein_info_nce", detail, hint));
    }
    let (n, m) = (x.items(), y.items());
    contrast.check(n, m, Extent::Whole)?;
    let (rows, columns) = taking_part(x, y, weights, contrast);
    let (a, b) = (restricted(x, weights.a, &rows), restricted(y, weights.b, &columns));
    let weights = Weights { a: a.as_deref().or(weights.a), b: b.as_deref().or(weights.b) };

    // 1. Every item to every other.
    let solved = sinkhorn(x, y, weights, transport)?;
    let divergence = Array2::from_shape_fn((n, m), |(i, j)| match rows[i] && columns[j] {
        true => solved.value[i * m + j],
        false => f64::NAN,
    });

    // 2. The softmax of what is near.
    let contrast =
        info_nce::Options { row_mask: Some(&rows), column_mask: Some(&columns), ..*contrast };
    let softmax = info_nce_similarities((-&divergence).view(), &contrast)?;
    let grad_divergence = -softmax.grad;

    // 3. Its slopes, through plans made anew from the potentials.
    let upstream: Vec<f32> = grad_divergence.iter().map(|&slope| slope as f32).collect();
    let values_alone =
        sinkhorn::Options { plan: false, project_x: false, project_y: false, ..*transport };
    let gradients = solved.backward(x, y, weights, &values_alone, &upstream)?;
    Ok(Output {
        value: softmax.value,
        divergence,
        grad_divergence,
        gradients,
        grad_temperature: softmax.grad_temperature,
        row_lse: softmax.row_lse,
        column_lse: softmax.column_lse,
        transport: solved,
    })
}

/// Rows and columns that the loss depends on.
fn taking_part<P: Place>(
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    weights: Weights<'_>,
    contrast: &info_nce::Options<'_>,
) -> (Vec<bool>, Vec<bool>) {
    let columns: Vec<bool> =
        (0..y.items()).map(|j| contrast.has_column(j) && has_mass(y, weights.b, j)).collect();
    let asked_for = |i: usize| {
        let partner = contrast.partner(i, y.items()).filter(|&j| columns[j]);
        contrast.symmetric || partner.is_some()
    };
    let has_row = |i: usize| contrast.has_row(i) && has_mass(x, weights.a, i) && asked_for(i);
    ((0..x.items()).map(has_row).collect(), columns)
}

/// Whether an item has a point of a weight other than 0 (NaN counts).
fn has_mass<P: Place>(items: &Ragged<'_, P>, weights: Option<&[f32]>, k: usize) -> bool {
    let range = items.range(k);
    match weights {
        None => !range.is_empty(),
        Some(weights) => weights.get(range).is_some_and(|part| part.iter().any(|&w| w != 0.0)),
    }
}

/// Weights that are 0 in the items that take no part, which transport then passes over. `None` where
/// the given ones will do.
fn restricted<P: Place>(
    items: &Ragged<'_, P>,
    weights: Option<&[f32]>,
    takes_part: &[bool],
) -> Option<Vec<f32>> {
    let is_out = |&k: &usize| !takes_part[k] && !items.range(k).is_empty();
    let mut out = (0..items.items()).filter(is_out).peekable();
    out.peek()?;
    let mut own = match weights {
        Some(weights) => weights.to_vec(),
        None => (0..items.items())
            .flat_map(|k| {
                let n = items.range(k).len();
                std::iter::repeat_n((1.0 / n as f64) as f32, n)
            })
            .collect(),
    };
    for k in out {
        // Weights of a wrong count are left to `sinkhorn` to refuse.
        if let Some(part) = own.get_mut(items.range(k)) {
            part.fill(0.0);
        }
    }
    Some(own)
}
