//! Barycentric projections: each point as a mean of its partners, pair by pair.

use gpu_runtime::{Launch, args};

use super::gradient::product_by_pair;
use super::iterate::Reached;
use super::plan::Sums;
use super::problem::{Problem, Side};
use super::pull::{self, Inverses};
use super::updates::Buffer;
use crate::device::clouds::Clouds;
use crate::device::layout::blocks_of_pairs;
use crate::device::parcel::Parcel;
use crate::error::Result;
use crate::registry::DIVIDE;
use crate::sinkhorn::Call;

/// Plans, and what the cosine needs to make them anew over lengths.
pub(super) struct Plans<'p> {
    pub plan: &'p Buffer,
    pub sums: &'p Sums,
    /// For the cosine: projections are means of unit vectors.
    pub over_lengths: Option<(&'p Buffer, &'p Inverses)>,
}

/// The means of both sides that the options ask for, packed as potentials are.
pub(super) fn fetch(
    problem: &Problem<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    reached: &Reached,
    plans: &Plans<'_>,
) -> Result<[Vec<f32>; 2]> {
    let wanted = [call.options.project_x, call.options.project_y];
    let one = |side: Side| match wanted[side as usize] {
        true => problem.session.fetch(&means(problem, call, clouds, reached, plans, side)?),
        false => Ok(Vec::new()),
    };
    Ok([one(Side::Rows)?, one(Side::Columns)?])
}

fn means(
    problem: &Problem<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    reached: &Reached,
    plans: &Plans<'_>,
    side: Side,
) -> Result<Buffer> {
    let session = &problem.session;
    let list = blocks_of_pairs(&problem.layout, side == Side::Columns, |k| call.has_mass(k));
    let mut parcel = Parcel::default();
    let place = parcel.put(&list);
    let delivered = parcel.send(session)?;
    // More blocks than a grid can have are refused by the launch.
    let blocks = || (delivered.at(place), u32::try_from(list.len()).unwrap_or(u32::MAX));
    let mut out = match plans.over_lengths {
        None => product_by_pair(problem, clouds, side, blocks(), plans.plan)?,
        Some((cost, inverses)) => {
            let room = session.room(cost.len())?;
            let pull = pull::plans(problem, side, (cost, Some(inverses), room), reached)?;
            product_by_pair(problem, clouds, side, blocks(), &pull.matrix)?
        }
    };
    let sums = if side == Side::Rows { &plans.sums.rows } else { &plans.sums.columns };
    let kernel = session.kernel(&DIVIDE)?;
    let count = problem.len(side) as u32;
    let launch = Launch::new([count.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![&mut out, sums, count, clouds.width];
    // SAFETY: `out` has a row of `width` for each potential of the side, and each a sum.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}
