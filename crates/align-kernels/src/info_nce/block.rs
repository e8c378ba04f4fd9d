//! Blocks of the matrix of logits, for data that are spread over workers.
//!
//! Each worker holds some rows and some columns. It computes partial log-sum-exps, the workers
//! exchange and [combine](super::combine_lse) them (8 bytes an anchor), and each gets the part of
//! the loss and of the gradients that comes from its block. Parts add up to the whole.

use super::contrast::Contrast;
use super::options::{Extent, Options};
use super::{Forward, Output, Problem, Scores, backward, forward};
use crate::error::{KernelError, Result};
use crate::place::Placed;
use crate::points::Points;

/// Log-sum-exps of a block.
#[derive(Debug, Clone)]
pub struct Lse {
    /// Of each row over the block's columns, `(N,)`; `-inf` for rows that do not count.
    pub rows: Vec<f64>,
    /// Of each column over the block's rows, `(M,)`.
    pub columns: Vec<f64>,
    /// Logit of each row with its partner, `(N,)`; NaN when that is in another block.
    pub positives: Vec<f64>,
}

/// What a block knows of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Log-sum-exps of the block's rows over all columns, `(N,)`; infinity for a row that is no
    /// anchor.
    pub row_lse: &'a [f64],
    /// Log-sum-exps of the block's columns over all rows, `(M,)`; infinity for a column that is no
    /// anchor, such as an extra negative. Not read unless symmetric.
    pub column_lse: &'a [f64],
    /// Logits of the block's pairs, `(N,)`, as [`info_nce_lse`] gave them for this block.
    pub positives: &'a [f64],
    /// Pairs in all blocks: the mean is over them.
    pub pairs: usize,
}

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

/// [`info_nce_lse`] on the host.
pub(super) fn log_sums(x: Points<'_>, y: Points<'_>, options: &Options<'_>) -> Result<Lse> {
    let problem = Problem::new(x, y, options, Extent::Block)?;
    let scores = Scores::new(&problem.x, &problem.y, &problem.column_of, options.temperature);
    let Forward { row_lse, column_lse, positives } = forward(&scores, &mut [scores.window()]);
    Ok(Lse {
        rows: problem.x.unpack(row_lse, f64::NEG_INFINITY),
        columns: problem.y.unpack(column_lse, f64::NEG_INFINITY),
        positives: problem.x.unpack(positives, f64::NAN),
    })
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

impl Block<'_> {
    /// Refuses log-sum-exps that are not one an anchor, for `n` rows and `m` columns.
    pub(crate) fn check(&self, n: usize, m: usize, options: &Options<'_>) -> Result<()> {
        let columns = if options.symmetric { m } else { self.column_lse.len() };
        for (name, got, expected) in [
            ("row_lse", self.row_lse.len(), n),
            ("positives", self.positives.len(), n),
            ("column_lse", self.column_lse.len(), columns),
        ] {
            if got != expected {
                let text = format!("{name} has {got} values, expected {expected}");
                return Err(KernelError::shape("info_nce_given_lse", text));
            }
        }
        if self.pairs == 0 {
            let text = "pairs is 0, expected those of all blocks".to_owned();
            return Err(KernelError::option(
                "info_nce_given_lse",
                text,
                "add up the workers' pairs",
            ));
        }
        Ok(())
    }
}

/// [`info_nce_given_lse`] on the host.
pub(super) fn given(
    x: Points<'_>,
    y: Points<'_>,
    block: &Block<'_>,
    options: &Options<'_>,
) -> Result<Output> {
    let problem = Problem::new(x, y, options, Extent::Block)?;
    block.check(x.count(), y.count(), options)?;

    let scores = Scores::new(&problem.x, &problem.y, &problem.column_of, options.temperature);
    let row_lse = problem.x.pack(block.row_lse);
    let column_lse = if options.symmetric { problem.y.pack(block.column_lse) } else { Vec::new() };
    let no_anchors = vec![f64::INFINITY; problem.y.count];
    let columns = if options.symmetric { &column_lse } else { &no_anchors };
    let positives = problem.x.pack(block.positives);
    let share = 1.0 / (options.directions() * block.pairs as f64);
    let lse = (Some(&row_lse[..]), &columns[..]);
    let gradients = backward(&scores, lse, &positives, share, &mut [scores.window()], 0);
    let gradients = problem.finish(gradients, options.temperature);
    Ok(problem.output(Forward { row_lse, column_lse, positives }, share, gradients))
}
