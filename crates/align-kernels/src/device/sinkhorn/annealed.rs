//! Annealing of pairs that fit the registers of a CTA: one launch for all steps.

use std::collections::BTreeMap;

use gpu_runtime::{Launch, args};

use super::course::Course;
use super::problem::{Problem, Scalars, Side};
use super::updates::Buffer;
use crate::device::parcel::Parcel;
use crate::error::Result;
use crate::registry::GEOMLOSS;

/// Rows and columns of a warp.
const TILE: [u32; 2] = [64, 32];
/// Most warps of a CTA.
const MOST_WARPS: u32 = 16;

/// Warps down and across that hold a pair of `n` by `m`; `None` where a CTA has too few.
pub(super) fn warps(n: u32, m: u32) -> Option<[u32; 2]> {
    let [down, across] = [n.div_ceil(TILE[0]), m.div_ceil(TILE[1])];
    (n > 0 && m > 0 && down <= MOST_WARPS / across.min(MOST_WARPS) && across <= MOST_WARPS)
        .then_some([down, across])
}

/// Potentials of both sides, and those from before the last update.
pub(super) struct Potentials<'f> {
    pub f: [&'f mut Buffer; 2],
    pub g: [&'f mut Buffer; 2],
}

/// Solves the pairs that have temperatures and fit; says which.
pub(super) fn solve(
    problem: &Problem<'_>,
    cost: &Buffer,
    course: &Course<'_>,
    potentials: &mut Potentials<'_>,
) -> Result<Vec<bool>> {
    let session = &problem.session;
    let mut classes = BTreeMap::<[u32; 2], Vec<u32>>::new();
    let mut solved = vec![false; problem.layout.pairs.len()];
    for (k, pair) in problem.layout.pairs.iter().enumerate() {
        let [_, n, _, m, ..] = *pair;
        if let Some(shape) = warps(n, m)
            && !course.schedules[k].is_empty()
        {
            classes.entry(shape).or_default().push(k as u32);
            solved[k] = true;
        }
    }
    if classes.is_empty() {
        return Ok(solved);
    }
    let mut parcel = Parcel::default();
    let (mut steps, mut first, mut count) = (Vec::new(), Vec::new(), Vec::new());
    for schedule in &course.schedules {
        first.push(steps.len() as u32);
        count.push(schedule.len() as u32);
        steps.extend(schedule.iter().map(|&eps| {
            let Scalars { scale, factor, inv_damping, .. } = Scalars::new(eps, problem.rho);
            [scale, factor, 1.0 / inv_damping, 0.0]
        }));
    }
    let [steps, first, count] = [parcel.put(&steps), parcel.put(&first), parcel.put(&count)];
    let lists: Vec<_> =
        classes.iter().map(|(shape, list)| (shape, list.len(), parcel.put(list))).collect();
    let delivered = parcel.send(session)?;
    let kernel = session.kernel(&GEOMLOSS)?;
    let Potentials { f: [f, f_before], g: [g, g_before] } = potentials;
    // The largest first: what is small fills the gaps.
    for (&[down, across], pairs, list) in lists.into_iter().rev() {
        let args = args![
            &mut **f,
            &mut **f_before,
            &mut **g,
            &mut **g_before,
            cost,
            problem.logs(Side::Rows),
            problem.logs(Side::Columns),
            problem.pairs(),
            delivered.at(list),
            delivered.at(first),
            delivered.at(count),
            delivered.at(steps),
            down,
            across,
        ];
        let points = TILE[0] * down + TILE[1] * across;
        let warps = down * across;
        // More pairs than a grid can have are refused by the layout.
        let launch = Launch {
            dynamic_shared: 20 * points + 4 * (TILE[0] + TILE[1]) * warps,
            ..Launch::new([pairs as u32, 1, 1], [32, warps, 1])
        };
        // SAFETY: potentials and costs have the sizes of the layout; the pairs of the list are no larger
        // than the warps hold, have mass on both sides and at least one temperature.
        unsafe { session.launch(&kernel, launch, args)? };
    }
    Ok(solved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_fit_up_to_sixteen_warps() {
        assert_eq!(warps(64, 256), Some([1, 8]));
        assert_eq!(warps(65, 256), Some([2, 8]));
        assert_eq!(warps(1, 1), Some([1, 1]));
        assert_eq!(warps(1024, 32), Some([16, 1]));
        assert_eq!(warps(64, 512), Some([1, 16]));
        for (n, m) in [(64, 513), (1025, 1), (129, 256), (0, 4), (4, 0), (1 << 29, 1 << 29)] {
            assert_eq!(warps(n, m), None, "{n} {m}");
        }
    }
}
