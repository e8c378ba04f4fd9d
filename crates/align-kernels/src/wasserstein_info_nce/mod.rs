//! InfoNCE between clouds: each picks its partner by what it costs to move there.
//!
//! Where [`info_nce`](mod@crate::info_nce) compares one vector an item, this compares all of an item's
//! vectors with all of another's, of any two lengths, by Sinkhorn divergence. One call solves every pair
//! once, takes the softmax, and sends its slopes back through the plans.
//!
//! | function | for |
//! |---|---|
//! | [`wasserstein_info_nce`](fn@wasserstein_info_nce) | two batches of clouds |
//! | [`wasserstein_info_nce_layers`] | several pairs of batches, as when every layer of a model is aligned |

#[cfg(test)]
mod tests;

mod layers;
mod members;

use ndarray::Array2;

pub use layers::{Layer, Layers, wasserstein_info_nce_layers};

use crate::error::{KernelError, Result};
use crate::info_nce::options::Extent;
use crate::info_nce::{self, OfSimilarities, info_nce_similarities};
use crate::ragged::Ragged;
use crate::sinkhorn::{self, Cost, GeomLoss, Gradients, Mode, Pairing, Transport, Weights};
use members::Members;

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
    /// Gradients with respect to points, weights and `eps`; exactly 0 in items that take no part, and empty
    /// for a side that `gradients` of the transport's options leaves out.
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
/// `contrast.similarity` and `contrast.gradients` have no say; `transport.gradients` says whether one of the
/// sides is a constant, as texts are that another model wrote: its own problems still enter the value.
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
/// made anew, so memory is `O(B_y N + B_x M)` beyond that of [`sinkhorn`](fn@crate::sinkhorn::sinkhorn)
/// and of costs, which are kept too where those of all pairs, or of all items with themselves, take no more
/// than 64 MiB. Time is `O(N M (D + iterations))`. Results have the same bits on any number of threads.
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
    check_pairing("wasserstein_info_nce", transport)?;
    let softmax = Softmax { temperature: contrast.temperature, weight: 1.0 };
    let mut all = contrast_blocks(&[x], &[y], &[weights], &[softmax], transport, contrast)?;
    Ok(all.swap_remove(0))
}

fn check_pairing(op: &'static str, transport: &sinkhorn::Options) -> Result<()> {
    if transport.pairing == Pairing::AllPairs {
        return Ok(());
    }
    let detail = "transport pairs items one by one, expected all pairs".to_owned();
    let hint = "the softmax compares each item with all others: Pairing::AllPairs";
    Err(KernelError::option(op, detail, hint))
}

/// The softmax of one pair of batches.
#[derive(Clone, Copy)]
struct Softmax {
    temperature: f64,
    /// Factor of its loss.
    weight: f64,
}

/// Losses of several pairs of batches, of one width and as many items each. `transport` pairs all.
fn contrast_blocks<P: Transport>(
    x: &[&Ragged<'_, P>],
    y: &[&Ragged<'_, P>],
    weights: &[Weights<'_>],
    softmaxes: &[Softmax],
    transport: &sinkhorn::Options,
    contrast: &info_nce::Options<'_>,
) -> Result<Vec<Output<P::Gradients>>> {
    let (n, m, blocks) = (x[0].items(), y[0].items(), softmaxes.len());
    let mut members = Vec::new();
    for (l, softmax) in softmaxes.iter().enumerate() {
        info_nce::Options { temperature: softmax.temperature, ..*contrast }.check(
            n,
            m,
            Extent::Whole,
        )?;
        members.push(Members::new(x[l], y[l], weights[l], contrast));
    }
    let weights: Vec<_> = members.iter().zip(weights).map(|(of, &w)| of.weights(w)).collect();

    // 1. Every item to every other of its block.
    // 2. The softmax of what is near.
    // 3. Its slopes, through plans made anew from the potentials.
    let mut found = Vec::new();
    let all = match blocks {
        1 => *transport,
        _ => sinkhorn::Options { pairing: Pairing::Blocks(blocks), ..*transport },
    };
    let (solved, gradients) = P::transport_through(x, y, &weights, &all, |solved| {
        let mut upstream = Vec::with_capacity(solved.pairs());
        for (l, (members, softmax)) in members.iter().zip(softmaxes).enumerate() {
            let value = &solved.value[l * n * m..(l + 1) * n * m];
            let near = Near::new(members, (n, m), value, *softmax, contrast)?;
            upstream.extend(near.grad_divergence.iter().map(|&slope| slope as f32));
            found.push(near);
        }
        Ok(upstream)
    })?;
    let solved = match blocks {
        1 => vec![solved],
        _ => solved.split(all.pairing.grid(blocks * n, blocks * m)),
    };
    let parts = found.into_iter().zip(solved).zip(gradients);
    Ok(parts.map(|((near, solved), gradients)| near.output(solved, gradients)).collect())
}

/// Who is near to whom: divergences, and the softmax of them.
struct Near {
    divergence: Array2<f64>,
    grad_divergence: Array2<f64>,
    softmax: OfSimilarities,
    weight: f64,
}

impl Near {
    fn new(
        members: &Members,
        (n, m): (usize, usize),
        value: &[f64],
        Softmax { temperature, weight }: Softmax,
        contrast: &info_nce::Options<'_>,
    ) -> Result<Self> {
        let (rows, columns) = (&members.rows, &members.columns);
        let divergence = Array2::from_shape_fn((n, m), |(i, j)| match rows[i] && columns[j] {
            true => value[i * m + j],
            false => f64::NAN,
        });
        let (row_mask, column_mask) = (Some(&rows[..]), Some(&columns[..]));
        let masked = info_nce::Options { temperature, row_mask, column_mask, ..*contrast };
        let softmax = info_nce_similarities((-&divergence).view(), &masked)?;
        let grad_divergence = softmax.grad.mapv(|slope| -slope * weight);
        Ok(Self { divergence, grad_divergence, softmax, weight })
    }

    fn output<G>(self, transport: sinkhorn::Output, gradients: G) -> Output<G> {
        let OfSimilarities { value, grad_temperature, row_lse, column_lse, .. } = self.softmax;
        Output {
            value: self.weight * value,
            divergence: self.divergence,
            grad_divergence: self.grad_divergence,
            gradients,
            grad_temperature: self.weight * grad_temperature,
            row_lse,
            column_lse,
            transport,
        }
    }
}
