//! Gradients by points on the device: products of what pulls with the points, and a last step.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::iterate::Reached;
use super::plan::Sums;
use super::problem::{Problem, Side};
use super::pull::{self, Inverses, Pull};
use super::schedule::optional;
use super::updates::Buffer;
use crate::device::clouds::{Clouds, Form};
use crate::device::points::DevicePoints;
use crate::error::Result;
use crate::registry::{FINISH, GRADIENT};
use crate::sinkhorn::{Call, Cost};

/// Coordinates of a CTA.
const COORDINATES: u32 = 64;

/// Gradients of `sum_k upstream_k value_k`; those of the points stay on the device.
#[derive(Debug)]
pub struct DeviceGradients {
    /// By the points of `x`, `(N, D)`, rows one after another whatever the stride of the points. Empty where
    /// [`Options::gradients`](crate::sinkhorn::Options) leaves them out, as are those by the weights.
    pub x: DeviceBuffer<f32>,
    /// By the points of `y`, `(M, D)`.
    pub y: DeviceBuffer<f32>,
    /// By the weights of `x`, `(N,)`: exactly 0 at weights of 0.
    pub a: Vec<f32>,
    /// By the weights of `y`, `(M,)`.
    pub b: Vec<f32>,
    /// By the temperature, potentials held: `KL(P | ab)`, and less those of each cloud with itself.
    pub eps: f64,
}

/// The clouds in f32, which the gradients are made of.
pub(super) fn wide<'p>(
    problem: &Problem<'_>,
    clouds: Clouds<'p>,
    x: DevicePoints<'p>,
    y: DevicePoints<'p>,
) -> Result<Clouds<'p>> {
    match clouds.form {
        Form::F32 => Ok(clouds),
        Form::BF16 => Clouds::wide(&problem.session, x, y),
    }
}

/// What gradients by points are made of.
pub(super) struct Matter<'m> {
    pub reached: &'m Reached,
    /// Plans of the reported potentials, and their sums: what pulls, unless costs are kept.
    pub sums: &'m Sums,
    pub plan: Buffer,
    pub cost: Option<Buffer>,
    pub inverses: Option<Inverses>,
    /// Gradients of half of each cloud's problem with itself.
    pub own: [Option<Buffer>; 2],
}

/// Gradients by the points of `x` and of `y`; nothing for a side that is not wanted.
pub(super) fn by_points(
    problem: &Problem<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    matter: Matter<'_>,
) -> Result<[Buffer; 2]> {
    let Matter { reached, sums, plan, cost, inverses, own } = matter;
    let kind = call.options.cost;
    let inverses = inverses.as_ref();
    let product = |side: Side, plan: &Buffer, sums: &Buffer| {
        let sums = (kind != Cost::Cosine).then_some(sums);
        product(problem, clouds, side, pairs_of(call, side), (plan, sums))
    };
    let wanted = call.options.gradients;
    let sides = [(Side::Rows, wanted.has_x()), (Side::Columns, wanted.has_y())];
    let (mut grads, mut room) = ([None, None], plan);
    for (side, _) in sides.into_iter().filter(|(_, is_wanted)| *is_wanted) {
        let grad = match (&cost, side) {
            (None, Side::Rows) => product(side, &room, &sums.rows)?,
            (None, Side::Columns) => product(side, &room, &sums.columns)?,
            (Some(cost), _) => {
                let Pull { matrix, sums } =
                    pull::of_side(problem, kind, side, (cost, inverses, room), reached)?;
                let grad = product(side, &matrix, &sums)?;
                room = matrix;
                grad
            }
        };
        grads[side as usize] = Some(grad);
    }
    let finish = |side: Side, grad: Option<Buffer>, own: Option<Buffer>| match grad {
        Some(grad) => {
            let inverses = inverses.map(|of| &of[side as usize]);
            finish(problem, clouds, side, grad, own.as_ref(), inverses)
        }
        None => problem.session.room(0),
    };
    let ([x, y], [own_x, own_y]) = (grads, own);
    Ok([finish(Side::Rows, x, own_x)?, finish(Side::Columns, y, own_y)?])
}

