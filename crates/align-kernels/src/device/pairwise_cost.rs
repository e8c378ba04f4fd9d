//! Costs of every pair, on the device.

use gpu_runtime::{DeviceBuffer, Launch, args};

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
    tiles: Place,
    tile_count: u32,
}

impl Lists {
    pub fn put(layout: &Layout, parcel: &mut Parcel) -> Self {
        let tiles = layout.tiles();
        // More tiles than a grid can have are refused by the launch.
        let tile_count = u32::try_from(tiles.len()).unwrap_or(u32::MAX);
        Self { pairs: parcel.put(&layout.pairs), tiles: parcel.put(&tiles), tile_count }
    }
}

/// Packed costs of all pairs.
pub(super) fn costs(
    session: &Session<'_>,
    clouds: &Clouds<'_>,
    cost: Cost,
    layout: &Layout,
    delivered: &Delivered,
    lists: &Lists,
) -> Result<DeviceBuffer<f32>> {
    let (x, y) = (&clouds.x, &clouds.y);
    let kind = match cost {
        Cost::SqEuclidean => 0u32,
        Cost::Cosine => 1,
        Cost::Euclidean => 2,
    };
    let norms = |rows: &Rows<'_>| norms(session, clouds, rows, u32::from(cost == Cost::Cosine));
    let (x_norms, y_norms) = (norms(x)?, norms(y)?);
    let (variant, threads) = match clouds.form {
        Form::F32 => (&COST_F32, 256),
        Form::BF16 => (&COST_BF16, 128),
    };
    let mut out = session.room(layout.costs())?;
    let kernel = session.kernel(variant)?;
    let launch = Launch::linear(lists.tile_count, threads);
    let args = args![
        &mut out,
        x.at(),
        y.at(),
        &x_norms,
        &y_norms,
        delivered.at(lists.pairs),
        delivered.at(lists.tiles),
        clouds.width,
        x.stride,
        y.stride,
        kind,
    ];
    // SAFETY: `out` holds the costs of all pairs of the layout, whose rows lie in both clouds; each cloud
    // has a norm a row; the tiles are those of the pairs.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}

/// Half squared norms (kind 0) or inverse lengths (kind 1).
fn norms(
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
