//! How logits are cut into blocks and windows. Shapes alone decide, so results repeat.

/// Rows and columns are packed up to multiples of this.
pub(super) const PAD: u32 = 256;
/// Anchors of a CTA of the combining kernel, and rows of a tile.
pub(super) const TILE: u32 = 128;
/// Block rows next to each other in the order of blocks: what they read stays in the L2 cache.
const BAND: u32 = 8;
/// Most rows of a window, which a kernel lists by tiles below each other.
const MOST_ROWS: u32 = 1024;
/// Fewest rows of a window that is one of several: products by fewer read their other factor too often.
const FEWEST_ROWS: u32 = 384;
/// Bytes of slopes that stay in the L2 cache between the kernels that write and read them, of 50 MB
/// (H200) or 40 MB (A100).
const CACHED: u64 = 32 << 20;

/// Rows and columns of the tiles that a kernel works on, and of blocks that it can keep sums of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    pub rows: u32,
    pub columns: u32,
    pub most_rows: u32,
    pub most_columns: u32,
}

/// Extents of the blocks of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockShape {
    pub rows: u32,
    pub columns: u32,
}

/// Rows of a layer whose slopes are in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Of the batch.
    pub layer: usize,
    pub first: u32,
    pub rows: u32,
    /// Where its slopes begin, in elements.
    pub start: u64,
}

impl BlockShape {
    /// The shape that leaves the fewest CTAs idle in the last round, and of those the largest.
    pub fn choose(tiles: Tiles, ctas: u32, extents: &[(u32, u32)]) -> Self {
        let steps = |tile: u32, most: u32| {
            std::iter::successors(Some(tile), move |&x| Some(2 * x).filter(|&x| x <= most))
        };
        let mut best = (u64::MAX, Self { rows: tiles.rows, columns: tiles.columns });
        for rows in steps(tiles.rows, tiles.most_rows) {
            for columns in steps(tiles.columns, tiles.most_columns) {
                let shape = Self { rows, columns };
                let work = u64::from(rows / tiles.rows) * u64::from(columns / tiles.columns);
                let rounds = shape.count(extents).div_ceil(u64::from(ctas.max(1)));
                if rounds * work <= best.0 {
                    best = (rounds * work, shape);
                }
            }
        }
        best.1
    }

    fn count(self, extents: &[(u32, u32)]) -> u64 {
        let of = |&(n, m): &(u32, u32)| {
            u64::from(n.div_ceil(self.rows)) * u64::from(m.div_ceil(self.columns))
        };
        extents.iter().map(of).sum()
    }

    /// `layer, first row, first column, 0` of all blocks, a band of rows after another.
    pub fn blocks(self, extents: &[(u32, u32)]) -> Vec<[u32; 4]> {
        let mut out = Vec::new();
        for (layer, &(n, m)) in (0..).zip(extents) {
            for band in (0..n).step_by((BAND * self.rows) as usize) {
                let end = n.min(band + BAND * self.rows);
                for column in (0..m).step_by(self.columns as usize) {
                    let rows = (band..end).step_by(self.rows as usize);
                    out.extend(rows.map(|row| [layer, row, column, 0]));
                }
            }
        }
        out
    }
}

/// `layer, first anchor` of all blocks of 128 packed anchors.
pub(super) fn anchor_blocks(counts: impl Iterator<Item = u32>) -> Vec<[u32; 2]> {
    let of = |(layer, count): (u32, u32)| {
        (0..count.next_multiple_of(PAD)).step_by(TILE as usize).map(move |first| [layer, first])
    };
    (0..).zip(counts).flat_map(of).collect()
}

/// Columns of the slopes of `m` columns: whole tiles.
pub(super) fn pitch(m: u32) -> u32 {
    m.next_multiple_of(PAD)
}

