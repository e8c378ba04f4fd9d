//! Which points count, and who pairs with whom among them.

use crate::info_nce::Options;

/// Marks a point without a partner, and a packed row without a point.
pub(super) const NONE: u32 = u32::MAX;

/// The points of one side that count, in order.
pub(super) struct Kept {
    /// Where they come from; of masked sides alone.
    places: Option<Vec<usize>>,
    /// Points before and after packing.
    pub total: usize,
    pub count: usize,
}

/// Both sides of a task.
pub(super) struct Index {
    pub rows: Kept,
    pub columns: Kept,
    /// The packed column of each packed row, or [`NONE`].
    pub column_of: Vec<u32>,
    /// The packed row of each packed column, or [`NONE`].
    pub row_of: Vec<u32>,
}

impl Index {
    pub fn new(n: usize, m: usize, options: &Options<'_>) -> Self {
        let rows = Kept::new(n, |i| options.has_row(i));
        let columns = Kept::new(m, |j| options.has_column(j));
        let (mut column_of, mut row_of) = (vec![NONE; rows.count], vec![NONE; columns.count]);
        let packed = columns.packed();
        for (row, i) in rows.all().enumerate() {
            if let Some(column) = options.partner(i, m).map(|j| packed[j]) {
                // Points were counted to be below 2^30 before anything is launched.
                (column_of[row], row_of[column as usize]) = (column, row as u32);
            }
        }
        Self { rows, columns, column_of, row_of }
    }

    /// Pairs whose points both count.
    pub fn pairs(&self) -> usize {
        self.column_of.iter().filter(|&&j| j != NONE).count()
    }
}

impl Kept {
    fn new(total: usize, counts: impl Fn(usize) -> bool) -> Self {
        let places: Vec<usize> = (0..total).filter(|&i| counts(i)).collect();
        let count = places.len();
        Self { places: (count < total).then_some(places), total, count }
    }

    /// Whether every point counts.
    pub fn is_whole(&self) -> bool {
        self.places.is_none()
    }

    /// Places of the points that count.
    pub fn all(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count).map(|at| self.places.as_ref().map_or(at, |places| places[at]))
    }

    /// The list that the packing kernel goes by, `padded` long.
    pub fn sources(&self, padded: usize) -> Vec<u32> {
        let rest = std::iter::repeat_n(NONE, padded - self.count);
        self.all().map(|i| i as u32).chain(rest).collect()
    }

    /// Values of packed points at their places, with `rest` elsewhere.
    pub fn unpack(&self, values: impl Iterator<Item = f64>, rest: f64) -> Vec<f64> {
        let mut out = vec![rest; self.total];
        self.all().zip(values).for_each(|(i, value)| out[i] = value);
        out
    }

    /// Where each point is after packing, or [`NONE`].
    fn packed(&self) -> Vec<u32> {
        let mut out = vec![NONE; self.total];
        self.all().zip(0..).for_each(|(i, at)| out[i] = at);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_points_leave_and_pairs_follow() {
        let (rows, columns) =
            ([true, false, true, true], [true, true, true, false, true, true, true]);
        let options = Options {
            positive_offset: 1,
            row_mask: Some(&rows),
            column_mask: Some(&columns),
            ..Options::default()
        };
        let index = Index::new(4, 7, &options);
        // Rows 0, 2, 3 pair with columns 1, 3 (masked), 4, the fourth of those that count.
        assert_eq!((index.rows.count, index.columns.count, index.pairs()), (3, 6, 2));
        assert_eq!(index.column_of, [1, NONE, 3]);
        assert_eq!(index.row_of, [NONE, 0, NONE, 2, NONE, NONE]);
        assert_eq!(index.rows.sources(5), [0, 2, 3, NONE, NONE]);
        let unpacked = index.rows.unpack([1.0, 2.0, 3.0].into_iter(), -1.0);
        assert_eq!(unpacked, [1.0, -1.0, 2.0, 3.0]);
        assert!(!index.rows.is_whole() && Index::new(2, 2, &Options::default()).rows.is_whole());
    }
}
