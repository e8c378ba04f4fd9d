//! The linear-time estimator: a warp a quadruple.

use gpu_runtime::{Arg, Launch, args};

use super::call::{Buffer, Call, Later};
use super::items::Item;
use super::stages::Shape;
use crate::device::clouds::Clouds;
use crate::error::Result;
use crate::registry::MMD_LINEAR_TIME;

/// `clouds` are wide.
pub(super) fn run<'c>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: Vec<Item>,
    shape: Shape,
    grads: &[Buffer; 2],
) -> Result<Later<'c>> {
    let session = &call.session;
    let mut quads = vec![];
    for item in &items {
        let count = quadruples(item);
        let weight = (1.0 / count as f64) as f32;
        let [x, y] = [item.points[0].start, item.points[1].start];
        quads.extend(
            (0..count).map(|q| [(x + 2 * q) as u32, (y + 2 * q) as u32, weight.to_bits(), 0]),
        );
    }
    let count = quads.len() as u32;
    let (quads, stages) = (session.send(&quads)?, session.send(shape.stages())?);
    let mut values = session.room::<f64>(count as usize)?;
    let kernel = session.kernel(&MMD_LINEAR_TIME)?;
    let args = args![
        &mut values,
        Arg::address(grads[0].address()),
        Arg::address(grads[1].address()),
        clouds.x.at(),
        clouds.y.at(),
        &quads,
        &stages,
        count,
        clouds.width,
        clouds.x.stride,
        clouds.y.stride,
        shape.kind(),
        shape.count(),
        match shape {
            Shape::Products { offset, .. } => offset,
            Shape::Distances { .. } => 0.0,
        },
    ];
    let launch = Launch::new([count.div_ceil(8), 1, 1], [32, 8, 1]);
    // SAFETY: quadruples are of rows of both clouds, which have their gradients.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(Box::new(move |call| {
        let values = call.session.fetch(&values)?;
        let mut rest = &values[..];
        let of_item = |item: &Item| {
            let (own, others) = rest.split_at(quadruples(item));
            rest = others;
            own.iter().sum::<f64>() / own.len() as f64
        };
        Ok(items.iter().map(of_item).collect())
    }))
}

fn quadruples(item: &Item) -> usize {
    let [n, m] = item.counts();
    n.min(m) / 2
}
