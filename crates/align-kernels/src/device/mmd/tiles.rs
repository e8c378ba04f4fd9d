//! Kernels of all pairs: products of a window, then kernel values and weights, then their part of the
//! gradient, and the window is used again.
//!
//! ```text
//! MMD^2  = sum_ij P_ij k(z_i, z_j)
//! grad_i = 2 (sum_j W_ij z_j - z_i sum_j W_ij)      the second sum for distances alone
//! ```
//!
//! Points are followed by a 1, so that the products with them give both sums.

use gpu_math::{Element, Matrix, MatrixMut, Scale, matmul};
use gpu_runtime::{Arg, DeviceBuffer, DeviceSlice, Launch, args};
use half::bf16;

use super::call::{Buffer, Call, Later, narrow};
use super::finish::{Factors, Finish, SPAN};
use super::items::{Item, spans};
use super::means::Means;
use super::stages::Shape;
use super::windows::{BLOCK, Cut, Meeting, WINDOW};
use crate::device::clouds::{Clouds, Form};
use crate::error::Result;
use crate::registry::{MMD_STACK, MMD_WEIGHTS};

/// Bytes of a sector: rows of a stack start at whole ones.
const SECTOR: usize = 32;
/// Rows of a block start at multiples of so many, as sides do.
const ALIGNMENT: usize = 8;

pub(super) fn run<'c>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: Vec<Item>,
    shape: Shape,
    grads: &[Buffer; 2],
) -> Result<Later<'c>> {
    let cut = Cut::new(&items, BLOCK, WINDOW);
    let weights = Weights::new(call, &items, &cut)?;
    let values = match clouds.form {
        Form::F32 => pairs::<f32>(call, clouds, &items, &cut, &shape, &weights, grads)?,
        Form::BF16 => pairs::<bf16>(call, clouds, &items, &cut, &shape, &weights, grads)?,
    };
    Ok(Box::new(move |call| {
        let sums = call.session.fetch(&values)?;
        let mut values: Vec<f64> = items
            .iter()
            .map(|item| match call.is_unbiased() {
                true => 0.0,
                // A point with itself: every exponential is 1.
                false => item.counts().iter().map(|&n| shape.own() / n as f64).sum(),
            })
            .collect();
        for (sum, (stack, weight)) in sums.iter().zip(&weights.of_tiles) {
            values[*stack] += weight * sum;
        }
        Ok(values)
    }))
}

/// What pairs count, on the device and on the host.
struct Weights {
    /// TILE of `mmd_weights_v1_f32.ptx`.
    tiles: DeviceBuffer<[u32; 12]>,
    /// The item of each tile, and the factor of its sum.
    of_tiles: Vec<(usize, f64)>,
}

impl Weights {
    fn new(call: &Call<'_>, items: &[Item], cut: &Cut) -> Result<Self> {
        let own = |n: f64| 1.0 / if call.is_unbiased() { n * (n - 1.0) } else { n * n };
        let mut records = vec![];
        let mut of_tiles = vec![];
        for tile in &cut.tiles {
            let [n, m] = items[tile.stack].counts().map(|count| count as f64);
            let weight = match tile.sides {
                (0, 0) => own(n),
                (1, 1) => own(m),
                _ => -1.0 / (n * m),
            };
            let start = tile.start as u64;
            let flags = u32::from(tile.is_diagonal()) + 2 * u32::from(call.is_unbiased());
            records.push([
                tile.rows.0 as u32,
                tile.rows.1 as u32,
                tile.columns.0 as u32,
                tile.columns.1 as u32,
                start as u32,
                (start >> 32) as u32,
                tile.stride as u32,
                (weight as f32).to_bits(),
                flags,
                0,
                0,
                0,
            ]);
            of_tiles.push((tile.stack, tile.copies * weight));
        }
        Ok(Self { tiles: call.session.send(&records)?, of_tiles })
    }
}

