//! Which pairs a pairing makes of so many items.

use super::options::Pairing;

/// Items in blocks: all of `x` meet all of `y` within a block, `x` outermost, block after block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub blocks: usize,
    /// Items of `x` in a block.
    pub x: usize,
    /// Items of `y` in a block.
    pub y: usize,
}

/// The pairs of one item: so many from the first on, a step apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub first: usize,
    pub step: usize,
    pub count: usize,
}

impl Pairing {
    /// The grid of so many items, which the pairing divides evenly.
    pub(crate) fn grid(self, x_items: usize, y_items: usize) -> Grid {
        let blocks = match self {
            Self::Paired => return Grid { blocks: x_items, x: 1, y: 1 },
            Self::AllPairs => 1,
            Self::Blocks(count) => count.max(1),
        };
        Grid { blocks, x: x_items / blocks, y: y_items / blocks }
    }
}

impl Grid {
    /// Number of pairs.
    pub fn pairs(self) -> usize {
        self.blocks * self.of_block()
    }

    /// Pairs of one block.
    pub fn of_block(self) -> usize {
        self.x * self.y
    }

    /// The items of pair `k`.
    pub fn items(self, k: usize) -> (usize, usize) {
        let (block, k) = (k / self.of_block(), k % self.of_block());
        (block * self.x + k / self.y, block * self.y + k % self.y)
    }

    /// The pairs of item `i` of `x`.
    pub fn run_of_x(self, i: usize) -> Run {
        Run { first: i * self.y, step: 1, count: self.y }
    }

    /// The pairs of item `j` of `y`.
    pub fn run_of_y(self, j: usize) -> Run {
        let (block, j) = (j / self.y, j % self.y);
        Run { first: block * self.of_block() + j, step: self.y, count: self.x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_meets_those_of_its_block_once() {
        for (pairing, x, y) in [
            (Pairing::Paired, 5, 5),
            (Pairing::AllPairs, 3, 4),
            (Pairing::Blocks(1), 3, 4),
            (Pairing::Blocks(3), 6, 9),
            (Pairing::Blocks(2), 2, 0),
            (Pairing::AllPairs, 0, 7),
        ] {
            let grid = pairing.grid(x, y);
            let pairs: Vec<_> = (0..grid.pairs()).map(|k| grid.items(k)).collect();
            let meet = |&(i, j): &(usize, usize)| i / grid.x.max(1) == j / grid.y.max(1);
            let all: Vec<_> = (0..x).flat_map(|i| (0..y).map(move |j| (i, j))).collect();
            assert_eq!(pairs, all.into_iter().filter(meet).collect::<Vec<_>>(), "{pairing:?}");
            let of = |run: Run| (0..run.count).map(move |t| run.first + t * run.step);
            for i in (0..x).filter(|_| grid.y > 0) {
                assert!(of(grid.run_of_x(i)).all(|k| pairs[k].0 == i), "{pairing:?}");
            }
            for j in 0..y {
                assert!(of(grid.run_of_y(j)).all(|k| pairs[k].1 == j), "{pairing:?}");
                assert_eq!(grid.run_of_y(j).count, grid.x, "{pairing:?}");
            }
        }
        assert_eq!(Pairing::Blocks(2).grid(4, 6), Grid { blocks: 2, x: 2, y: 3 });
    }
}
