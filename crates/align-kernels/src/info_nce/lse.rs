//! Log-sum-exps of a block, and what a block is told of the whole.

use super::options::Options;
use crate::error::{KernelError, Result};

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
    /// Logits of the block's pairs, `(N,)`, as
    /// [`info_nce_lse`](super::info_nce_lse) gave them for this block.
    pub positives: &'a [f64],
    /// Pairs in all blocks: the mean is over them.
    pub pairs: usize,
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
