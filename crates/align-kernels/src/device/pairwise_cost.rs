//! Costs of every pair, on the device.
//!
//! `choice` says how a batch is cut: into tiles of pairs, or of whole clouds as one product. `lists` makes
//! the lists that kernels go by, with those of `product` for whole clouds.

mod choice;
mod lists;
mod product;

use gpu_runtime::{Arg, DeviceBuffer, Launch, Swizzle, TensorMap, Tiled, args};
use half::bf16;

use self::choice::{CHUNK, ProductKernel};
use self::lists::{CloudTiles, Tiles};
use super::Gpu;
use super::clouds::{Clouds, Rows};
use super::form::Form;
use super::layout::Layout;
use super::parcel::{Delivered, Parcel};
use super::session::Session;
use crate::error::Result;
use crate::pairwise_cost::Costs;
use crate::ragged::Ragged;
use crate::registry::{
    COST_BF16, COST_CLOUDS, COST_F32, COST_SPLIT, COST_TF32, COST_WGMMA, NORMS_BF16, NORMS_F32,
};
use crate::sinkhorn::{Cost, Pairing};

pub(super) use self::lists::Lists;

/// Threads and dynamic shared memory of the products by `wgmma`, with a CTA a tile or with several.
const WGMMA_THREADS: u32 = 384;
const WGMMA_SHARED: u32 = 231_488;
const SPLIT_SHARED: u32 = 196_672;

/// Costs of checked clouds.
pub(super) fn run(
    x: &Ragged<'_, Gpu>,
    y: &Ragged<'_, Gpu>,
    cost: Cost,
    pairing: Pairing,
) -> Result<Costs<DeviceBuffer<f32>>> {
    let session = Session::begin("pairwise_cost", x.points(), y.points())?;
    let layout = Layout::new(session.op, x.offsets(), y.offsets(), pairing)?;
    let mut parcel = Parcel::default();
    let lists = Lists::put(&session, &layout, &mut parcel);
    let values = session.finish(|| {
        let delivered = parcel.send(&session)?;
        let clouds = Clouds::for_costs(&session, x.points(), y.points())?;
        costs(&session, &clouds, cost, &layout, &delivered, &lists)
    })?;
    Ok(Costs { values, starts: layout.cost_starts })
}

/// Costs of all pairs of a layout in one chunk.
pub(super) fn costs(
    session: &Session<'_>,
    clouds: &Clouds<'_>,
    cost: Cost,
    layout: &Layout,
    delivered: &Delivered,
    lists: &Lists,
) -> Result<DeviceBuffer<f32>> {
    let mut out = session.room(layout.most_costs())?;
    let products = Products::new(session, clouds, cost)?;
    for chunk in 0..layout.chunks.len() {
        products.write(session, layout, delivered, lists, chunk, &mut out)?;
    }
    Ok(out)
}

/// Two clouds with their norms, ready for the costs of any chunk.
pub(super) struct Products<'a> {
    clouds: &'a Clouds<'a>,
    x_norms: DeviceBuffer<f32>,
    y_norms: DeviceBuffer<f32>,
    kind: u32,
}

impl<'a> Products<'a> {
    pub fn new(session: &Session<'_>, clouds: &'a Clouds<'a>, cost: Cost) -> Result<Self> {
        let norms = |rows: &Rows<'_>| norms(session, clouds, rows, u32::from(cost == Cost::Cosine));
        let kind = match cost {
            Cost::SqEuclidean => 0,
            Cost::Cosine => 1,
            Cost::Euclidean => 2,
        };
        Ok(Self { clouds, x_norms: norms(&clouds.x)?, y_norms: norms(&clouds.y)?, kind })
    }

    /// Puts the costs of a chunk on the session's stream. `out` has room for them.
    pub fn write(
        &self,
        session: &Session<'_>,
        layout: &Layout,
        delivered: &Delivered,
        lists: &Lists,
        chunk: usize,
        out: &mut DeviceBuffer<f32>,
    ) -> Result<()> {
        assert!(layout.chunks[chunk].costs <= out.len(), "costs of a chunk have their room");
        match &lists.chunks[chunk] {
            Tiles::OfPairs { tiles, count } => {
                let tiles = delivered.at(*tiles);
                self.of_pairs(session, layout, delivered.at(lists.pairs), (tiles, *count), out)
            }
            Tiles::OfClouds(lists) => self.of_clouds(session, delivered, lists, out),
        }
    }

