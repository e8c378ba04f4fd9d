//! Blocks of the matrix of logits, for data that are spread over workers.
//!
//! Each worker holds some rows and some columns. It computes partial log-sum-exps, the workers
//! exchange and [combine](super::combine_lse) them (8 bytes an anchor), and each gets the part of
//! the loss and of the gradients that comes from its block. Parts add up to the whole.

use super::Output;
use super::contrast::Contrast;
use super::lse::{Block, Lse};
use super::options::Options;
use crate::error::Result;
use crate::place::Placed;

/// Log-sum-exps over a block of the matrix, without gradients.
///
/// `positive_offset` may lead out of the block, below 0 too: such rows have their partner in
/// another one. [`combine_lse`](super::combine_lse) makes the whole's from the blocks'.
///
/// # Shapes
///
/// As [`info_nce`](fn@super::info_nce), with the block's rows and columns.
///
/// # Errors
///
/// As [`info_nce`](fn@super::info_nce), save that partners may be elsewhere.
pub fn info_nce_lse<'x, 'y, P: Contrast>(
    x: impl Placed<'x, Place = P>,
    y: impl Placed<'y, Place = P>,
    options: &Options<'_>,
) -> Result<Lse> {
    P::log_sums(x.placed(), y.placed(), options)
}

/// The part of InfoNCE and of its gradients that comes from a block.
///
/// ```text
/// value  = 1/P sum over the block's pairs of (row_lse - s)           or, if symmetric,
///          1/2P sum over the block's pairs of (row_lse - s) + (column_lse - s)
/// ```
///
/// Gradients are those of the whole loss through the block's logits: added over blocks they are
/// the gradients of the whole, not a multiple of them by the number of workers.
///
/// # Shapes
///
/// As [`info_nce`](fn@super::info_nce), with the block's rows and columns; [`Block`] has the rest.
///
/// # Errors
///
/// As [`info_nce_lse`]; [`Shape`](crate::ErrorKind::Shape) when log-sum-exps are not one an anchor;
/// [`Option`](crate::ErrorKind::Option) when `pairs` is 0.
pub fn info_nce_given_lse<'x, 'y, P: Contrast>(
    x: impl Placed<'x, Place = P>,
    y: impl Placed<'y, Place = P>,
    block: &Block<'_>,
    options: &Options<'_>,
) -> Result<Output<P::Gradient>> {
    P::contrast_given(x.placed(), y.placed(), block, options)
}
