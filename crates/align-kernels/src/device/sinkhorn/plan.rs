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
    let Problem { session, layout, scalars, .. } = problem;
    let mut plan = cost;
    let mut rows = session.room(problem.len(Side::Rows))?;
    let mut columns = session.room(problem.len(Side::Columns))?;
    let mut entropy = session.room(problem.len(Side::Rows))?;
    let kernel = session.kernel(&PLAN)?;
    let launch = Launch::new([layout.rows.div_ceil(8), 1, 1], [32, 8, 1]);
    let in_place = Arg::address(plan.address());
    let args = args![
        &mut plan,
        &mut rows,
        &mut entropy,
        in_place,
        &reached.f,
        &reached.g,
        problem.weights(Side::Rows),
        problem.weights(Side::Columns),
        problem.pairs(),
        problem.pair_of_row(),
        layout.rows,
        scalars.scale,
    ];
    // SAFETY: everything has the sizes of the layout; the kernel lets plans take the place of costs.
    unsafe { session.launch(&kernel, launch, args)? };
    let kernel = session.kernel(&COLUMN_SUMS)?;
    let launch = Launch::new([problem.strip_count, 1, 1], [32, 8, 1]);
    let args = args![&mut columns, &plan, problem.pairs(), problem.strips()];
    // SAFETY: as above; the strips are those of the layout.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok((Sums { rows, columns, entropy: Some(entropy) }, plan))
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