/// Points of all items in stacks, each followed by a 1, with their half squared lengths.
struct Stacked<T: Element> {
    z: DeviceBuffer<T>,
    half_norms: Buffer,
    /// Values from one row to the next.
    pitch: usize,
}

impl<T: Element> Stacked<T> {
    fn new(
        call: &Call<'_>,
        clouds: &Clouds<'_>,
        items: &[Item],
        cut: &Cut,
        centres: Option<&Means>,
    ) -> Result<Self> {
        let session = &call.session;
        let pitch = (call.width + 1).next_multiple_of(SECTOR / size_of::<T>());
        let stacked =
            Self { z: session.room(cut.rows * pitch)?, half_norms: session.room(cut.rows)?, pitch };
        let kernel = session.kernel(&MMD_STACK)?;
        for (side, rows) in [&clouds.x, &clouds.y].into_iter().enumerate() {
            let list = rows_of(items, cut, side);
            let spans = session.send(&list)?;
            let args = args![
                Arg::address(stacked.z.address()),
                Arg::address(stacked.half_norms.address()),
                rows.at(),
                centres.map_or(Arg::address(0), |means| Arg::from(&means.centres)),
                &spans,
                clouds.width,
                rows.stride,
                pitch as u32,
                narrow(clouds.form),
            ];
            let launch = Launch::new([list.len() as u32, 1, 1], [32, 8, 1]);
            // SAFETY: the spans are of rows of this cloud and of their places in the stacks.
            unsafe { session.launch(&kernel, launch, args)? };
        }
        Ok(stacked)
    }

    /// Rows of a block, `columns` values of each.
    fn block(
        &self,
        call: &Call<'_>,
        rows: &std::ops::Range<usize>,
        columns: usize,
    ) -> Result<Matrix<'_, T>> {
        let values =
            call.session.gpu(self.z.slice(rows.start * self.pitch..rows.end * self.pitch))?;
        call.session.gpu(Matrix::new(values, rows.len(), columns, self.pitch))
    }
}

/// Spans from the rows of a side to those of the stacks.
fn rows_of(items: &[Item], cut: &Cut, side: usize) -> Vec<super::items::Span> {
    let of_item = |(k, item): (usize, &Item)| {
        spans(item.points[side].clone(), cut.stacks[k].sides[side].start, 2 * k + side, SPAN)
    };
    items.iter().enumerate().flat_map(of_item).collect()
}

