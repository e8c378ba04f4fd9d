//! The polynomial kernel of degree 2 by moments: products of `D` by `D`, whatever the number of points.

use gpu_math::{Element, MatrixMut, Scale, matmul};
use gpu_runtime::{Arg, DeviceBuffer, DeviceSliceMut, Launch, args};
use half::bf16;

use super::call::{Buffer, Call, Later, narrow};
use super::finish::{Factors, Finish, SPAN};
use super::items::{Item, spans};
use super::means::Means;
use crate::device::clouds::{Clouds, Form};
use crate::device::session::extent;
use crate::error::Result;
use crate::registry::MMD_GAP;

/// Elements of a moment matrix that a CTA takes.
const PART: usize = 4096;

pub(super) fn run<'c>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: Vec<Item>,
    offset: f64,
    grads: &mut [Buffer; 2],
) -> Result<Later<'c>> {
    let elements = call.width.saturating_mul(call.width);
    extent(call.session.op, "the squared width", elements, u32::MAX - PART as u32)?;
    let sums = items
        .iter()
        .map(|item| match clouds.form {
            Form::F32 => of_item::<f32>(call, clouds, item, grads),
            Form::BF16 => of_item::<bf16>(call, clouds, item, grads),
        })
        .collect::<Result<Vec<_>>>()?;
    let means = (offset != 0.0).then(|| Means::of(call, clouds, &items)).transpose()?;
    let norms = call.half_norms(clouds)?;
    if means.is_some() || norms.is_some() {
        finish(call, clouds, &items, offset, (means.as_ref(), norms.as_ref()), grads)?;
    }
    Ok(Box::new(move |call| {
        let squares = match &means {
            Some(means) => means.squares(call)?,
            None => vec![[0.0; 3]; items.len()],
        };
        let norms = norms.map(|[x, y]| Ok([call.session.fetch(&x)?, call.session.fetch(&y)?]));
        let norms = norms.transpose()?;
        let of_item = |((item, sums), squares): ((&Item, &DeviceBuffer<[f64; 3]>), &[f64; 3])| {
            let parts = call.session.fetch(sums)?;
            let total = |at: usize| -> f64 {
                let moments: f64 = parts.iter().map(|part| part[at]).sum();
                moments + 2.0 * offset * squares[at]
            };
            let mut value = total(0);
            for (side, norms) in norms.iter().flatten().enumerate() {
                let points = item.points[side].clone();
                let n = points.len() as f64;
                let squares = norms[points].iter().map(|&half| 2.0 * f64::from(half));
                // The offset's own square is in both and cancels.
                let own: f64 = squares.map(|square| square * (square + 2.0 * offset)).sum();
                value += (total(1 + side) - own / n) / (n - 1.0);
            }
            Ok(value)
        };
        items.iter().zip(&sums).zip(&squares).map(of_item).collect()
    }))
}

/// Second moments, their difference and the products with it; returns the sums for the value.
fn of_item<T: Element>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    item: &Item,
    grads: &mut [Buffer; 2],
) -> Result<DeviceBuffer<[f64; 3]>> {
    let (session, width) = (&call.session, call.width);
    let counts = item.counts().map(|count| count as f64);
    let points = |side: usize| {
        let rows = if side == 0 { &clouds.x } else { &clouds.y };
        rows.matrix::<T>(session, item.points[side].clone(), width)
    };
    let square = |values: &mut Buffer, side: usize| {
        let (points, out) = (points(side)?, MatrixMut::new(values, width, width, width));
        let scale = Scale { alpha: (1.0 / counts[side]) as f32, beta: 0.0 };
        let out = session.gpu(out)?;
        session.gpu(matmul(&call.products, session.stream, points.transposed(), points, out, scale))
    };
    let elements = width * width;
    let mut moments = [session.room::<f32>(elements)?, session.room::<f32>(elements)?];
    for (side, values) in moments.iter_mut().enumerate() {
        square(values, side)?;
    }
    let sums = session.room::<[f64; 3]>(elements.div_ceil(PART))?;
    let shares = counts.map(|n| if call.is_unbiased() { (1.0 / (n - 1.0)) as f32 } else { 0.0 });
    // Matrices of f32 take the place of the moments.
    let rounded = match clouds.form {
        Form::F32 => None,
        Form::BF16 => Some([session.room::<T>(elements)?, session.room::<T>(elements)?]),
    };
    let matrices = match &rounded {
        None => [moments[0].address(), moments[1].address()],
        Some([x, y]) => [x.address(), y.address()],
    };
    let args = args![
        Arg::address(matrices[0]),
        Arg::address(matrices[1]),
        Arg::address(sums.address()),
        &moments[0],
        &moments[1],
        elements as u32,
        shares[0],
        shares[1],
        narrow(clouds.form),
    ];
    let kernel = session.kernel(&MMD_GAP)?;
    let launch = Launch::linear(elements.div_ceil(PART) as u32, 256);
    // SAFETY: all matrices have `D D` elements of the form, and there are three sums a CTA.
    unsafe { session.launch(&kernel, launch, args)? };
    for (side, grad) in grads.iter_mut().enumerate() {
        // SAFETY: `D D` values of `T`, which nobody writes any more.
        let matrix = unsafe { gpu_runtime::DeviceSlice::<T>::from_raw(matrices[side], elements) };
        let matrix = session.gpu(gpu_math::Matrix::new(matrix, width, width, width))?;
        let rows = item.points[side].clone();
        let out: DeviceSliceMut<'_, f32> =
            session.gpu(grad.slice_mut(rows.start * width..rows.end * width))?;
        let out = session.gpu(MatrixMut::new(out, rows.len(), width, width))?;
        let scale = Scale { alpha: (4.0 / counts[side]) as f32, beta: 0.0 };
        let product = matmul(&call.products, session.stream, points(side)?, matrix, out, scale);
        session.gpu(product)?;
    }
    Ok(sums)
}

/// Adds what the offset and the missing pairs of a point with itself contribute.
fn finish(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: &[Item],
    offset: f64,
    (means, norms): (Option<&Means>, Option<&[Buffer; 2]>),
    grads: &[Buffer; 2],
) -> Result<()> {
    let factors: Vec<Factors> = items
        .iter()
        .flat_map(|item| item.counts())
        .map(|count| {
            let (n, others) = (count as f64, count as f64 - 1.0);
            let gap = 4.0 / n * offset;
            match call.is_unbiased() {
                false => Factors { gap, products: 1.0, ..Factors::default() },
                true => Factors {
                    gap,
                    mean: gap / others,
                    products: 1.0,
                    numbered: (-8.0 / (n * others)) as f32,
                    point: (-gap / others) as f32,
                    zero: 0.0,
                },
            }
        })
        .collect();
    for (side, rows) in [&clouds.x, &clouds.y].into_iter().enumerate() {
        let of_item = |(k, item): (usize, &Item)| {
            let points = item.points[side].clone();
            spans(points.clone(), points.start, 2 * k + side, SPAN)
        };
        let spans: Vec<_> = items.iter().enumerate().flat_map(of_item).collect();
        let finish = Finish {
            products: Some((grads[side].address(), call.width as u32)),
            points: (rows.at(), rows.stride, clouds.form),
            numbers: norms.map(|norms| (norms[side].address(), 1)),
            means,
            spans: &spans,
            factors: &factors,
        };
        // SAFETY: the spans are of points of this side, in their places in the gradient.
        unsafe { finish.write(call, &grads[side])? };
    }
    Ok(())
}