    fn of_pairs(
        &self,
        session: &Session<'_>,
        layout: &Layout,
        pairs: Arg<'_>,
        (tiles, count): (Arg<'_>, u32),
        out: &mut DeviceBuffer<f32>,
    ) -> Result<()> {
        let (variant, threads) = match (self.clouds.form, self.clouds.is_rounded) {
            (Form::F32, false) => (&COST_F32, 256),
            (Form::F32, true) => (&COST_TF32, 128),
            (Form::BF16, _) => (&COST_BF16, 128),
        };
        let (x, y) = (&self.clouds.x, &self.clouds.y);
        let args = args![
            out,
            x.at(),
            y.at(),
            &self.x_norms,
            &self.y_norms,
            pairs,
            tiles,
            self.clouds.width,
            x.stride,
            y.stride,
            self.kind,
            layout.pad,
        ];
        let kernel = session.kernel(variant)?;
        // SAFETY: `out` holds the costs of the chunk, whose pairs are rows of both clouds; each cloud has
        // a norm a row; the tiles are those of the chunk's pairs.
        unsafe { session.launch(&kernel, Launch::linear(count, threads), args) }
    }

    fn of_clouds(
        &self,
        session: &Session<'_>,
        delivered: &Delivered,
        lists: &CloudTiles,
        out: &mut DeviceBuffer<f32>,
    ) -> Result<()> {
        if lists.count == 0 {
            return Ok(());
        }
        let x_norms = session.gpu(self.x_norms.slice(lists.first_row as usize..))?;
        let places = args![
            out,
            x_norms,
            &self.y_norms,
            delivered.at(lists.rows),
            delivered.at(lists.columns),
            delivered.at(lists.tiles),
        ];
        let (x, y, width) = (&self.clouds.x, &self.clouds.y, self.clouds.width);
        let numbers = args![lists.first_row, self.kind, u32::from(self.clouds.is_one)];
        if lists.kernel == ProductKernel::Mma {
            let clouds = args![x.at(), y.at(), width, x.stride, y.stride];
            let launch = Launch::linear(lists.count, 256);
            let kernel = session.kernel(&COST_CLOUDS)?;
            // SAFETY: rows and columns lead to costs of the chunk, which `out` holds; the tiles are of rows
            // of both clouds; each cloud has a norm a row.
            return unsafe { session.launch(&kernel, launch, &[clouds, places, numbers].concat()) };
        }
        let tile = lists.kernel.tile();
        let (x_map, y_map) =
            (self.map(session, x, tile.rows)?, self.map(session, y, tile.columns)?);
        let clouds = args![x_map.arg(), y_map.arg(), width];
        let (variant, launch, count) = match lists.kernel {
            ProductKernel::Split { ctas } => {
                // More CTAs than a grid can have are refused by the launch.
                let launch = Launch::linear(lists.count.saturating_mul(ctas), WGMMA_THREADS);
                (&COST_SPLIT, launch.cluster([ctas, 1, 1]).dynamic_shared(SPLIT_SHARED), None)
            }
            _ => {
                let grid = lists.count.min(session.stream.device().facts().sm_count);
                let launch = Launch::linear(grid, WGMMA_THREADS).dynamic_shared(WGMMA_SHARED);
                (&COST_WGMMA, launch, Some(Arg::from(lists.count)))
            }
        };
        let kernel = session.kernel(variant)?;
        session.gpu(kernel.set_dynamic_shared(launch.dynamic_shared))?;
        let args = [clouds, places, numbers, count.as_slice()].concat();
        // SAFETY: as above; the list of tiles has `count`, or one a cluster.
        unsafe { session.launch(&kernel, launch, &args) }
    }

    /// Rows in boxes of so many, as `wgmma` takes them.
    fn map(&self, session: &Session<'_>, rows: &Rows<'_>, tile_rows: u32) -> Result<TensorMap> {
        let tensor = Tiled {
            address: rows.address(),
            extents: &[self.clouds.width.into(), rows.count.into()],
            strides: &[2 * u64::from(rows.stride)],
            tile: &[CHUNK, tile_rows],
            swizzle: Swizzle::Bytes128,
        };
        session.gpu(TensorMap::tiled::<bf16>(session.stream.device(), &tensor))
    }
}

/// Half squared norms (kind 0) or inverse lengths (kind 1).
pub(super) fn norms(
    session: &Session<'_>,
    clouds: &Clouds<'_>,
    rows: &Rows<'_>,
    kind: u32,
) -> Result<DeviceBuffer<f32>> {
    let mut out = session.room(rows.count as usize)?;
    let kernel = session.kernel(match clouds.form {
        Form::F32 => &NORMS_F32,
        Form::BF16 => &NORMS_BF16,
    })?;
    let launch = Launch::new([rows.count.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![&mut out, rows.at(), rows.count, clouds.width, rows.stride, kind];
    // SAFETY: `out` has a number for each of `count` rows, a stride apart.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}

#[cfg(test)]
mod tests;
