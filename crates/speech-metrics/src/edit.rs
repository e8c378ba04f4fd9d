//! Levenshtein distance and alignment between two sequences, unit costs.
//!
//! A shortest edit script is rarely unique, and the substitution, deletion and insertion
//! counts depend on which one is reported. The choice here is rapidfuzz's, which is jiwer's:
//! the common prefix and suffix are set aside, then the path is walked back from the end and
//! prefers a deletion, then an insertion that is forced, then the diagonal. Counts therefore
//! agree with jiwer's one by one, not only in their sum.
//!
//! Memory: one byte per cell up to [`MAX_CELLS`]; beyond it the hypothesis is halved where a
//! shortest path crosses (Hirschberg), so an hour-long transcript needs rows, not a matrix.

use std::ops::Range;

use crate::error_counts::ErrorCounts;

/// Largest table, in cells of one byte, that [`align`] fills before it splits the problem.
pub const MAX_CELLS: usize = 4 << 20;

/// What happens to a run of tokens on the way from reference to hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EditOp {
    /// The same tokens on both sides.
    Equal,
    /// As many tokens on both sides, each different from its partner.
    Substitute,
    /// Reference tokens without a partner.
    Delete,
    /// Hypothesis tokens without a partner.
    Insert,
}

/// A maximal run of one operation, as jiwer's `AlignmentChunk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The operation.
    pub op: EditOp,
    /// Token indices in the reference; empty for an insertion.
    pub reference: Range<usize>,
    /// Token indices in the hypothesis; empty for a deletion.
    pub hypothesis: Range<usize>,
}

/// A shortest edit script from reference to hypothesis, as runs in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alignment {
    /// The runs; neighbours differ in their operation, and they cover both sides.
    pub chunks: Vec<Chunk>,
}

impl Alignment {
    /// Tokens per operation.
    pub fn counts(&self) -> ErrorCounts {
        let mut counts = ErrorCounts::default();
        for chunk in &self.chunks {
            match chunk.op {
                EditOp::Equal => counts.hits += chunk.reference.len(),
                EditOp::Substitute => counts.substitutions += chunk.reference.len(),
                EditOp::Delete => counts.deletions += chunk.reference.len(),
                EditOp::Insert => counts.insertions += chunk.hypothesis.len(),
            }
        }
        counts
    }

    /// Appends `len` tokens of one operation, joining it to a run of the same kind.
    fn push(&mut self, op: EditOp, len: usize) {
        if len == 0 {
            return;
        }
        let (r, h) = match self.chunks.last() {
            Some(last) => (last.reference.end, last.hypothesis.end),
            None => (0, 0),
        };
        let r_len = if op == EditOp::Insert { 0 } else { len };
        let h_len = if op == EditOp::Delete { 0 } else { len };
        match self.chunks.last_mut() {
            Some(last) if last.op == op => {
                last.reference.end += r_len;
                last.hypothesis.end += h_len;
            }
            _ => self.chunks.push(Chunk { op, reference: r..r + r_len, hypothesis: h..h + h_len }),
        }
    }
}

/// Returns the least number of substitutions, deletions and insertions between two sequences.
///
/// # Numerics
///
/// Time `O(N * M)` after the common prefix and suffix; memory one row of the shorter side.
pub fn distance<T: Eq>(reference: &[T], hypothesis: &[T]) -> usize {
    let (_, r, h, _) = trim(reference, hypothesis);
    let (long, short) = if r.len() >= h.len() { (r, h) } else { (h, r) };
    last_row(long.iter(), short.len(), |j| &short[j])[short.len()]
}

/// Returns the alignment whose counts [`crate::wer`] reports.
///
/// # Numerics
///
/// Time `O(N * M)`; memory at most [`MAX_CELLS`] bytes plus rows. Above that size the script is
/// still a shortest one, but among equally short scripts it may differ from rapidfuzz's.
///
/// # Source
///
/// rapidfuzz 3 `Levenshtein.opcodes` (behaviour, checked in `tests/golden`); Hirschberg 1975,
/// "A linear space algorithm for computing maximal common subsequences" (the split).
pub fn align<T: Eq>(reference: &[T], hypothesis: &[T]) -> Alignment {
    let mut alignment = Alignment::default();
    align_into(reference, hypothesis, MAX_CELLS, &mut alignment);
    alignment
}

fn align_into<T: Eq>(reference: &[T], hypothesis: &[T], max_cells: usize, out: &mut Alignment) {
    let (prefix, r, h, suffix) = trim(reference, hypothesis);
    out.push(EditOp::Equal, prefix);
    // A side of one token cannot be halved further; its table is a single row or column.
    if r.len().saturating_mul(h.len()) <= max_cells || r.len() < 2 || h.len() < 2 {
        align_table(r, h, out);
    } else {
        let (r_at, h_at) = crossing(r, h);
        align_into(&r[..r_at], &h[..h_at], max_cells, out);
        align_into(&r[r_at..], &h[h_at..], max_cells, out);
    }
    out.push(EditOp::Equal, suffix);
}

