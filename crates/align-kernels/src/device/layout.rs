//! The lists that kernels go by: pairs, tiles, strips, rows and blocks.
//!
//! Their forms are defined in the heads of `pairwise_cost_v1_tile_f32.ptx` (PAIR, TILE),
//! `sinkhorn_column_v1_block_f32.ptx` (STRIP), `sinkhorn_row_v1_warp_f32.ptx` (pair of row) and
//! `plan_gradient_v1_f32.ptx` (BLOCK). Each lists only what has work, however ragged the items.

use std::ops::Range;

use super::session::extent;
use crate::error::Result;
use crate::sinkhorn::{Grid, Pairing};

/// Rows and columns of a tile of costs, and points of a block of gradients.
const TILE: u32 = 64;
/// Columns of a strip.
const STRIP: u32 = 32;
/// Points of a cloud, and of an item, are below this.
const MOST_POINTS: u32 = 1 << 30;
/// Packed rows, columns and list entries are below this: a grid has as many CTAs along x.
const MOST_ROWS: u32 = 1 << 31;

/// Rows of padded costs start at multiples of so many: 32 bytes, a sector.
const PAD: u32 = 8;

/// `x_start, n, y_start, m, cost_start (two words), f_start, g_start`.
pub(super) type Pair = [u32; 8];

/// The pairs of a batch and the sizes of what belongs to them.
#[derive(Debug)]
pub(super) struct Layout {
    /// Their costs start where they do in their chunk.
    pub pairs: Vec<Pair>,
    /// Where the costs of each pair start if all chunks follow one another, and where the last ones end.
    pub cost_starts: Vec<usize>,
    /// Rows of costs are `m` rounded up to this apart: 1 or 8.
    pub pad: u32,
    /// Pairs whose costs are in memory at once: some items of `x` by all of `y` that they meet, or one item
    /// of `x` by some of those.
    pub chunks: Vec<Chunk>,
    /// Whether these are all pairs that the clouds have by this pairing.
    pub is_whole: bool,
    pub grid: Grid,
    /// Packed rows and columns of all pairs.
    pub rows: u32,
    pub columns: u32,
}

/// Neighbouring pairs, and the memory that their costs take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub pairs: Range<usize>,
    /// Values, with what pads the rows.
    pub costs: usize,
}

impl Layout {
    /// Costs without gaps, in one chunk.
    pub fn new(
        op: &'static str,
        x_offsets: &[usize],
        y_offsets: &[usize],
        pairing: Pairing,
    ) -> Result<Self> {
        Self::build(op, x_offsets, y_offsets, pairing, (1, usize::MAX))
    }

    /// Costs whose rows start at multiples of 32 bytes, in chunks of at most `most` values, or of one pair.
    ///
    /// What is between the end of a row and the next one is never written.
    pub fn padded(
        op: &'static str,
        x_offsets: &[usize],
        y_offsets: &[usize],
        pairing: Pairing,
        most: usize,
    ) -> Result<Self> {
        Self::build(op, x_offsets, y_offsets, pairing, (PAD, most))
    }

    /// Some pairs of this layout by themselves, costs without gaps, in one chunk.
    pub fn some(&self, op: &'static str, which: &[usize]) -> Result<Self> {
        self.choose(op, which, (1, usize::MAX))
    }

    /// Some pairs of this layout, whose potentials stay where they are; costs as [`padded`](Self::padded).
    pub fn some_padded(&self, op: &'static str, which: &[usize], most: usize) -> Result<Self> {
        let mut layout = self.choose(op, which, (PAD, most))?;
        for (pair, &k) in layout.pairs.iter_mut().zip(which) {
            pair[6..].copy_from_slice(&self.pairs[k][6..]);
        }
        (layout.rows, layout.columns) = (self.rows, self.columns);
        Ok(layout)
    }

    fn choose(&self, op: &'static str, which: &[usize], room: (u32, usize)) -> Result<Self> {
        let places = which.iter().map(|&k| {
            let [x, n, y, m, ..] = self.pairs[k];
            [x, n, y, m]
        });
        let grid = Pairing::Paired.grid(which.len(), which.len());
        let layout = Self::lay(op, places, grid, room)?;
        Ok(Self { is_whole: false, ..layout })
    }

    fn build(
        op: &'static str,
        x_offsets: &[usize],
        y_offsets: &[usize],
        pairing: Pairing,
        room: (u32, usize),
    ) -> Result<Self> {
        extent(op, "the number of points of x", x_offsets[x_offsets.len() - 1], MOST_POINTS)?;
        extent(op, "the number of points of y", y_offsets[y_offsets.len() - 1], MOST_POINTS)?;
        let grid = pairing.grid(x_offsets.len() - 1, y_offsets.len() - 1);
        let places = (0..grid.pairs()).map(|k| {
            let (i, j) = grid.items(k);
            let (x, y) = (x_offsets[i], y_offsets[j]);
            [x, x_offsets[i + 1] - x, y, y_offsets[j + 1] - y].map(|word| word as u32)
        });
        Self::lay(op, places, grid, room)
    }

