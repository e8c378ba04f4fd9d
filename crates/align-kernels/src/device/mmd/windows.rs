//! How all pairs of points are cut: stacks, blocks, windows and tiles.
//!
//! The points of an item are stacked, `x` before `y`, each side from a multiple of 8 rows on. A stack is
//! cut into blocks; the products of two blocks are a matrix, and as many of these as fit a window are
//! alive at a time. Blocks of an item meet once: what a block weighs for the other is the transpose.

use std::ops::Range;

use super::items::Item;

/// Most rows of a block. The products of two such blocks and their weights stay in the L2 cache.
pub(super) const BLOCK: usize = 2048;
/// Products of a window: those of two whole blocks.
pub(super) const WINDOW: usize = BLOCK * BLOCK;
/// Rows and columns of a tile.
const TILE: usize = 64;
/// Rows of a side start at multiples of this.
const ALIGNMENT: usize = 8;

/// Both sides of an item, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    /// Rows of `x`, and of `y`.
    pub sides: [Range<usize>; 2],
    /// All rows, those that pad the sides too.
    pub rows: Range<usize>,
}

/// The products of two blocks of a stack.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meeting {
    /// Of the list of stacks.
    pub stack: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Where its products start in the window.
    pub start: usize,
    /// Its tiles in the list of all.
    pub tiles: Range<usize>,
}

/// TILE of `mmd_weights_v1_f32.ptx`, with what its value counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tile {
    pub rows: (usize, usize),
    pub columns: (usize, usize),
    /// Of the window.
    pub start: usize,
    pub stride: usize,
    pub sides: (usize, usize),
    pub stack: usize,
    /// 1, or 2 for one that stands for its mirror image too.
    pub copies: f64,
}

/// Everything that is cut out of a list of items.
pub(super) struct Cut {
    pub stacks: Vec<Stack>,
    /// Rows of all stacks.
    pub rows: usize,
    pub tiles: Vec<Tile>,
    /// What is alive at a time, in order.
    pub windows: Vec<Vec<Meeting>>,
    /// Products of the largest window.
    pub products: usize,
}

impl Cut {
    pub fn new(items: &[Item], block: usize, window: usize) -> Self {
        let mut cut =
            Self { stacks: vec![], rows: 0, tiles: vec![], windows: vec![vec![]], products: 0 };
        let mut used = 0;
        for (k, item) in items.iter().enumerate() {
            let stack = Stack::new(item, cut.rows);
            cut.rows = stack.rows.end;
            let blocks: Vec<Range<usize>> = stack
                .rows
                .clone()
                .step_by(block)
                .map(|start| start..(start + block).min(stack.rows.end))
                .collect();
            for (i, rows) in blocks.iter().enumerate() {
                for columns in &blocks[i..] {
                    let size = rows.len() * columns.len();
                    if used + size > window && used > 0 {
                        cut.windows.push(vec![]);
                        used = 0;
                    }
                    let first = cut.tiles.len();
                    stack.tiles(k, rows, columns, used, &mut cut.tiles);
                    let meeting = Meeting {
                        stack: k,
                        rows: rows.clone(),
                        columns: columns.clone(),
                        start: used,
                        tiles: first..cut.tiles.len(),
                    };
                    cut.windows.last_mut().into_iter().for_each(|w| w.push(meeting.clone()));
                    used += size;
                    cut.products = cut.products.max(used);
                }
            }
            cut.stacks.push(stack);
        }
        cut
    }
}

impl Stack {
    fn new(item: &Item, start: usize) -> Self {
        let [n, m] = item.counts();
        let middle = start + n.next_multiple_of(ALIGNMENT);
        let end = middle + m.next_multiple_of(ALIGNMENT);
        Self { sides: [start..start + n, middle..middle + m], rows: start..end }
    }

    /// Tiles of two blocks whose products start at `start`; none has points of both sides.
    fn tiles(
        &self,
        stack: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
        start: usize,
        out: &mut Vec<Tile>,
    ) {
        let parts = |block: &Range<usize>| -> Vec<(usize, usize, usize)> {
            let of_side = |side: usize| {
                let own = &self.sides[side];
                let (first, end) = (own.start.max(block.start), own.end.min(block.end));
                (first..end.max(first)).step_by(TILE).map(move |at| (at, TILE.min(end - at), side))
            };
            (0..2).flat_map(of_side).collect()
        };
        let stride = columns.len();
        let copies = if rows == columns { 1.0 } else { 2.0 };
        for (row, height, row_side) in parts(rows) {
            for (column, width, column_side) in parts(columns) {
                out.push(Tile {
                    rows: (row, height),
                    columns: (column, width),
                    start: start + (row - rows.start) * stride + (column - columns.start),
                    stride,
                    sides: (row_side, column_side),
                    stack,
                    copies,
                });
            }
        }
    }
}

impl Tile {
    pub fn is_diagonal(&self) -> bool {
        self.rows == self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        let offsets: [&[usize]; 2] = [&[0, 70, 71], &[0, 3, 68]];
        (0..2).map(|k| Item::of(offsets, k)).collect()
    }

    #[test]
    fn every_pair_of_points_is_in_one_tile_or_its_mirror_image() {
        for (block, window) in [(2048, 1 << 22), (64, 1 << 22), (16, 300)] {
            let cut = Cut::new(&items(), block, window);
            assert_eq!(cut.rows, 72 + 8 + 8 + 72);
            assert!(cut.products <= window.max(block * block));
            let mut met = vec![0.0; cut.rows * cut.rows];
            for tile in &cut.tiles {
                assert!(tile.start % 8 == 0 && tile.stride % 8 == 0);
                for i in tile.rows.0..tile.rows.0 + tile.rows.1 {
                    for j in tile.columns.0..tile.columns.0 + tile.columns.1 {
                        met[i * cut.rows + j] += 1.0;
                        met[j * cut.rows + i] += tile.copies - 1.0;
                    }
                }
            }
            for stack in &cut.stacks {
                let is_point = |i: usize| stack.sides.iter().any(|side| side.contains(&i));
                for i in stack.rows.clone() {
                    for j in 0..cut.rows {
                        let want = f64::from(u8::from(is_point(i) && is_point(j)));
                        assert_eq!(met[i * cut.rows + j], want, "{block} {i} {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn windows_hold_no_more_than_they_may() {
        let cut = Cut::new(&items(), 16, 600);
        for window in &cut.windows {
            let used: usize = window.iter().map(|m| m.rows.len() * m.columns.len()).sum();
            assert!(used <= 600 && !window.is_empty());
            let last = window.last().unwrap();
            assert_eq!(last.start + last.rows.len() * last.columns.len(), used);
        }
        let tiles: usize = cut.windows.iter().flatten().map(|m| m.tiles.len()).sum();
        assert_eq!(tiles, cut.tiles.len());
    }
}
