//! The lists that the cost kernels go by.

use super::choice::{Card, ProductKernel, choose};
use super::product::{ProductLists, columns};
use crate::device::form::Form;
use crate::device::layout::Layout;
use crate::device::parcel::{Parcel, Place};
use crate::device::session::Session;

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
    pub kernel: ProductKernel,
}

impl Lists {
    /// The lists for the session's device and form of clouds.
    pub fn put(session: &Session<'_>, layout: &Layout, parcel: &mut Parcel) -> Self {
        let facts = session.stream.device().facts();
        let capability = facts.compute_capability;
        let is_hopper = (capability.major, capability.minor) == (9, 0);
        let card = Card { is_hopper, sms: facts.sm_count as usize };
        let kernels = match session.form {
            // Pairs chosen from a batch fill tiles of whole clouds with holes.
            Form::BF16 if layout.is_whole => choose(card, session.width, layout),
            _ => None,
        };
        Self::cut(kernels.as_deref(), layout, parcel)
    }

    /// The lists of tiles of whole clouds, for a kernel a chunk; or of pairs.
    pub(super) fn cut(
        kernels: Option<&[ProductKernel]>,
        layout: &Layout,
        parcel: &mut Parcel,
    ) -> Self {
        // More tiles than a grid can have are refused by the launch.
        let count = |tiles: &[[u32; 4]]| u32::try_from(tiles.len()).unwrap_or(u32::MAX);
        let pairs = parcel.put(&layout.pairs);
        let chunks = if let Some(kernels) = kernels {
            let columns = parcel.put(&columns(layout));
            let lists = |(chunk, kernel): (_, &ProductKernel)| {
                let lists = ProductLists::new(layout, chunk, kernel.tile());
                Tiles::OfClouds(CloudTiles {
                    count: count(&lists.tiles),
                    tiles: parcel.put(&lists.tiles),
                    rows: parcel.put(&lists.rows),
                    columns,
                    first_row: lists.first_row,
                    kernel: *kernel,
                })
            };
            layout.chunks.iter().zip(kernels).map(lists).collect()
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
