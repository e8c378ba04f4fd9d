//! The lists of a product of whole clouds, whose tiles need not respect pairs: TILE, ROW and COLUMN of
//! `pairwise_cost_v4_wgmma_bf16.ptx`.
//!
//! Costs of a chunk lie pair after pair. Where that of a row and a column lies is a sum of what the row
//! knows, what the column knows, and two products of one with the other: no tile looks up a pair.

use std::ops::Range;

use crate::device::layout::{Chunk, Layout};

/// Bytes of a cost.
const BYTES: u32 = 4;
/// Bands of so many tiles along the rows are walked column after column: tiles that run at the same time
/// then share rows of both clouds in the L2 cache.
const BAND: usize = 8;

/// Rows and columns of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileSize {
    pub rows: u32,
    pub columns: u32,
}

/// The lists of one chunk. Rows count from its first one.
#[derive(Debug)]
pub(super) struct ProductLists {
    /// The row of `x` that is row 0.
    pub first_row: u32,
    /// `first row, row end, first column, column end`.
    pub tiles: Vec<[u32; 4]>,
    /// `base (two words), 4 n, 4 times the row in its item`.
    pub rows: Vec<[u32; 4]>,
}

impl ProductLists {
    pub fn new(layout: &Layout, chunk: &Chunk, size: TileSize) -> Self {
        let first_row = layout.pairs.get(chunk.pairs.start).map_or(0, |pair| pair[0]);
        let tiles = rectangles(layout, chunk).into_iter().flat_map(|(rows, columns)| {
            let rows = rows.start - first_row..rows.end - first_row;
            tiles(rows, columns, size)
        });
        Self { first_row, tiles: tiles.collect(), rows: rows(layout, chunk) }
    }
}

/// `first column of the item among the padded ones of its block, row stride, column in its item, 0`: of
/// all columns of `y`.
pub(super) fn columns(layout: &Layout) -> Vec<[u32; 4]> {
    let firsts = firsts(layout);
    let of_item = |(j, first): (usize, &u32)| {
        let k = layout.grid.run_of_y(j).first;
        let (first, stride) = (*first, layout.stride(k));
        (0..layout.pairs[k][3]).map(move |column| [first, stride, column, 0])
    };
    firsts.iter().enumerate().flat_map(of_item).collect()
}

/// The first column of each item of `y`, as [`columns`] has it.
fn firsts(layout: &Layout) -> Vec<u32> {
    let grid = layout.grid;
    let items = if grid.x == 0 { 0 } else { grid.blocks * grid.y };
    let mut next = 0;
    let first = |j: usize| {
        let first = if j.is_multiple_of(grid.y) { 0 } else { next };
        next = first + layout.stride(grid.run_of_y(j).first);
        first
    };
    (0..items).map(first).collect()
}

fn rows(layout: &Layout, chunk: &Chunk) -> Vec<[u32; 4]> {
    let firsts = firsts(layout);
    let mut out = Vec::new();
    let mut k = chunk.pairs.start;
    while k < chunk.pairs.end {
        let [_, n, _, _, low, high, ..] = layout.pairs[k];
        let start = u64::from(high) << 32 | u64::from(low);
        // A chunk that begins inside the items of y begins before its own memory: kernels add what is
        // taken off here.
        let (first, abreast) = (firsts[layout.grid.items(k).1], layout.grid.y - k % layout.grid.y);
        let base = start.wrapping_sub(u64::from(n) * u64::from(first)).wrapping_mul(BYTES.into());
        let (low, high) = (base as u32, (base >> 32) as u32);
        out.extend((0..n).map(|row| [low, high, BYTES * n, BYTES * row]));
        k += abreast;
    }
    out
}

/// Rows and columns of a chunk whose products are all wanted.
fn rectangles(layout: &Layout, chunk: &Chunk) -> Vec<(Range<u32>, Range<u32>)> {
    let between = |first: usize, last: usize| {
        let ([x, _, y, ..], [x_last, n, y_last, m, ..]) = (layout.pairs[first], layout.pairs[last]);
        (x..x_last + n, y..y_last + m)
    };
    let (Range { start, end }, of_block) = (chunk.pairs.clone(), layout.grid.of_block().max(1));
    let blocks = start / of_block..end.div_ceil(of_block);
    let of = |block: usize| {
        let first = start.max(block * of_block);
        between(first, end.min((block + 1) * of_block) - 1)
    };
    blocks.map(of).collect()
}

