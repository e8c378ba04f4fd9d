//! Costs of every pair, on the device.

use gpu_runtime::{DeviceBuffer, Kernel, Launch, args};

use super::Gpu;
use super::clouds::{Clouds, Form, Rows};
use super::layout::Layout;
use super::parcel::{Delivered, Parcel, Place};
use super::session::Session;
use crate::error::Result;
use crate::pairwise_cost::Costs;
use crate::ragged::Ragged;
use crate::registry::{COST_BF16, COST_F32, NORMS_BF16, NORMS_F32};
use crate::sinkhorn::{Cost, Pairing};

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
    let lists = Lists::put(&layout, &mut parcel);
    let values = session.finish(|| {
        let delivered = parcel.send(&session)?;
        let clouds = Clouds::compact(&session, x.points(), y.points())?;
        costs(&session, &clouds, cost, &layout, &delivered, &lists)
    })?;
    Ok(Costs { values, starts: layout.cost_starts })
}

/// The lists that the cost kernels go by.
pub(super) struct Lists {
    pub pairs: Place,
    /// Where the tiles of each chunk are, and how many.
    tiles: Vec<(Place, u32)>,
}

impl Lists {
    pub fn put(layout: &Layout, parcel: &mut Parcel) -> Self {
        let tiles = |chunk| {
            let tiles = layout.tiles(chunk);
            // More tiles than a grid can have are refused by the launch.
            (parcel.put(&tiles), u32::try_from(tiles.len()).unwrap_or(u32::MAX))
        };
        Self { tiles: layout.chunks.iter().map(tiles).collect(), pairs: parcel.put(&layout.pairs) }
    }
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
    kernel: Kernel,
    threads: u32,
    kind: u32,
}

impl<'a> Products<'a> {
    pub fn new(session: &Session<'_>, clouds: &'a Clouds<'a>, cost: Cost) -> Result<Self> {
        let norms = |rows: &Rows<'_>| norms(session, clouds, rows, u32::from(cost == Cost::Cosine));
        let (variant, threads) = match clouds.form {
            Form::F32 => (&COST_F32, 256),
            Form::BF16 => (&COST_BF16, 128),
        };
        Ok(Self {
            clouds,
            x_norms: norms(&clouds.x)?,
            y_norms: norms(&clouds.y)?,
            kernel: session.kernel(variant)?,
            threads,
            kind: match cost {
                Cost::SqEuclidean => 0,
                Cost::Cosine => 1,
                Cost::Euclidean => 2,
            },
        })
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
        let (tiles, count) = lists.tiles[chunk];
        let (x, y) = (&self.clouds.x, &self.clouds.y);
        let args = args![
            out,
            x.at(),
            y.at(),
            &self.x_norms,
            &self.y_norms,
            delivered.at(lists.pairs),
            delivered.at(tiles),
            self.clouds.width,
            x.stride,
            y.stride,
            self.kind,
            layout.pad,
        ];
        // SAFETY: `out` holds the costs of the chunk, whose pairs are rows of both clouds; each cloud has
        // a norm a row; the tiles are those of the chunk's pairs.
        unsafe { session.launch(&self.kernel, Launch::linear(count, self.threads), args) }
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
