//! What is compared with what, and how sharply.

use crate::error::{KernelError, Result};
use crate::gradient_sides::GradientSides;

/// How the likeness of two points is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Similarity {
    /// `<x, y> / (|x| |y|)`. A point of length 0 is like nothing: 0, without a gradient.
    #[default]
    Cosine,
    /// `<x, y>`.
    Dot,
}

/// Options of InfoNCE. The default is the loss of arXiv:2412.15712 (eq. 1): cosine, temperature
/// 0.1, one direction.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Divides similarities. Must be > 0 and finite.
    pub temperature: f64,
    /// Cosine or dot product.
    pub similarity: Similarity,
    /// Whether columns are anchors too: the loss is then the mean of the two directions.
    pub symmetric: bool,
    /// Row `i` pairs with column `i + positive_offset`; other columns are its negatives.
    pub positive_offset: isize,
    /// Rows that count, `(N,)`. The values of others are never used.
    pub row_mask: Option<&'a [bool]>,
    /// Columns that count, `(M,)`. A row whose partner does not count is no anchor; it stays a
    /// negative of the columns.
    pub column_mask: Option<&'a [bool]>,
    /// Whose gradients are computed.
    pub gradients: GradientSides,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            similarity: Similarity::Cosine,
            symmetric: false,
            positive_offset: 0,
            row_mask: None,
            column_mask: None,
            gradients: GradientSides::Both,
        }
    }
}

/// Whether a call sees the whole matrix of logits or a block of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every row has its partner here.
    Whole,
    /// Partners may be in other blocks.
    Block,
}

/// Marks a row without a partner.
pub(crate) const NONE: usize = usize::MAX;

impl Options<'_> {
    /// Refuses options that are out of range or do not fit `n` rows and `m` columns.
    pub(crate) fn check(&self, n: usize, m: usize, extent: Extent) -> Result<()> {
        const OP: &str = "info_nce";
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let text = format!("temperature is {}, expected > 0 and finite", self.temperature);
            return Err(KernelError::option(OP, text, "0.05 to 0.1 is usual for cosine"));
        }
        for (name, mask, expected) in
            [("row_mask", self.row_mask, n), ("column_mask", self.column_mask, m)]
        {
            if let Some(mask) = mask.filter(|mask| mask.len() != expected) {
                let text = format!("{name} has {} values, expected {expected}", mask.len());
                return Err(KernelError::shape(OP, text));
            }
        }
        let last = n as i128 + self.positive_offset as i128;
        if extent == Extent::Whole && n > 0 && (self.positive_offset < 0 || last > m as i128) {
            let offset = self.positive_offset;
            let text = format!(
                "partners of {n} rows start at column {offset}, expected them below {m} columns"
            );
            return Err(KernelError::shape(OP, text));
        }
        Ok(())
    }

    /// Whether row `i` counts.
    pub(crate) fn has_row(&self, i: usize) -> bool {
        self.row_mask.is_none_or(|mask| mask[i])
    }

    /// Whether column `j` counts.
    pub(crate) fn has_column(&self, j: usize) -> bool {
        self.column_mask.is_none_or(|mask| mask[j])
    }

    /// The column that row `i` pairs with among `m`, if both count.
    pub(crate) fn partner(&self, i: usize, m: usize) -> Option<usize> {
        let j = i.checked_add_signed(self.positive_offset).filter(|&j| j < m)?;
        (self.has_row(i) && self.has_column(j)).then_some(j)
    }

    /// Directions that the loss is the mean of.
    pub(crate) fn directions(&self) -> f64 {
        if self.symmetric { 2.0 } else { 1.0 }
    }
}
