//! The first pass: partial log-sum-exps of blocks of logits, and the normalisers out of them.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::kernels::{Form, THREADS, WIDE_LSE_SHARED, WIDE_THREADS, lse_shared, with_shared};
use super::packed::Batch;
use super::plan::TILE;
use crate::error::Result;
use crate::registry::{INFO_NCE_COMBINE, INFO_NCE_LSE_WGMMA};

/// What slopes need of the normalisers: four f32 an anchor, and two a block of 128 anchors.
pub(super) struct Anchors {
    pub rows: DeviceBuffer<f32>,
    pub columns: DeviceBuffer<f32>,
    pub row_centers: DeviceBuffer<f32>,
    pub col_centers: DeviceBuffer<f32>,
}

/// Normalisers of all anchors.
pub(super) struct Found {
    /// Sum, and maximum with positive: 16 bytes an anchor.
    pub rows: DeviceBuffer<f64>,
    /// Unless rows alone were asked for.
    pub columns: Option<DeviceBuffer<f64>>,
    pub anchors: Anchors,
}

/// Partial sums, and the logits of pairs.
struct Partials {
    rows: DeviceBuffer<f32>,
    columns: DeviceBuffer<f32>,
    positives: DeviceBuffer<f32>,
}

/// The normalisers of rows, and of columns if `both`.
pub(super) fn find<T: Form>(batch: &Batch<'_, '_, T>, both: bool) -> Result<Found> {
    let session = batch.session;
    let partials = sum(batch)?;
    let mut anchors = Anchors::zeros(batch)?;
    let mut rows = session.room(2 * batch.rows as usize)?;
    combine(batch, &partials, false, &mut rows, &mut anchors)?;
    let columns = match both {
        true => {
            let mut columns = session.room(2 * batch.columns as usize)?;
            combine(batch, &partials, true, &mut columns, &mut anchors)?;
            Some(columns)
        }
        false => None,
    };
    Ok(Found { rows, columns, anchors })
}

impl Anchors {
    /// No anchors: a softmax with weight 0 everywhere.
    pub fn zeros<T: Form>(batch: &Batch<'_, '_, T>) -> Result<Self> {
        let room = |count: u32| batch.session.zeros(count as usize);
        // A centre that nothing is far from.
        let no_centers = |count: u32| {
            let centers = [0.0, f32::NEG_INFINITY].repeat((count / TILE) as usize);
            batch.session.send(&centers)
        };
        Ok(Self {
            rows: room(4 * batch.rows)?,
            columns: room(4 * batch.columns)?,
            row_centers: no_centers(batch.rows)?,
            col_centers: no_centers(batch.columns)?,
        })
    }
}

/// All logits, once.
fn sum<T: Form>(batch: &Batch<'_, '_, T>) -> Result<Partials> {
    let (session, lists, shape) = (batch.session, &batch.lists, batch.shape);
    let mut partials = Partials {
        rows: session.room(2 * batch.row_parts as usize)?,
        columns: session.room(2 * batch.col_parts as usize)?,
        positives: session.room(batch.rows as usize)?,
    };
    // Blocks whose sums are too small for one exponential a logit are done again, with two.
    let mut flags: Option<DeviceBuffer<u32>> = match batch.cut.is_wide {
        true => Some(session.room(lists.block_count as usize)?),
        false => None,
    };
    if let Some(flags) = &mut flags {
        let kernel = with_shared(session, &INFO_NCE_LSE_WGMMA, WIDE_LSE_SHARED)?;
        let launch = Launch::linear(lists.block_count, WIDE_THREADS);
        let args = args![
            &mut partials.rows,
            &mut partials.columns,
            &mut partials.positives,
            flags,
            &batch.row_sides,
            &batch.col_sides,
            batch.list(lists.column_of),
            batch.list(lists.layers),
            batch.list(lists.blocks),
            shape.rows,
            shape.columns,
        ];
        // SAFETY: as below; a flag a block, and every layer has images.
        unsafe { session.launch(&kernel, launch.dynamic_shared(WIDE_LSE_SHARED), args)? };
    }
    let shared = lse_shared(shape.rows + shape.columns);
    let kernel = with_shared(session, T::LSE, shared)?;
    let launch = Launch::linear(lists.block_count, THREADS).dynamic_shared(shared);
    let args = args![
        &mut partials.rows,
        &mut partials.columns,
        &mut partials.positives,
        &batch.row_sides,
        &batch.col_sides,
        batch.list(lists.column_of),
        batch.list(lists.layers),
        batch.list(lists.blocks),
        flags.as_ref().map_or(Arg::address(0), Arg::from),
        shape.rows,
        shape.columns,
    ];
    // SAFETY: the blocks lie in the layers, whose points are padded to whole tiles; the partials have
    // room for every block, and each row has a positive.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(partials)
}

/// Partials of one side to its normalisers.
fn combine<T: Form>(
    batch: &Batch<'_, '_, T>,
    partials: &Partials,
    is_columns: bool,
    found: &mut DeviceBuffer<f64>,
    anchors: &mut Anchors,
) -> Result<()> {
    let (session, lists) = (batch.session, &batch.lists);
    let (records, centers, parts, partner, blocks, count, extent) = match is_columns {
        false => (
            Arg::from(&mut anchors.rows),
            Arg::from(&mut anchors.row_centers),
            &partials.rows,
            lists.column_of,
            lists.row_blocks,
            lists.row_block_count,
            batch.shape.columns,
        ),
        true => (
            Arg::from(&mut anchors.columns),
            Arg::from(&mut anchors.col_centers),
            &partials.columns,
            lists.row_of,
            lists.col_blocks,
            lists.col_block_count,
            batch.shape.rows,
        ),
    };
    let kernel = session.kernel(&INFO_NCE_COMBINE)?;
    let args = args![
        found,
        records,
        centers,
        parts,
        batch.list(partner),
        &partials.positives,
        batch.list(lists.shares),
        batch.list(lists.layers),
        batch.list(blocks),
        extent,
        u32::from(is_columns),
    ];
    // SAFETY: every anchor has a record, and every block of 128 a centre; `extent` is that of the blocks
    // which wrote the partials.
    unsafe { session.launch(&kernel, Launch::linear(count, TILE), args) }
}