/// Fills the table of choices and walks it back from the end.
fn align_table<T: Eq>(r: &[T], h: &[T], out: &mut Alignment) {
    const DIAGONAL: u8 = 0;
    const DELETE: u8 = 1;
    const INSERT: u8 = 2;
    let n = r.len();
    let mut choice = vec![DIAGONAL; n * h.len()];
    let mut row: Vec<usize> = (0..=n).collect();
    for (i, token) in h.iter().enumerate() {
        let mut above_left = row[0];
        row[0] = i + 1;
        for j in 0..n {
            let above = row[j + 1];
            let left = row[j];
            let cost = usize::from(r[j] != *token);
            let here = (above_left + cost).min(above + 1).min(left + 1);
            choice[i * n + j] = if here == left + 1 {
                DELETE
            } else if above + 1 == above_left {
                // The insertion is forced: the row above already falls by one here.
                INSERT
            } else {
                DIAGONAL
            };
            row[j + 1] = here;
            above_left = above;
        }
    }

    let (mut i, mut j) = (h.len(), n);
    let mut back = Vec::with_capacity(i.max(j));
    while i > 0 && j > 0 {
        match choice[(i - 1) * n + j - 1] {
            DELETE => {
                j -= 1;
                back.push(EditOp::Delete);
            }
            INSERT => {
                i -= 1;
                back.push(EditOp::Insert);
            }
            _ => {
                i -= 1;
                j -= 1;
                back.push(if r[j] == h[i] { EditOp::Equal } else { EditOp::Substitute });
            }
        }
    }
    // One of the two is zero: what remains at the start is a single run.
    out.push(EditOp::Delete, j);
    out.push(EditOp::Insert, i);
    for &op in back.iter().rev() {
        out.push(op, 1);
    }
}

/// Where a shortest path passes from the first half of `h` to the second: `(r_at, h_at)`.
fn crossing<T: Eq>(r: &[T], h: &[T]) -> (usize, usize) {
    let h_at = h.len() / 2;
    let n = r.len();
    let ahead = last_row(h[..h_at].iter(), n, |j| &r[j]);
    let behind = last_row(h[h_at..].iter().rev(), n, |j| &r[n - 1 - j]);
    let best = (0..=n).min_by_key(|&j| ahead[j] + behind[n - j]);
    (best.unwrap_or(0), h_at)
}

/// Distances from all of `rows` to each prefix (length `0..=n`) of the sequence `column`.
fn last_row<'a, T: Eq + 'a>(
    rows: impl Iterator<Item = &'a T>,
    n: usize,
    column: impl Fn(usize) -> &'a T,
) -> Vec<usize> {
    let mut row: Vec<usize> = (0..=n).collect();
    for (i, token) in rows.enumerate() {
        let mut above_left = row[0];
        row[0] = i + 1;
        for j in 0..n {
            let above = row[j + 1];
            let cost = usize::from(column(j) != token);
            row[j + 1] = (above_left + cost).min(above + 1).min(row[j] + 1);
            above_left = above;
        }
    }
    row
}

/// Splits off the common prefix and, from what is left, the common suffix.
fn trim<'a, T: Eq>(a: &'a [T], b: &'a [T]) -> (usize, &'a [T], &'a [T], usize) {
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    let suffix = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    (prefix, &a[..a.len() - suffix], &b[..b.len() - suffix], suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn kitten_is_three_edits_from_sitting() {
        let (a, b) = (chars("kitten"), chars("sitting"));
        assert_eq!(distance(&a, &b), 3);
        let counts = align(&a, &b).counts();
        assert_eq!((counts.substitutions, counts.insertions, counts.deletions), (2, 1, 0));
    }

    #[test]
    fn an_empty_side_is_one_run() {
        assert_eq!(align::<u8>(&[], &[]), Alignment::default());
        let deleted = align(&[1, 2, 3], &[]);
        assert_eq!(
            deleted.chunks,
            [Chunk { op: EditOp::Delete, reference: 0..3, hypothesis: 0..0 }]
        );
        let inserted = align(&[], &[1]);
        assert_eq!(
            inserted.chunks,
            [Chunk { op: EditOp::Insert, reference: 0..0, hypothesis: 0..1 }]
        );
    }

    #[test]
    fn splitting_the_problem_keeps_the_script_shortest() {
        // A multiplicative generator is enough: the sequences only have to be irregular.
        let mut state = 12_345_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) % 5
        };
        for (n, m) in [(1, 90), (90, 1), (2, 77), (61, 64), (128, 33)] {
            let a: Vec<u32> = (0..n).map(|_| next()).collect();
            let b: Vec<u32> = (0..m).map(|_| next()).collect();
            for max_cells in [0, 1, 40, 1000] {
                let mut split = Alignment::default();
                align_into(&a, &b, max_cells, &mut split);
                let counts = split.counts();
                assert_eq!(counts.errors(), distance(&a, &b), "{n} x {m}, {max_cells} cells");
                assert_eq!(counts.reference_len(), n);
                assert_eq!(counts.hypothesis_len(), m);
            }
        }
    }
}