/// All windows, then the gradients; returns a sum of kernel values for each tile.
fn pairs<T: Element>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: &[Item],
    cut: &Cut,
    shape: &Shape,
    weights: &Weights,
    grads: &[Buffer; 2],
) -> Result<DeviceBuffer<f64>> {
    let session = &call.session;
    // Rounded points stay as they are: a shift would round them again.
    let centres = match (shape, clouds.form) {
        (Shape::Distances { .. }, Form::F32) => Some(Means::of(call, clouds, items)?),
        _ => None,
    };
    let stacked = Stacked::<T>::new(call, clouds, items, cut, centres.as_ref())?;
    let values = session.room::<f64>(cut.tiles.len())?;
    let stages = session.send(shape.stages())?;
    let mut sums = session.room::<f32>(cut.rows * stacked.pitch)?;
    let mut products = session.room::<f32>(cut.products)?;
    // f32 weights take the place of products.
    let rounded = match clouds.form {
        Form::F32 => None,
        Form::BF16 => Some(session.room::<T>(cut.products)?),
    };
    let weight_address = rounded.as_ref().map_or(products.address(), DeviceBuffer::address);
    let kernel = session.kernel(&MMD_WEIGHTS)?;
    let mut is_begun = vec![false; cut.rows.div_ceil(ALIGNMENT)];
    for window in &cut.windows {
        for meeting in window {
            multiply(call, &stacked, meeting, &mut products)?;
        }
        let tiles = window[0].tiles.start..window[window.len() - 1].tiles.end;
        let args = args![
            Arg::address(weight_address),
            Arg::address(values.address() + 8 * tiles.start as u64),
            Arg::address(products.address()),
            &stacked.z,
            &stacked.half_norms,
            Arg::address(weights.tiles.address() + 48 * tiles.start as u64),
            &stages,
            clouds.width,
            stacked.pitch as u32,
            narrow(clouds.form),
            shape.kind(),
            shape.count(),
            shape.offset(),
        ];
        // SAFETY: the tiles are those of the window, whose products have their room; the stacks hold their
        // rows; a value is written for each.
        unsafe { session.launch(&kernel, Launch::linear(tiles.len() as u32, 256), args)? };
        for meeting in window {
            let size = meeting.rows.len() * meeting.columns.len();
            let start = weight_address + (meeting.start * size_of::<T>()) as u64;
            // SAFETY: the weights of the meeting, which the kernel before has written.
            let own = unsafe { DeviceSlice::<T>::from_raw(start, size) };
            let stride = meeting.columns.len();
            let own = session.gpu(Matrix::new(own, meeting.rows.len(), stride, stride))?;
            let mut add = |matrix: Matrix<'_, T>, to: &std::ops::Range<usize>, from| {
                let begun = &mut is_begun[to.start / ALIGNMENT];
                let beta = f32::from(u8::from(std::mem::replace(begun, true)));
                let points = stacked.block(call, from, stacked.pitch)?;
                let pitch = stacked.pitch;
                let out = session.gpu(sums.slice_mut(to.start * pitch..to.end * pitch))?;
                let out = session.gpu(MatrixMut::new(out, to.len(), pitch, pitch))?;
                let scale = Scale { alpha: 1.0, beta };
                session.gpu(matmul(&call.products, session.stream, matrix, points, out, scale))
            };
            add(own, &meeting.rows, &meeting.columns)?;
            if meeting.rows != meeting.columns {
                add(own.transposed(), &meeting.columns, &meeting.rows)?;
            }
        }
    }
    finish(call, items, cut, shape, (&stacked, clouds.form), &sums, grads)?;
    Ok(values)
}

/// The products of two blocks.
fn multiply<T: Element>(
    call: &Call<'_>,
    stacked: &Stacked<T>,
    meeting: &Meeting,
    products: &mut Buffer,
) -> Result<()> {
    let session = &call.session;
    let (rows, columns) = (meeting.rows.len(), meeting.columns.len());
    let out = products.slice_mut(meeting.start..meeting.start + rows * columns);
    let out = session.gpu(MatrixMut::new(session.gpu(out)?, rows, columns, columns))?;
    let a = stacked.block(call, &meeting.rows, call.width)?;
    let b = stacked.block(call, &meeting.columns, call.width)?.transposed();
    session.gpu(matmul(&call.products, session.stream, a, b, out, Scale::default()))
}

/// Sums of weighted points to gradients, from the stacks to where the points were.
fn finish<T: Element>(
    call: &Call<'_>,
    items: &[Item],
    cut: &Cut,
    shape: &Shape,
    (stacked, form): (&Stacked<T>, Form),
    sums: &Buffer,
    grads: &[Buffer; 2],
) -> Result<()> {
    let numbered = if shape.kind() == 0 { 0.0 } else { -2.0 };
    let factors = vec![Factors { products: 2.0, numbered, ..Factors::default() }; 2 * items.len()];
    let pitch = stacked.pitch as u32;
    for (side, grad) in grads.iter().enumerate() {
        let finish = Finish {
            products: Some((sums.address(), pitch)),
            points: (Arg::from(&stacked.z), pitch, form),
            // The sum of weights stands behind the sums of points.
            numbers: Some((sums.address() + 4 * call.width as u64, pitch)),
            means: None,
            spans: &rows_of(items, cut, side),
            factors: &factors,
        };
        // SAFETY: the spans are of rows of the stacks and of their points in the gradient.
        unsafe { finish.write(call, grad)? };
    }
    Ok(())
}