    /// Lays out pairs of `x_start, n, y_start, m`.
    fn lay(
        op: &'static str,
        places: impl Iterator<Item = [u32; 4]>,
        grid: Grid,
        (pad, most): (u32, usize),
    ) -> Result<Self> {
        let (mut pairs, mut cost_starts) = (Vec::new(), vec![0usize]);
        let (mut rows, mut columns) = (0usize, 0usize);
        for (k, [x, n, y, m]) in places.enumerate() {
            // Points were checked to be below 2^30, so `n m` is below 2^60.
            let costs = n as usize * m.next_multiple_of(pad) as usize;
            let (f, g) = (
                extent(op, "the rows of all pairs", rows, MOST_ROWS)?,
                extent(op, "the columns of all pairs", columns, MOST_ROWS)?,
            );
            pairs.push([x, n, y, m, 0, 0, f, g]);
            cost_starts.push(cost_starts[k] + costs);
            rows += n as usize;
            columns += m as usize;
        }
        extent(op, "the number of pairs", pairs.len(), MOST_ROWS)?;
        let rows = extent(op, "the rows of all pairs", rows, MOST_ROWS)?;
        let columns = extent(op, "the columns of all pairs", columns, MOST_ROWS)?;
        // Pairs of one item of x follow one another.
        let chunks = chunks(&cost_starts, grid.y, most);
        for chunk in &chunks {
            for k in chunk.pairs.clone() {
                let start = (cost_starts[k] - cost_starts[chunk.pairs.start]) as u64;
                (pairs[k][4], pairs[k][5]) = (start as u32, (start >> 32) as u32);
            }
        }
        let is_whole = true;
        Ok(Self { pairs, cost_starts, pad, chunks, is_whole, grid, rows, columns })
    }

    /// Values from one row of a pair's costs to the next.
    pub fn stride(&self, k: usize) -> u32 {
        self.pairs[k][3].next_multiple_of(self.pad)
    }

    /// Problems of items with themselves: `tasks` names the item of each, those of one item together, in
    /// the order of `items`, the layout of the cloud with itself. They share the costs of `items`, and so
    /// have no chunk.
    pub fn own(op: &'static str, items: &Self, tasks: &[usize]) -> Result<Self> {
        let (mut pairs, mut rows) = (Vec::new(), 0usize);
        for &item in tasks {
            let [x, n, y, m, low, high, ..] = items.pairs[item];
            let start = extent(op, "the rows of all own problems", rows, MOST_ROWS)?;
            pairs.push([x, n, y, m, low, high, start, start]);
            rows += n as usize;
        }
        extent(op, "the number of own problems", pairs.len(), MOST_ROWS)?;
        let rows = extent(op, "the rows of all own problems", rows, MOST_ROWS)?;
        let (cost_starts, chunks) = (Vec::new(), Vec::new());
        let Self { pad, grid, .. } = *items;
        let (is_whole, columns) = (false, rows);
        Ok(Self { pairs, cost_starts, pad, chunks, is_whole, grid, rows, columns })
    }

    /// Values in the largest chunk.
    pub fn most_costs(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.costs).max().unwrap_or(0)
    }

    /// Where the potentials of a pair's rows and columns are.
    pub fn potentials(&self, k: usize) -> (Range<usize>, Range<usize>) {
        let [_, n, _, m, _, _, f, g] = self.pairs[k].map(|word| word as usize);
        (f..f + n, g..g + m)
    }

    /// The packed rows of a chunk.
    pub fn rows_of(&self, chunk: &Chunk) -> Range<u32> {
        let start = |k: usize| self.pairs.get(k).map_or(self.rows, |pair| pair[6]);
        start(chunk.pairs.start)..start(chunk.pairs.end)
    }

    /// `pair, first row, first column, 0`: all tiles of a chunk, those of the same rows together.
    pub fn tiles(&self, chunk: &Chunk) -> Vec<[u32; 4]> {
        let of_pair = |k: usize| {
            let [_, n, _, m, ..] = self.pairs[k];
            let row = move |i| steps(m, TILE).map(move |j| [k as u32, i, j, 0]);
            steps(n, TILE).flat_map(row)
        };
        chunk.pairs.clone().flat_map(of_pair).collect()
    }

    /// How many tiles a chunk has.
    pub fn tile_count(&self, chunk: &Chunk) -> usize {
        let of = |&[_, n, _, m, ..]: &Pair| (n.div_ceil(TILE) as usize) * m.div_ceil(TILE) as usize;
        self.pairs[chunk.pairs.clone()].iter().map(of).sum()
    }

    /// `pair, first column`.
    pub fn strips(&self) -> Vec<[u32; 2]> {
        let of_pair = |(k, pair): (u32, &Pair)| steps(pair[3], STRIP).map(move |j| [k, j]);
        (0..).zip(&self.pairs).flat_map(of_pair).collect()
    }

    /// The pair of each packed row.
    pub fn pair_of_row(&self) -> Vec<u32> {
        let of_pair = |(k, pair): (u32, &Pair)| std::iter::repeat_n(k, pair[1] as usize);
        (0..).zip(&self.pairs).flat_map(of_pair).collect()
    }
}

