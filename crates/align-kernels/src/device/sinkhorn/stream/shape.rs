//! How a pair is cut: over the CTAs of a group, the warps of a CTA, and its rows of the kernel over shared
//! memory and global memory.
//!
//! The cut follows from the pair and the card alone, so that a pair has the same bits in any batch.

/// Columns that a CTA's threads hold at once.
const MOST_COLUMNS: u32 = 4096;
/// Warps of a CTA.
const WARPS: u32 = 16;
/// Columns of a panel.
const PANEL: u32 = 128;
/// Rows of a block, and the bytes of a panel of it.
const ROWS: u32 = 4;
const PIECE: u64 = 2048;
/// Shared memory before the rows' numbers, and what they take each.
const FIXED: u64 = 10880;
const OF_ROW: u64 = 16;
const ALIGNMENT: u64 = 128;

/// What the device offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    /// CTAs that run at once.
    pub ctas: u32,
    /// Bytes of shared memory of one.
    pub shared: u64,
}

/// The cut of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// CTAs of the group.
    pub size: u32,
    /// `log2` of the warps along a row.
    pub wide: u32,
    /// Blocks of four rows of a part, and how many of them are streamed.
    pub blocks: u32,
    pub streamed: u32,
    /// Panels of a row.
    pub panels: u32,
}

impl Shape {
    /// The least group whose shared memory holds the kernel, or the whole card and blocks that are
    /// streamed. `None` where a row is too long, or rows are too many for their numbers.
    pub fn new(n: u32, m: u32, card: Card) -> Option<Self> {
        if n == 0 || m == 0 || m > MOST_COLUMNS || card.ctas == 0 {
            return None;
        }
        let panels = m.div_ceil(PANEL);
        let wide = panels.div_ceil(2).next_power_of_two().ilog2();
        let of = |size: u32| {
            let mut shape = Self { size, wide, blocks: 0, streamed: 0, panels };
            shape.blocks = n.div_ceil(size * shape.parts()).div_ceil(ROWS);
            let room = card.shared.checked_sub(FIXED + shape.row_numbers())?;
            let kept = u32::try_from(room / shape.block_bytes()).unwrap_or(u32::MAX);
            shape.streamed = shape.blocks.saturating_sub(kept);
            Some(shape)
        };
        let whole = of(card.ctas)?;
        if whole.streamed > 0 {
            return Some(whole);
        }
        // More CTAs hold more, so the least that is enough can be halved for.
        let (mut low, mut high) = (1, card.ctas);
        while low < high {
            let middle = low.midpoint(high);
            match of(middle) {
                Some(Self { streamed: 0, .. }) => high = middle,
                _ => low = middle + 1,
            }
        }
        of(low)
    }

    /// Parts that a CTA's rows are cut into, each with warps of its own.
    pub fn parts(&self) -> u32 {
        WARPS >> self.wide
    }

    /// Bytes of a block of all parts.
    fn block_bytes(&self) -> u64 {
        u64::from(self.parts() * self.panels) * PIECE
    }

    /// Bytes of what is kept of a CTA's rows.
    fn row_numbers(&self) -> u64 {
        OF_ROW * u64::from(self.parts() * self.blocks * ROWS)
    }

    /// Dynamic shared memory of a CTA.
    pub fn shared(&self) -> u64 {
        FIXED + self.row_numbers() + self.block_bytes() * u64::from(self.blocks - self.streamed)
    }

    /// Bytes of what is kept of the pair's rows between launches.
    pub fn rows(&self) -> u64 {
        self.row_numbers() * u64::from(self.size)
    }

    /// Bytes of a pair's room: arrivals, what CTAs report, numbers of the columns, shares of their sums.
    pub fn room(&self) -> u64 {
        let (size, row) = (u64::from(self.size), u64::from(self.panels * PANEL) * 4);
        let reports = (16 * size).next_multiple_of(ALIGNMENT);
        ALIGNMENT + reports + row * (5 + size * u64::from(self.parts()))
    }

    /// Bytes of the pair's kernel.
    pub fn kernel(&self) -> u64 {
        self.block_bytes() * u64::from(self.blocks) * u64::from(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Card = Card { ctas: 132, shared: 232_448 };
    const A100: Card = Card { ctas: 108, shared: 166_912 };

    #[test]
    fn a_pair_takes_as_many_ctas_as_hold_its_kernel() {
        for (n, m, size) in [(1, 2000, 1), (130, 600, 2), (513, 129, 3), (700, 700, 11)] {
            for card in [H200, A100] {
                let shape = Shape::new(n, m, card).unwrap();
                assert_eq!(shape.streamed, 0, "{n} {m}");
                assert!(shape.shared() <= card.shared, "{shape:?}");
                assert!(shape.size * shape.parts() * shape.blocks * ROWS >= n, "{shape:?}");
            }
            assert_eq!(Shape::new(n, m, H200).unwrap().size, size, "{n} {m}");
        }
    }

    #[test]
    fn what_no_card_holds_is_streamed() {
        let shape = Shape::new(4096, 4096, H200).unwrap();
        let Shape { size, wide, blocks, streamed, panels } = shape;
        assert_eq!((size, wide, blocks, streamed, panels), (132, 4, 8, 5, 32));
        assert_eq!(shape.shared(), 10880 + 512 + 3 * 65536);
        assert_eq!(shape.kernel(), 132 * 8 * 65536);
        let shape = Shape::new(4096, 4096, A100).unwrap();
        assert_eq!((shape.size, shape.blocks, shape.streamed), (108, 10, 8));
    }

    #[test]
    fn what_cannot_be_cut_is_left_to_others() {
        for (n, m) in [(0, 5), (5, 0), (5, 4097), (1 << 24, 129)] {
            assert_eq!(Shape::new(n, m, H200), None, "{n} {m}");
        }
        assert_eq!(Shape::new(5, 5, Card { shared: 8192, ..H200 }), None);
    }
}
