//! The lists that the cost kernels go by, and the choice between tiles of pairs and of whole clouds.

use super::product::{ProductLists, TileSize, columns, tile_count};
use crate::device::form::Form;
use crate::device::layout::Layout;
use crate::device::parcel::{Parcel, Place};
use crate::device::session::Session;

/// Tiles of the product of whole clouds.
pub(super) const PRODUCT_TILE: TileSize = TileSize { rows: 128, columns: 256 };
/// What a tile of the product takes, in tiles of 64 x 64 of a pair: it has 8 times their products, and
/// `wgmma` on whole tiles is predicted to be three times as fast as `mma.sync` on small ones.
const PRODUCT_TILE_TIME: f64 = 8.0 / 3.0;

/// The lists of all chunks of a layout.
pub(in crate::device) struct Lists {
    pub pairs: Place,
    pub(super) chunks: Vec<Tiles>,
}

/// The tiles of a chunk.
pub(super) enum Tiles {
    /// Of each pair by itself.
    OfPairs { tiles: Place, count: u32 },
    /// Of whole clouds.
    OfClouds(CloudTiles),
}

pub(super) struct CloudTiles {
    pub tiles: Place,
    pub count: u32,
    pub rows: Place,
    pub columns: Place,
    pub first_row: u32,
}

impl Lists {
    /// The lists for the session's device and form of clouds.
    pub fn put(session: &Session<'_>, layout: &Layout, parcel: &mut Parcel) -> Self {
        let facts = session.stream.device().facts();
        let capability = facts.compute_capability;
        // Pairs chosen from a batch fill tiles of whole clouds with holes.
        let has_product = (capability.major, capability.minor) == (9, 0) && layout.is_whole;
        let pays = || {
            let of_pairs = layout.chunks.iter().map(|chunk| layout.tile_count(chunk)).sum();
            let of_product =
                layout.chunks.iter().map(|chunk| tile_count(layout, chunk, PRODUCT_TILE)).sum();
            product_pays(of_pairs, of_product, facts.sm_count as usize)
        };
        Self::cut(has_product && session.form == Form::BF16 && pays(), layout, parcel)
    }

    /// The lists of tiles of whole clouds, or of pairs.
    pub(super) fn cut(whole: bool, layout: &Layout, parcel: &mut Parcel) -> Self {
        // More tiles than a grid can have are refused by the launch.
        let count = |tiles: &[[u32; 4]]| u32::try_from(tiles.len()).unwrap_or(u32::MAX);
        let pairs = parcel.put(&layout.pairs);
        let chunks = if whole {
            let columns = parcel.put(&columns(layout));
            let lists = |chunk| {
                let lists = ProductLists::new(layout, chunk, PRODUCT_TILE);
                Tiles::OfClouds(CloudTiles {
                    count: count(&lists.tiles),
                    tiles: parcel.put(&lists.tiles),
                    rows: parcel.put(&lists.rows),
                    columns,
                    first_row: lists.first_row,
                })
            };
            layout.chunks.iter().map(lists).collect()
        } else {
            let tiles = |chunk| {
                let tiles = layout.tiles(chunk);
                Tiles::OfPairs { count: count(&tiles), tiles: parcel.put(&tiles) }
            };
            layout.chunks.iter().map(tiles).collect()
        };
        Self { pairs, chunks }
    }
}

/// Whether so many tiles of the product are done sooner than so many of pairs: whole turns of the SMs
/// count, since a small batch does not fill them with large tiles.
fn product_pays(of_pairs: usize, of_product: usize, sms: usize) -> bool {
    let turns = |tiles: usize| tiles.div_ceil(sms.max(1)) as f64;
    of_product > 0 && turns(of_product) * PRODUCT_TILE_TIME <= turns(of_pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_for_batches_that_fill_its_tiles() {
        // 100 pairs of 48 x 160, and 4096 of 64 x 256, all pairs, on 132 SMs.
        assert!(product_pays(300, 4 * 7, 132));
        assert!(product_pays(4096 * 4, 32 * 64, 132));
        // The same pairs one by one, and a single small pair.
        assert!(!product_pays(10 * 3, 10, 132));
        assert!(!product_pays(64 * 4, 64, 132));
        assert!(!product_pays(1, 1, 132));
        // No chunk, no tile.
        assert!(!product_pays(0, 0, 132));
        // Large pairs fill tiles by themselves.
        assert!(product_pays(64 * 64, 32 * 16, 132));
    }
}