/// Joins rows of `abreast` pairs while their costs are at most `most`; a row that is too large by itself
/// is cut.
fn chunks(cost_starts: &[usize], abreast: usize, most: usize) -> Vec<Chunk> {
    let mut chunks = Vec::<Chunk>::new();
    let mut add = |pairs: Range<usize>, joins: bool| {
        let costs = cost_starts[pairs.end] - cost_starts[pairs.start];
        match chunks.last_mut() {
            Some(chunk) if joins && costs <= most.saturating_sub(chunk.costs) => {
                (chunk.pairs.end, chunk.costs) = (pairs.end, chunk.costs + costs);
            }
            _ => chunks.push(Chunk { pairs, costs }),
        }
    };
    let mut joins = false;
    for first in (0..cost_starts.len() - 1).step_by(abreast.max(1)) {
        let row = first..first + abreast;
        if cost_starts[row.end] - cost_starts[first] <= most {
            add(row, joins);
            joins = true;
        } else {
            row.for_each(|k| add(k..k + 1, k > first));
            joins = false;
        }
    }
    chunks
}

/// `item, first point` of the items that are wanted.
pub(super) fn blocks(offsets: &[usize], wanted: impl Fn(usize) -> bool) -> Vec<[u32; 2]> {
    let items = (0..offsets.len() - 1).filter(|&k| wanted(k));
    let of_item = |k: usize| {
        steps((offsets[k + 1] - offsets[k]) as u32, TILE).map(move |first| [k as u32, first])
    };
    items.flat_map(of_item).collect()
}

/// No second block in a duo.
const NONE: [u32; 2] = [u32::MAX, 0];

/// Two blocks each whose pairs have the same partners, one after the other: any two of items that meet the
/// same ones. The second may be [`NONE`]. Blocks name the first pair of their item, of which items with
/// the same partners have all in one run of `together`.
pub(super) fn duos(blocks: &[[u32; 2]], together: u32) -> Vec<[u32; 4]> {
    let mut duos = Vec::new();
    let mut rest = blocks;
    while let [first, tail @ ..] = rest {
        let mate = tail.first().filter(|mate| mate[0] / together == first[0] / together);
        let [item, point] = mate.copied().unwrap_or(NONE);
        duos.push([first[0], first[1], item, point]);
        rest = if mate.is_some() { &tail[1..] } else { tail };
    }
    duos
}

/// `pair, first row`, or column, of the pairs that are wanted.
pub(super) fn blocks_of_pairs(
    layout: &Layout,
    columns: bool,
    wanted: impl Fn(usize) -> bool,
) -> Vec<[u32; 2]> {
    let pairs = (0..layout.pairs.len()).filter(|&k| wanted(k));
    let count = |k: usize| layout.pairs[k][if columns { 3 } else { 1 }];
    pairs.flat_map(|k| steps(count(k), TILE).map(move |first| [k as u32, first])).collect()
}

