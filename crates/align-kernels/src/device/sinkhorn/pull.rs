//! What pulls on the points: the matrices that gradients and projections are products of.
//!
//! For squared distances at one temperature it is the plan. Distances divide it by the costs, the
//! cosine by the lengths of the partners, and GeomLoss has a plan of its own for either side.

use gpu_runtime::{Arg, Launch, args};

use super::iterate::Reached;
use super::plan::of_columns;
use super::problem::{Problem, Side};
use super::schedule::optional;
use super::updates::Buffer;
use crate::device::clouds::Clouds;
use crate::device::pairwise_cost::norms;
use crate::error::Result;
use crate::registry::PULL;
use crate::sinkhorn::Cost;

/// Inverse lengths of the points of `x` and `y`, for the cosine.
pub(super) type Inverses = [Buffer; 2];

pub(super) fn inverses(
    problem: &Problem<'_>,
    clouds: &Clouds<'_>,
    cost: Cost,
) -> Result<Option<Inverses>> {
    let of = |rows| norms(&problem.session, clouds, rows, 1);
    match cost {
        Cost::Cosine => Ok(Some([of(&clouds.x)?, of(&clouds.y)?])),
        _ => Ok(None),
    }
}

/// A matrix with what its rows, or its columns, sum to.
pub(super) struct Pull {
    pub matrix: Buffer,
    pub sums: Buffer,
}

/// What pulls on the points of a side, of upstream weight 1, written to `room`.
pub(super) fn of_side(
    problem: &Problem<'_>,
    kind: Cost,
    side: Side,
    (cost, inverses, room): (&Buffer, Option<&Inverses>, Buffer),
    reached: &Reached,
) -> Result<Pull> {
    // Through the last update of the side: the other one's potentials are those from before.
    let [f, g] = match (&reached.before, side) {
        (None, _) => [&reached.f, &reached.g],
        (Some([_, g]), Side::Rows) => [&reached.f, g],
        (Some([f, _]), Side::Columns) => [f, &reached.g],
    };
    let is_distance = kind == Cost::Euclidean;
    matrix(problem, side, (cost, inverses, room), [f, g], is_distance)
}

/// The plans of the reported potentials as products with the points of a side's partners take them.
pub(super) fn plans(
    problem: &Problem<'_>,
    side: Side,
    (cost, inverses, room): (&Buffer, Option<&Inverses>, Buffer),
    reached: &Reached,
) -> Result<Pull> {
    matrix(problem, side, (cost, inverses, room), [&reached.f, &reached.g], false)
}

fn matrix(
    problem: &Problem<'_>,
    side: Side,
    (cost, inverses, mut room): (&Buffer, Option<&Inverses>, Buffer),
    [f, g]: [&Buffer; 2],
    is_distance: bool,
) -> Result<Pull> {
    let Problem { session, layout, scalars, .. } = problem;
    // Partners are divided by their lengths.
    let [of_x, of_y] = match (inverses, side) {
        (None, _) => [None, None],
        (Some([_, y]), Side::Rows) => [None, Some(y)],
        (Some([x, _]), Side::Columns) => [Some(x), None],
    };
    let mut rows = session.room(problem.len(Side::Rows))?;
    let kernel = session.kernel(&PULL)?;
    let launch = Launch::new([layout.rows.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![
        &mut room,
        &mut rows,
        Arg::from(cost),
        f,
        g,
        problem.weights(Side::Rows),
        problem.weights(Side::Columns),
        optional(of_x),
        optional(of_y),
        problem.pairs(),
        problem.pair_of_row(),
        layout.rows,
        u32::from(is_distance),
        scalars.scale,
    ];
    // SAFETY: matrices, potentials and sums have the sizes of the layout, and every point of a side an
    // inverse length.
    unsafe { session.launch(&kernel, launch, args)? };
    let sums = match side {
        Side::Rows => rows,
        Side::Columns => of_columns(problem, &room)?,
    };
    Ok(Pull { matrix: room, sums })
}