/// The pairs of an item, whose blocks name the first one: itself times 1, the step and the count.
pub(super) fn pairs_of(call: &Call<'_>, side: Side) -> [u32; 3] {
    let (x, y) = (call.grid.x as u32, call.grid.y as u32);
    match side {
        Side::Rows => [1, 1, y],
        Side::Columns => [1, y, x],
    }
}

/// `diag(sums) points - matrix partners` over all pairs of an item, sums of 0 where there are none.
pub(super) fn product(
    problem: &Problem<'_>,
    clouds: &Clouds<'_>,
    side: Side,
    pairs: [u32; 3],
    (matrix, sums): (&Buffer, Option<&Buffer>),
) -> Result<Buffer> {
    let own = if side == Side::Rows { &clouds.x } else { &clouds.y };
    let mut out = problem.session.zeros(own.count as usize * clouds.width as usize)?;
    let blocks = (problem.blocks(side), problem.block_counts[side as usize]);
    launch(problem, clouds, side, (pairs, false), blocks, (matrix, sums), &mut out)?;
    Ok(out)
}

/// `-matrix partners` of each pair by itself, rows packed as potentials. `blocks` name pairs.
pub(super) fn product_by_pair(
    problem: &Problem<'_>,
    clouds: &Clouds<'_>,
    side: Side,
    blocks: (Arg<'_>, u32),
    matrix: &Buffer,
) -> Result<Buffer> {
    let mut out = problem.session.zeros(problem.len(side) * clouds.width as usize)?;
    launch(problem, clouds, side, ([1, 0, 1], true), blocks, (matrix, None), &mut out)?;
    Ok(out)
}

fn launch(
    problem: &Problem<'_>,
    clouds: &Clouds<'_>,
    side: Side,
    ([first, step, count], by_pair): ([u32; 3], bool),
    (blocks, block_count): (Arg<'_>, u32),
    (matrix, sums): (&Buffer, Option<&Buffer>),
    out: &mut Buffer,
) -> Result<()> {
    let session = &problem.session;
    let kernel = session.kernel(&GRADIENT)?;
    let (own, other, partner) = match side {
        Side::Rows => (&clouds.x, &clouds.y, Side::Columns),
        Side::Columns => (&clouds.y, &clouds.x, Side::Rows),
    };
    let launch = Launch::new([block_count, clouds.width.div_ceil(COORDINATES), 1], [256, 1, 1]);
    let args = args![
        out,
        own.at(),
        other.at(),
        matrix,
        optional(sums),
        problem.weights(side),
        problem.weights(partner),
        if by_pair { Arg::address(0) } else { problem.upstream() },
        problem.pairs(),
        blocks,
        clouds.width,
        own.stride,
        other.stride,
        clouds.width,
        side as u32,
        first,
        step,
        count,
        u32::from(by_pair),
    ];
    // SAFETY: the blocks are of items that are in a pair, with as many pairs as the pairing has, or of
    // pairs; `out` has a row of `width` for each point, or each potential; matrix, sums and weights are
    // those of the layout.
    unsafe { session.launch(&kernel, launch, args) }
}

/// Takes off what own problems have, and sends what is left through the lengths of the points.
fn finish(
    problem: &Problem<'_>,
    clouds: &Clouds<'_>,
    side: Side,
    mut grad: Buffer,
    own: Option<&Buffer>,
    inverses: Option<&Buffer>,
) -> Result<Buffer> {
    if own.is_none() && inverses.is_none() {
        return Ok(grad);
    }
    let session = &problem.session;
    let rows = if side == Side::Rows { &clouds.x } else { &clouds.y };
    let kernel = session.kernel(&FINISH)?;
    let launch = Launch::new([rows.count.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![
        &mut grad,
        optional(own),
        rows.at(),
        optional(inverses),
        problem.weights(side),
        rows.count,
        clouds.width,
        rows.stride,
    ];
    // SAFETY: gradients have a row of `width` for each of `count` points, which have a weight and an
    // inverse length each.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(grad)
}