/// How many tiles a chunk has.
pub(super) fn tile_count(layout: &Layout, chunk: &Chunk, size: TileSize) -> usize {
    let steps = |range: &Range<u32>, step| range.len().div_ceil(step as usize);
    let of = |(rows, columns)| steps(&rows, size.rows) * steps(&columns, size.columns);
    rectangles(layout, chunk).into_iter().map(of).sum()
}

/// Tiles of a rectangle, band after band.
fn tiles(rows: Range<u32>, columns: Range<u32>, size: TileSize) -> Vec<[u32; 4]> {
    let steps = |range: &Range<u32>, step: u32| range.clone().step_by(step as usize);
    let all: Vec<u32> = steps(&rows, size.rows).collect();
    let mut out = Vec::new();
    for band in all.chunks(BAND) {
        for column in steps(&columns, size.columns) {
            out.extend(band.iter().map(|&row| [row, rows.end, column, columns.end]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinkhorn::Pairing;

    const X: [usize; 5] = [0, 5, 5, 7, 140];
    const Y: [usize; 4] = [0, 33, 34, 300];
    const SIZE: TileSize = TileSize { rows: 128, columns: 256 };

    /// Every row meets every column of its pairs at the place of their cost, and in one tile.
    #[test]
    fn rows_and_columns_lead_to_the_costs_of_their_pairs() {
        let (four, pairs) = (&[0, 33, 34, 34, 300][..], Pairing::Blocks(2));
        for (pairing, y) in [(Pairing::AllPairs, &Y[..]), (Pairing::Paired, four), (pairs, four)] {
            for most in [0, 3000, 50_000, usize::MAX] {
                let layout = Layout::padded("test", &X, y, pairing, most).unwrap();
                let columns = columns(&layout);
                assert_eq!(columns.len(), 300);
                for chunk in &layout.chunks {
                    check(&layout, chunk, &columns);
                }
            }
        }
    }

    fn check(layout: &Layout, chunk: &Chunk, columns: &[[u32; 4]]) {
        let lists = ProductLists::new(layout, chunk, SIZE);
        let tile_of = |i: u32, j: u32| {
            let holds = |tile: &&[u32; 4]| {
                let [row, row_end, column, column_end] = **tile;
                (row..row_end.min(row + 128)).contains(&i)
                    && (column..column_end.min(column + 256)).contains(&j)
            };
            lists.tiles.iter().filter(holds).count()
        };
        let mut wanted = 0;
        for k in chunk.pairs.clone() {
            let [x, n, y, m, low, high, ..] = layout.pairs[k];
            let start = u64::from(high) << 32 | u64::from(low);
            for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
                let row = x - lists.first_row + i;
                let [low, high, of_item, at] = lists.rows[row as usize].map(u64::from);
                let [first, stride, column, _] = columns[(y + j) as usize].map(u64::from);
                let got = (high << 32 | low)
                    .wrapping_add(of_item * first)
                    .wrapping_add(at * stride + 4 * column);
                let want = start + u64::from(i) * u64::from(layout.stride(k)) + u64::from(j);
                assert_eq!(got, 4 * want, "pair {k}, {i} {j}");
                assert_eq!(tile_of(row, y + j), 1);
                wanted += 1;
            }
        }
        let inside = |[row, row_end, column, column_end]: &[u32; 4]| {
            (row_end - row).min(128) as usize * (column_end - column).min(256) as usize
        };
        assert_eq!(lists.tiles.len(), tile_count(layout, chunk, SIZE));
        assert_eq!(lists.tiles.iter().map(inside).sum::<usize>(), wanted);
    }

    #[test]
    fn tiles_go_column_after_column_in_bands() {
        let size = TileSize { rows: 10, columns: 100 };
        let tiles = tiles(0..85, 5..206, size);
        assert_eq!(tiles.len(), 9 * 3);
        assert_eq!(tiles[1], [10, 85, 5, 206]);
        assert_eq!(tiles[8], [0, 85, 105, 206]);
        assert_eq!(tiles[24..], [[80, 85, 5, 206], [80, 85, 105, 206], [80, 85, 205, 206]]);
    }
}
