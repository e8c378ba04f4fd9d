//! Which kernel a product takes, and how its terms are cut.
//!
//! Both follow from extents, types and addresses alone, not from the device's size: a product has
//! the same bits on every card that takes the same kernel.

use crate::registry::{MMA_BF16, MMA_TF32, TILE_BF16, TILE_F32, Variant, WGMMA_BF16, WIDE_F32};

/// CTAs that a product should have, so that most of a card is at work.
const CTAS: usize = 128;
/// Terms of a split, at least: fewer are not worth the second pass.
const LEAST_DEPTH: usize = 512;
/// The smaller extent of an output up to which small tiles are filled better.
const SMALL: usize = 64;

/// A kernel of products and the shape of its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    pub variant: Variant,
    /// Rows and columns of a tile.
    pub tile: [usize; 2],
    /// Terms of a chunk.
    pub chunk: usize,
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Whether it can write bf16.
    pub narrows: bool,
}

const SMALL_F32: Rung =
    Rung { variant: TILE_F32, tile: [64, 64], chunk: 16, threads: 256, shared: 0, narrows: true };
const LARGE_F32: Rung =
    Rung { variant: WIDE_F32, tile: [128, 128], chunk: 16, threads: 256, shared: 0, narrows: true };
const ROUNDED_F32: Rung = Rung {
    variant: MMA_TF32,
    tile: [128, 128],
    chunk: 16,
    threads: 128,
    shared: 65536,
    narrows: false,
};
const ANY_BF16: Rung =
    Rung { variant: TILE_BF16, tile: [64, 64], chunk: 32, threads: 128, shared: 0, narrows: true };
const ALIGNED_BF16: Rung = Rung {
    variant: MMA_BF16,
    tile: [128, 128],
    chunk: 32,
    threads: 128,
    shared: 65536,
    narrows: true,
};
/// On Hopper alone: operands come by tensor maps.
pub(crate) const MAPPED_BF16: Rung = Rung {
    variant: WGMMA_BF16,
    tile: [128, 256],
    chunk: 64,
    threads: 384,
    shared: 231_488,
    narrows: true,
};

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// `m, n, k`.
    pub extents: [usize; 3],
    pub items: usize,
    /// Whether the operands are bf16.
    pub is_bf16: bool,
    /// Whether f32 operands may be rounded to TF32.
    pub may_round: bool,
    /// Whether every row of both operands starts at a multiple of 16 bytes.
    pub is_aligned: bool,
    /// Whether both operands are stored as their transposes.
    pub both_turned: bool,
    /// Whether the device runs what is made for compute capability 9.0.
    pub is_hopper: bool,
}

impl Wish {
    /// The fastest kernel that takes the product.
    pub fn rung(&self) -> &'static Rung {
        let [m, n, k] = self.extents;
        let [rows, columns] = MAPPED_BF16.tile;
        let is_mapped = self.is_hopper && !self.both_turned && k > 0;
        match (self.is_bf16, self.is_aligned) {
            // Half a tile at least in both directions.
            (true, true) if is_mapped && 2 * m > rows && 2 * n > columns => &MAPPED_BF16,
            (true, true) => &ALIGNED_BF16,
            (true, false) => &ANY_BF16,
            (false, true) if self.may_round => &ROUNDED_F32,
            (false, _) if m.min(n) <= SMALL => &SMALL_F32,
            (false, _) => &LARGE_F32,
        }
    }

    /// Splits of the terms, and terms of each. One split where there is work enough without.
    pub fn splits(&self, rung: &Rung) -> (usize, usize) {
        let [m, n, k] = self.extents;
        // Extents are below 2^30.
        let [rows, columns] = rung.tile;
        let tiles = (m.div_ceil(rows) * n.div_ceil(columns)).saturating_mul(self.items);
        let splits = (CTAS / tiles.max(1)).min(k / LEAST_DEPTH);
        if splits < 2 {
            return (1, k);
        }
        let depth = k.div_ceil(splits).next_multiple_of(rung.chunk);
        (k.div_ceil(depth), depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(extents: [usize; 3]) -> Wish {
        Wish {
            extents,
            items: 1,
            is_bf16: false,
            may_round: false,
            is_aligned: true,
            both_turned: false,
            is_hopper: false,
        }
    }

    #[test]
    fn the_kernel_follows_type_alignment_and_size() {
        let name = |wish: Wish| wish.rung().variant.name;
        let large = wish([65, 65, 8]);
        assert_eq!(name(large), "matmul_v2_tile_f32");
        assert_eq!(name(Wish { is_aligned: false, ..large }), "matmul_v2_tile_f32");
        assert_eq!(name(wish([64, 4096, 8])), "matmul_v1_tile_f32");
        assert_eq!(name(Wish { may_round: true, ..large }), "matmul_v2_mma_tf32");
        let odd = Wish { may_round: true, is_aligned: false, ..large };
        assert_eq!(name(odd), "matmul_v2_tile_f32", "exact where TF32 cannot be");
        let half = Wish { is_bf16: true, ..large };
        assert_eq!(name(half), "matmul_v2_mma_bf16");
        assert_eq!(name(Wish { is_aligned: false, ..half }), "matmul_v1_mma_bf16");
        let hopper = Wish { is_hopper: true, extents: [65, 129, 1], ..half };
        assert_eq!(name(hopper), "matmul_v3_wgmma_bf16");
        for other in [
            Wish { both_turned: true, ..hopper },
            Wish { extents: [64, 129, 1], ..hopper },
            Wish { extents: [65, 128, 1], ..hopper },
            Wish { extents: [65, 129, 0], ..hopper },
        ] {
            assert_eq!(name(other), "matmul_v2_mma_bf16");
        }
    }

    #[test]
    fn terms_are_split_where_tiles_are_few_and_terms_many() {
        let splits = |wish: Wish| wish.splits(&ALIGNED_BF16);
        assert_eq!(splits(wish([128, 128, 8192])), (16, 512));
        assert_eq!(splits(wish([129, 128, 100_000])), (64, 1568), "two tiles");
        assert_eq!(splits(wish([128, 128, 1023])), (1, 1023), "too few terms");
        assert_eq!(splits(wish([2048, 1024, 65536])), (1, 65536), "tiles enough");
        assert_eq!(splits(Wish { items: 128, ..wish([9, 9, 65536]) }), (1, 65536));
        assert_eq!(splits(wish([1, 1, 0])), (1, 0));
    }

    #[test]
    fn splits_cover_the_terms_once() {
        for k in [1024, 1025, 5000, 65537, 1 << 20] {
            let (splits, depth) = wish([200, 100, k]).splits(&LARGE_F32);
            assert!(splits > 1 && depth.is_multiple_of(16));
            assert!(splits * depth >= k && (splits - 1) * depth < k, "{k}: {splits} x {depth}");
        }
    }
}