/// Windows that go through the kernels together, rounds of them, and the elements of the largest round.
///
/// Slopes are `bytes` each; `ctas` of `columns` columns run at once.
pub(super) fn windows(
    extents: &[(u32, u32)],
    bytes: u64,
    (columns, ctas): (u32, u32),
) -> (Vec<Vec<Window>>, u64) {
    let (mut rounds, mut open, mut start, mut most) = (Vec::new(), Vec::new(), 0, 0);
    for (layer, &(n, m)) in extents.iter().enumerate().filter(|&(_, &(n, _))| n > 0) {
        let rows = window_rows(n, m, bytes, (columns, ctas));
        for first in (0..n).step_by(rows as usize) {
            let rows = rows.min(n - first);
            let size = u64::from(rows.next_multiple_of(TILE)) * u64::from(pitch(m));
            if !open.is_empty() && (start + size) * bytes > CACHED {
                rounds.push(std::mem::take(&mut open));
                start = 0;
            }
            open.push(Window { layer, first, rows, start });
            start += size;
            most = most.max(start);
        }
    }
    rounds.extend(Some(open).filter(|open| !open.is_empty()));
    (rounds, most)
}

/// Rows of a layer's windows: as fit the cache, with the fewest idle CTAs.
fn window_rows(n: u32, m: u32, bytes: u64, (columns, ctas): (u32, u32)) -> u32 {
    let row = u64::from(pitch(m)) * bytes;
    let fit = u32::try_from(CACHED / row).unwrap_or(MOST_ROWS) / TILE * TILE;
    let most = fit.clamp(FEWEST_ROWS, MOST_ROWS);
    if n <= most {
        return n;
    }
    // Rounds of CTAs that all windows together take.
    let cost = |rows: u32| {
        let tiles = u64::from(rows / TILE) * u64::from(m.div_ceil(columns));
        tiles.div_ceil(u64::from(ctas.max(1))) * u64::from(n.div_ceil(rows))
    };
    let candidates = (FEWEST_ROWS / TILE..=most / TILE).rev().map(|tiles| tiles * TILE);
    candidates.min_by_key(|&rows| cost(rows)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Tiles = Tiles { rows: 128, columns: 256, most_rows: 1024, most_columns: 512 };

    #[test]
    fn blocks_fill_the_device_and_cover_every_logit_once() {
        let shape = |n, m| BlockShape::choose(WIDE, 132, &[(n, m)]);
        // 128 blocks of 16 tiles are one round of 132 CTAs.
        assert_eq!(shape(8192, 8192), BlockShape { rows: 1024, columns: 512 });
        assert_eq!(shape(1, 1), BlockShape { rows: 128, columns: 256 });
        // 8 x 4 tiles: one round each way, in as many CTAs as there are tiles.
        assert_eq!(shape(1024, 1024), BlockShape { rows: 128, columns: 256 });
        let extents = [(2500, 700), (1, 300)];
        let blocks = BlockShape { rows: 256, columns: 256 }.blocks(&extents);
        assert_eq!((blocks.len(), blocks[0], blocks[8]), (10 * 3 + 2, [0; 4], [0, 0, 256, 0]));
        assert_eq!(blocks[24], [0, 2048, 0, 0]);
        let mut sorted = blocks.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), blocks.len());
        assert_eq!(anchor_blocks([0, 1, 300].into_iter()).len(), 2 + 4);
    }

    #[test]
    fn windows_fit_the_cache_and_cover_every_row_once() {
        // kernels.md's case: bf16 slopes of 65,536 columns.
        let (rounds, most) = windows(&[(65_536, 65_536)], 2, (256, 132));
        assert!(rounds.iter().all(|round| round.len() == 1 && round[0].rows <= 1024));
        assert_eq!(rounds.iter().map(|round| round[0].rows).sum::<u32>(), 65_536);
        assert_eq!(most, 384 * 65_536);
        // Small layers share a round, and a window of a small layer is all of it.
        let (rounds, most) = windows(&[(100, 300), (300, 300)], 2, (256, 132));
        assert_eq!(rounds.len(), 1);
        assert_eq!(rounds[0][1], Window { layer: 1, first: 0, rows: 300, start: 128 * 512 });
        assert_eq!(most, (128 + 384) * 512);
        assert_eq!(windows(&[], 2, (256, 132)), (Vec::new(), 0));
    }
}