fn steps(end: u32, step: u32) -> impl Iterator<Item = u32> {
    (0..end).step_by(step as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [usize; 4] = [0, 65, 65, 67];
    const Y: [usize; 4] = [0, 33, 34, 34];

    #[test]
    fn blocks_share_a_cta_where_they_share_partners() {
        let blocks = blocks(&[0, 65, 65, 67, 68], |_| true);
        assert_eq!(blocks, [[0, 0], [0, 64], [2, 0], [3, 0]]);
        assert_eq!(duos(&blocks, 4), [[0, 0, 0, 64], [2, 0, 3, 0]]);
        assert_eq!(duos(&blocks[1..], 4), [[0, 64, 2, 0], [3, 0, u32::MAX, 0]]);
        assert_eq!(duos(&blocks[1..], 2), [[0, 64, u32::MAX, 0], [2, 0, 3, 0]]);
        let alone = [[0, 0, 0, 64], [2, 0, u32::MAX, 0], [3, 0, u32::MAX, 0]];
        assert_eq!(duos(&blocks, 1), alone);
        assert_eq!(duos(&[], 1), [[0; 4]; 0]);
    }

    #[test]
    fn pairs_are_packed_without_gaps() {
        let layout = Layout::new("test", &X, &Y, Pairing::Paired).unwrap();
        assert_eq!(
            layout.pairs,
            [
                [0, 65, 0, 33, 0, 0, 0, 0],
                [65, 0, 33, 1, 2145, 0, 65, 33],
                [65, 2, 34, 0, 2145, 0, 65, 34]
            ]
        );
        assert_eq!((layout.most_costs(), layout.rows, layout.columns), (2145, 67, 34));
        assert_eq!(layout.chunks, [Chunk { pairs: 0..3, costs: 2145 }]);
        assert_eq!(layout.tiles(&layout.chunks[0]), [[0, 0, 0, 0], [0, 64, 0, 0]]);
        assert_eq!(layout.tile_count(&layout.chunks[0]), 2);
        assert_eq!(layout.strips(), [[0, 0], [0, 32], [1, 0]]);
        let rows = layout.pair_of_row();
        assert_eq!((rows.len(), rows[64], rows[65]), (67, 0, 2));
    }

    #[test]
    fn all_pairs_go_by_x_first() {
        let layout = Layout::new("test", &X, &Y, Pairing::AllPairs).unwrap();
        assert_eq!((layout.pairs.len(), layout.rows, layout.columns), (9, 3 * 67, 3 * 34));
        assert_eq!(layout.pairs[7], [65, 2, 33, 1, 65 * 34 + 66, 0, 197, 101]);
        assert_eq!(layout.most_costs(), 67 * 34);
    }

    #[test]
    fn padded_rows_start_at_multiples_of_eight_in_chunks_that_start_anew() {
        let layout = |most| Layout::padded("test", &X, &Y, Pairing::AllPairs, most).unwrap();
        let starts = |layout: &Layout| layout.pairs.iter().map(|pair| pair[4]).collect::<Vec<_>>();
        let one = layout(usize::MAX);
        let (wide, narrow) = (65 * 40, 65 * 8);
        assert_eq!(one.cost_starts[..4], [0, wide, wide + narrow, wide + narrow]);
        assert_eq!(one.chunks, [Chunk { pairs: 0..9, costs: 67 * 48 }]);
        // The first item of x is cut, the two others are not.
        let some = layout(wide + 100);
        assert_eq!(some.chunks[0], Chunk { pairs: 0..1, costs: wide });
        assert_eq!(some.chunks[1], Chunk { pairs: 1..3, costs: narrow });
        assert_eq!(some.chunks[2], Chunk { pairs: 3..9, costs: 2 * 48 });
        assert_eq!(starts(&some), [0, 0, narrow as u32, 0, 0, 0, 0, 80, 96]);
        assert_eq!((some.most_costs(), some.cost_starts[9]), (wide, 67 * 48));
        assert_eq!(some.tiles(&some.chunks[1])[..2], [[1, 0, 0, 0], [1, 64, 0, 0]]);
        // A pair that is too large by itself is a chunk.
        let least = layout(0);
        assert_eq!(least.chunks[0], Chunk { pairs: 0..1, costs: wide });
    }

    #[test]
    fn some_pairs_keep_their_points_and_padded_ones_their_potentials() {
        let all = Layout::new("test", &X, &Y, Pairing::AllPairs).unwrap();
        let some = all.some("test", &[1, 6]).unwrap();
        assert_eq!(some.pairs, [[0, 65, 33, 1, 0, 0, 0, 0], [65, 2, 0, 33, 65, 0, 65, 1]]);
        assert_eq!((some.rows, some.columns, some.most_costs()), (67, 34, 65 + 66));
        let padded = all.some_padded("test", &[1, 6], usize::MAX).unwrap();
        assert_eq!(padded.pairs, [[0, 65, 33, 1, 0, 0, 65, 33], [65, 2, 0, 33, 520, 0, 195, 68]]);
        assert_eq!((padded.rows, padded.columns), (all.rows, all.columns));
        assert!(all.is_whole && !some.is_whole && !padded.is_whole);
    }

    #[test]
    fn blocks_are_of_wanted_items_alone() {
        assert_eq!(blocks(&X, |_| true), [[0, 0], [0, 64], [2, 0]]);
        assert_eq!(blocks(&X, |k| k > 0), [[2, 0]]);
    }

    #[test]
    fn what_a_kernel_cannot_address_is_refused() {
        let many = [0, 1 << 30];
        let error = Layout::new("test", &many, &[0, 1], Pairing::Paired).unwrap_err();
        let text =
            "test: the number of points of x is 1073741824, expected below 1073741824 on a device";
        assert_eq!(error.to_string(), text);
        // Potentials of all pairs: 2 * 2^30 rows.
        let (x, y) = ([0, (1 << 30) - 1], [0, 1, 2, 3]);
        let error = Layout::new("test", &x, &y, Pairing::AllPairs).unwrap_err();
        assert!(error.to_string().contains("the rows of all pairs is 3221225469"), "{error}");
    }
}
