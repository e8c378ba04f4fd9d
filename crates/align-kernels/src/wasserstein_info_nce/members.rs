//! Which items a loss depends on.

use crate::info_nce;
use crate::place::Place;
use crate::ragged::Ragged;
use crate::sinkhorn::Weights;

/// The items of a pair of batches that take part.
pub(super) struct Members {
    pub rows: Vec<bool>,
    pub columns: Vec<bool>,
    /// Weights that leave the others out, where the given ones do not.
    a: Option<Vec<f32>>,
    b: Option<Vec<f32>>,
}

impl Members {
    pub fn new<P: Place>(
        x: &Ragged<'_, P>,
        y: &Ragged<'_, P>,
        weights: Weights<'_>,
        contrast: &info_nce::Options<'_>,
    ) -> Self {
        let has_column = |j: usize| contrast.has_column(j) && has_mass(y, weights.b, j);
        let columns: Vec<bool> = (0..y.items()).map(has_column).collect();
        let asked_for = |i: usize| {
            let partner = contrast.partner(i, y.items()).filter(|&j| columns[j]);
            contrast.symmetric || partner.is_some()
        };
        let has_row = |i: usize| contrast.has_row(i) && has_mass(x, weights.a, i) && asked_for(i);
        let rows: Vec<bool> = (0..x.items()).map(has_row).collect();
        let a = restricted(x, weights.a, &rows);
        let b = restricted(y, weights.b, &columns);
        Self { rows, columns, a, b }
    }

    /// Weights with which transport passes over what takes no part.
    pub fn weights<'w>(&'w self, given: Weights<'w>) -> Weights<'w> {
        Weights { a: self.a.as_deref().or(given.a), b: self.b.as_deref().or(given.b) }
    }
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
