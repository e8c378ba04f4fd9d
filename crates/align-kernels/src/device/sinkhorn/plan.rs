//! What plans sum to, with the plans or without.

use gpu_runtime::{Arg, Launch, args};

use super::iterate::Reached;
use super::problem::{Problem, Side};
use super::updates::{Buffer, Updates};
use crate::error::Result;
use crate::registry::{COLUMN_SUMS, PLAN};

/// Row and column sums of the plans of all pairs.
pub(super) struct Sums {
    pub rows: Buffer,
    pub columns: Buffer,
    /// `sum_j P_ij (f_i + g_j - C_ij) / eps` of each row, where plans were made.
    pub entropy: Option<Buffer>,
}

/// Makes the plans in the place of the costs.
pub(super) fn made(
    problem: &Problem<'_>,
    cost: Buffer,
    reached: &Reached,
) -> Result<(Sums, Buffer)> {
    let mut plan = cost;
    let address = plan.address();
    let sums = of_plans(problem, (&mut plan, Arg::address(address)), reached)?;
    Ok((sums, plan))
}

/// Makes the plans beside the costs.
pub(super) fn beside(
    problem: &Problem<'_>,
    cost: &Buffer,
    reached: &Reached,
) -> Result<(Sums, Buffer)> {
    let mut plan = problem.session.room(cost.len())?;
    let sums = of_plans(problem, (&mut plan, cost.into()), reached)?;
    Ok((sums, plan))
}

fn of_plans(
    problem: &Problem<'_>,
    (plan, cost): (&mut Buffer, Arg<'_>),
    reached: &Reached,
) -> Result<Sums> {
    let potentials = [&reached.f, &reached.g];
    let (rows, entropy) = of_rows(problem, Arg::from(&mut *plan), cost, potentials)?;
    let columns = of_columns(problem, plan)?;
    Ok(Sums { rows, columns, entropy: Some(entropy) })
}

/// What the rows of the plans sum to, and their entropy; the plans themselves where they have an address.
pub(super) fn of_rows(
    problem: &Problem<'_>,
    plan: Arg<'_>,
    cost: Arg<'_>,
    potentials: [&Buffer; 2],
) -> Result<(Buffer, Buffer)> {
    let room = || problem.session.room(problem.len(Side::Rows));
    let (mut rows, mut entropy) = (room()?, room()?);
    let costs = Costs { values: cost, pairs: problem.pairs(), pad: 1 };
    let all = 0..problem.layout.rows;
    of_some_rows(problem, plan, &costs, potentials, [&mut rows, &mut entropy], all)?;
    Ok((rows, entropy))
}

/// Where costs are.
pub(super) struct Costs<'c> {
    pub values: Arg<'c>,
    /// As those of the problem, but for where the costs start.
    pub pairs: Arg<'c>,
    /// Rows of costs start at multiples of it.
    pub pad: u32,
}

/// As [`of_rows`], for a range of the rows of all pairs.
pub(super) fn of_some_rows(
    problem: &Problem<'_>,
    plan: Arg<'_>,
    costs: &Costs<'_>,
    [f, g]: [&Buffer; 2],
    [rows, entropy]: [&mut Buffer; 2],
    range: std::ops::Range<u32>,
) -> Result<()> {
    let Problem { session, scalars, .. } = problem;
    let kernel = session.kernel(&PLAN)?;
    let launch = Launch::new([range.len().div_ceil(8) as u32, 1, 1], [32, 8, 1]);
    let args = args![
        plan,
        rows,
        entropy,
        costs.values,
        f,
        g,
        problem.weights(Side::Rows),
        problem.weights(Side::Columns),
        problem.pairs(),
        problem.pair_of_row(),
        range.end,
        scalars.scale,
        costs.pairs,
        costs.pad,
        range.start,
    ];
    // SAFETY: everything has the sizes of the layout, and there are costs for the pairs of the rows; the
    // kernel lets plans take the place of costs.
    unsafe { session.launch(&kernel, launch, args) }
}

/// What the columns of plans, or of what pulls, sum to.
pub(super) fn of_columns(problem: &Problem<'_>, plan: &Buffer) -> Result<Buffer> {
    let session = &problem.session;
    let mut columns = session.room(problem.len(Side::Columns))?;
    let kernel = session.kernel(&COLUMN_SUMS)?;
    let launch = Launch::new([problem.strip_count, 1, 1], [32, 8, 1]);
    let args = args![&mut columns, plan, problem.pairs(), problem.strips()];
    // SAFETY: matrices and sums have the sizes of the layout; the strips are those of it.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(columns)
}

/// Reads the sums off the updates that would come next, without a matrix.
pub(super) fn sums_alone(
    problem: &Problem<'_>,
    cost: &Buffer,
    reached: &mut Reached,
) -> Result<Sums> {
    let session = &problem.session;
    let updates = Updates::new(problem, cost)?;
    let mut error = session.room(problem.layout.pairs.len())?;
    let mut next_f = session.room(problem.len(Side::Rows))?;
    updates.rows(&reached.g, &mut next_f, None)?;
    let rows = updates.sums(Side::Rows, (&mut reached.f, &next_f), &mut error)?;
    let mut next_g = session.room(problem.len(Side::Columns))?;
    updates.columns(&reached.f, &mut next_g, None)?;
    let columns = updates.sums(Side::Columns, (&mut reached.g, &next_g), &mut error)?;
    Ok(Sums { rows, columns, entropy: None })
}
