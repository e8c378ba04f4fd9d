//! The second pass: slopes of a window of rows, and what they do to the points.

use gpu_math::{Matrix, MatrixMut, Products, Scale, matmul};
use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::index::Kept;
use super::kernels::{Form, SLOPES_SHARED, THREADS, WIDE_SLOPES_SHARED, WIDE_THREADS, with_shared};
use super::normalisers::Anchors;
use super::packed::{Batch, Layer};
use super::plan::{TILE, Window, pitch};
use crate::error::Result;
use crate::registry::{INFO_NCE_FINISH, INFO_NCE_SLOPES_WGMMA, INFO_NCE_TOTAL};

/// Gradients of a layer by the points that the caller gave.
pub(super) struct Gradients {
    pub x: DeviceBuffer<f32>,
    pub y: DeviceBuffer<f32>,
}

/// Gradients of all layers, and of each the sum of slope times logit.
///
/// With `one_power`, no logit is above the `r` of its row, whatever its anchor: one exponential a slope
/// is enough where the device has a kernel for that.
pub(super) fn of<T: Form>(
    batch: &Batch<'_, '_, T>,
    anchors: &Anchors,
    one_power: bool,
) -> Result<(Vec<Gradients>, DeviceBuffer<f64>)> {
    let (session, wanted) = (batch.session, batch.wanted);
    let mut gradients = Vec::new();
    for layer in &batch.layers {
        let room = |is_wanted: bool, count: u32| {
            session.room(if is_wanted { count as usize * layer.width as usize } else { 0 })
        };
        let (x, y) = (room(wanted.has_x(), layer.n)?, room(wanted.has_y(), layer.m)?);
        gradients.push(Gradients { x, y });
    }
    // Half a pair of tiles may lie past the last column, and is then left alone.
    let mut slots = session.zeros(batch.slots as usize)?;
    let mut slopes: DeviceBuffer<T> = session.room(batch.most_slopes as usize)?;
    let products = Products::new(session.stream.device());
    for (round, windows) in batch.rounds.iter().enumerate() {
        make_slopes(batch, anchors, (round, one_power), &mut slopes, &mut slots)?;
        for window in windows {
            let own = &mut gradients[window.layer];
            multiply(batch, &products, window, &slopes, own)?;
        }
    }
    let mut totals = session.room(batch.layers.len())?;
    let kernel = session.kernel(&INFO_NCE_TOTAL)?;
    let args = args![&mut totals, &slots, batch.list(batch.lists.ranges)];
    // SAFETY: a range of slots and a total a layer.
    unsafe { session.launch(&kernel, Launch::linear(batch.layers.len() as u32, 256), args)? };

    let mut finished = Vec::new();
    for (layer, Gradients { x, y }) in batch.layers.iter().zip(gradients) {
        let (row_lists, col_lists) = batch.sources();
        let index = &layer.task.index;
        let rows = Side {
            points: &layer.x,
            kept: &index.rows,
            count: layer.n,
            records: batch.row_sides.address() + 16 * u64::from(layer.rows_first),
            source: batch.list_from(row_lists, layer.rows_first, 1),
        };
        let columns = Side {
            points: &layer.y,
            kept: &index.columns,
            count: layer.m,
            records: batch.col_sides.address() + 16 * u64::from(layer.cols_first),
            source: batch.list_from(col_lists, layer.cols_first, 1),
        };
        let x = if wanted.has_x() { finish(batch, layer, &rows, x)? } else { x };
        let y = if wanted.has_y() { finish(batch, layer, &columns, y)? } else { y };
        finished.push(Gradients { x, y });
    }
    Ok((finished, totals))
}

