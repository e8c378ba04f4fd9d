//! Which kernel computes the costs of a batch of bf16 points: tiles of pairs, or of whole clouds.
//!
//! Times are predictions in the time of a tile of 64 x 64 of a pair. Large tiles read less of their points
//! again and keep tensor cores busier, but a small batch does not fill the SMs with them, so whole turns
//! of the SMs are compared.

use super::product::{TileSize, tile_count};
use crate::device::layout::Layout;

/// Elements of `D` that the copy engine brings at once.
pub(super) const CHUNK: u32 = 64;

/// A kernel for products of whole clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProductKernel {
    /// `mma.sync`, on every card.
    Mma,
    /// `wgmma`, on Hopper.
    Wgmma,
    /// The same with a cluster of so many CTAs a tile, which share `D`.
    Split { ctas: u32 },
}

/// What matters of a card.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    /// Compute capability 9.0.
    pub is_hopper: bool,
    pub sms: usize,
}

/// CTAs that may share a tile, and what it takes them to put its parts together.
const SPLITS: [u32; 2] = [2, 4];
const SPLIT_TIME: f64 = 0.5;
/// Chunks of `D` that a CTA has at least when it shares a tile.
const LEAST_CHUNKS: usize = 4;

impl ProductKernel {
    pub fn tile(self) -> TileSize {
        match self {
            Self::Mma => TileSize { rows: 128, columns: 128 },
            Self::Wgmma | Self::Split { .. } => TileSize { rows: 128, columns: 256 },
        }
    }

    /// Time of so many tiles on so many SMs.
    fn time(self, tiles: usize, sms: usize) -> f64 {
        match self {
            // 4 times the products for twice the bytes of a tile of 64 x 64, which is bound by bytes.
            Self::Mma => turns(tiles, sms) * 2.5,
            // 8 times the products, predicted to be three times as fast.
            Self::Wgmma => turns(tiles, sms) * 8.0 / 3.0,
            Self::Split { ctas } => {
                let turns = turns(tiles * ctas as usize, sms);
                turns * 8.0 / 3.0 / f64::from(ctas) + SPLIT_TIME
            }
        }
    }
}

/// The kernel for each chunk where products of whole clouds are sooner done than those of pairs.
pub(super) fn choose(card: Card, width: usize, layout: &Layout) -> Option<Vec<ProductKernel>> {
    let chunks = &layout.chunks;
    let choices: Vec<_> = chunks
        .iter()
        .map(|chunk| fastest(card, width, |size| tile_count(layout, chunk, size)))
        .collect();
    let of_pairs: f64 = chunks.iter().map(|chunk| turns(layout.tile_count(chunk), card.sms)).sum();
    let of_clouds: f64 = choices.iter().map(|(_, time)| time).sum();
    let pays = !chunks.is_empty() && of_clouds <= of_pairs;
    pays.then(|| choices.into_iter().map(|(kernel, _)| kernel).collect())
}

/// The fastest kernel for as many tiles as there are of its size, and its time.
fn fastest(card: Card, width: usize, tiles: impl Fn(TileSize) -> usize) -> (ProductKernel, f64) {
    let timed = |kernel: ProductKernel| (kernel, kernel.time(tiles(kernel.tile()), card.sms));
    if !card.is_hopper {
        return timed(ProductKernel::Mma);
    }
    let (count, chunks) = (tiles(ProductKernel::Wgmma.tile()), width.div_ceil(CHUNK as usize));
    let fits = |ctas: &u32| {
        let ctas = *ctas as usize;
        chunks >= LEAST_CHUNKS * ctas && count * ctas <= card.sms
    };
    let splits = SPLITS.into_iter().filter(fits).map(|ctas| timed(ProductKernel::Split { ctas }));
    let whole = timed(ProductKernel::Wgmma);
    splits.fold(whole, |best, next| if next.1 < best.1 { next } else { best })
}

/// How often all SMs take a tile.
fn turns(tiles: usize, sms: usize) -> f64 {
    tiles.div_ceil(sms.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinkhorn::Pairing;

    const H200: Card = Card { is_hopper: true, sms: 132 };
    const A100: Card = Card { is_hopper: false, sms: 108 };

    fn choice(
        card: Card,
        (items, n): (usize, usize),
        (others, m): (usize, usize),
        width: usize,
        pairing: Pairing,
    ) -> Option<ProductKernel> {
        let offsets = |items: usize, n: usize| (0..=items).map(|k| k * n).collect::<Vec<_>>();
        let (x, y) = (offsets(items, n), offsets(others, m));
        choose(card, width, &Layout::new("test", &x, &y, pairing).unwrap())
            .map(|kernels| kernels[0])
    }

    #[test]
    fn whole_clouds_are_for_batches_that_fill_their_tiles() {
        use Pairing::{AllPairs, Paired};
        use ProductKernel::{Mma, Split, Wgmma};
        // A batch of 64 texts and utterances, all pairs; one of 10, which fills a quarter of the SMs.
        assert_eq!(choice(H200, (64, 64), (64, 256), 1024, AllPairs), Some(Wgmma));
        assert_eq!(choice(A100, (64, 64), (64, 256), 1024, AllPairs), Some(Mma));
        assert_eq!(choice(H200, (10, 48), (10, 160), 4096, AllPairs), Some(Split { ctas: 4 }));
        assert_eq!(choice(H200, (10, 48), (10, 160), 256, AllPairs), Some(Wgmma));
        assert_eq!(choice(A100, (10, 48), (10, 160), 4096, AllPairs), Some(Mma));
        // The same one by one, and points of few elements.
        assert_eq!(choice(H200, (10, 48), (10, 160), 256, Paired), None);
        assert_eq!(choice(H200, (1, 64), (1, 64), 64, Paired), None);
        assert_eq!(choice(A100, (10, 48), (10, 160), 4096, Paired), None);
        // Large pairs fill tiles by themselves.
        assert_eq!(choice(H200, (64, 512), (64, 512), 64, Paired), Some(Wgmma));
        // Nothing at all.
        assert_eq!(choice(H200, (0, 1), (5, 1), 64, AllPairs), None);
    }
}