/// Slopes of the windows of a round, all layers in one launch.
fn make_slopes<T: Form>(
    batch: &Batch<'_, '_, T>,
    anchors: &Anchors,
    (round, one_power): (usize, bool),
    slopes: &mut DeviceBuffer<T>,
    slots: &mut DeviceBuffer<f32>,
) -> Result<()> {
    let (session, lists, windows) = (batch.session, &batch.lists, &batch.rounds[round]);
    let columns = batch.cut.tiles.columns;
    let tiles = |window: &Window| {
        window.rows.div_ceil(TILE) * batch.layers[window.layer].m.div_ceil(columns)
    };
    let grid = [windows.iter().map(tiles).max().unwrap_or(0), windows.len() as u32, 1];
    // Tiles whose anchors are too far apart for one exponential a slope are done again, with two.
    let mut flags: Option<DeviceBuffer<u32>> = match batch.cut.is_wide && one_power {
        true => Some(session.zeros(grid[0] as usize * windows.len())?),
        false => None,
    };
    if let Some(flags) = &mut flags {
        let kernel = with_shared(session, &INFO_NCE_SLOPES_WGMMA, WIDE_SLOPES_SHARED)?;
        let launch = Launch::new(grid, [WIDE_THREADS, 1, 1]).dynamic_shared(WIDE_SLOPES_SHARED);
        let args = args![
            &mut *slopes,
            &mut *slots,
            flags,
            &anchors.rows,
            &anchors.columns,
            &anchors.row_centers,
            &anchors.col_centers,
            &batch.row_sides,
            &batch.col_sides,
            batch.list(lists.column_of),
            batch.list(lists.layers),
            batch.list(lists.windows[round]),
        ];
        // SAFETY: as below; a flag a CTA, a centre a block of 128, and every layer has images.
        unsafe { session.launch(&kernel, launch, args)? };
    }
    let kernel = with_shared(session, T::SLOPES, SLOPES_SHARED)?;
    let launch = Launch::new(grid, [THREADS, 1, 1]).dynamic_shared(SLOPES_SHARED);
    let args = args![
        slopes,
        slots,
        &anchors.rows,
        &anchors.columns,
        &batch.row_sides,
        &batch.col_sides,
        batch.list(lists.column_of),
        batch.list(lists.layers),
        batch.list(lists.windows[round]),
        flags.as_ref().map_or(Arg::address(0), Arg::from),
        columns,
    ];
    // SAFETY: the slopes have room for the windows of a round, in whole tiles; every packed point has
    // an anchor and a side, and every tile its slots.
    unsafe { session.launch(&kernel, launch, args) }
}

/// `dX = G Y` of the window's rows, and `dY += G' X`, where they are wanted.
fn multiply<T: Form>(
    batch: &Batch<'_, '_, T>,
    products: &Products,
    window: &Window,
    slopes: &DeviceBuffer<T>,
    gradients: &mut Gradients,
) -> Result<()> {
    let (session, layer) = (batch.session, &batch.layers[window.layer]);
    let (rows, first) = (window.rows as usize, window.first as usize);
    let (m, width, stride) = (layer.m as usize, layer.width as usize, layer.pitch as usize);
    let slopes = session.gpu(slopes.slice(window.start as usize..))?;
    let slopes = session.gpu(Matrix::new(slopes, rows, m, pitch(layer.m) as usize))?;
    if batch.wanted.has_x() {
        let y = session.gpu(Matrix::new(&layer.y, m, width, stride))?;
        let out = session.gpu(gradients.x.slice_mut(first * width..))?;
        let out = session.gpu(MatrixMut::new(out, rows, width, width))?;
        session.gpu(matmul(products, session.stream, slopes, y, out, Scale::default()))?;
    }
    if !batch.wanted.has_y() {
        return Ok(());
    }
    let x = session.gpu(layer.x.slice(first * stride..))?;
    let x = session.gpu(Matrix::new(x, rows, width, stride))?;
    let out = session.gpu(MatrixMut::new(&mut gradients.y, m, width, width))?;
    let scale = Scale { alpha: 1.0, beta: f32::from(u8::from(first > 0)) };
    session.gpu(matmul(products, session.stream, slopes.transposed(), x, out, scale))
}

/// What finishing needs of one side.
struct Side<'a, T: Form> {
    points: &'a DeviceBuffer<T>,
    kept: &'a Kept,
    count: u32,
    /// Address of the sides' records.
    records: u64,
    source: Arg<'a>,
}

/// Gradients at the places of the caller's points, of cosines without what only lengthens a point.
fn finish<T: Form>(
    batch: &Batch<'_, '_, T>,
    layer: &Layer<'_, T>,
    side: &Side<'_, T>,
    mut packed: DeviceBuffer<f32>,
) -> Result<DeviceBuffer<f32>> {
    let session = batch.session;
    if side.count == 0 {
        return session.zeros(side.kept.total * layer.width as usize);
    }
    let mut elsewhere = match side.kept.is_whole() {
        true if !batch.cosine => return Ok(packed),
        true => None,
        false => Some(session.zeros(side.kept.total * layer.width as usize)?),
    };
    let kernel = session.kernel(&INFO_NCE_FINISH)?;
    let from = Arg::address(packed.address());
    let args = args![
        elsewhere.as_mut().unwrap_or(&mut packed),
        from,
        side.points,
        Arg::address(side.records),
        side.source,
        side.count,
        layer.width,
        layer.pitch,
        u32::from(T::IS_HALF),
        u32::from(batch.cosine),
    ];
    let launch = Launch::new([side.count.div_ceil(8), 1, 1], [32, 8, 1]);
    // SAFETY: a gradient, a packed point and a record each of `count` points, whose places lie in the
    // output. Where that is the input, every point is at its own place.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(elsewhere.unwrap_or(packed))
}
