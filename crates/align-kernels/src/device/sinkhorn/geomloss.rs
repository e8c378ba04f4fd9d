//! The annealed iteration of GeomLoss: one averaged update of both potentials a temperature.
//!
//! Both updates of a step start from the same potentials. Pairs may have schedules of their own, of any
//! length: each takes its temperature from a table, and those that are through are left alone.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::annealed::{self, Potentials};
use super::course::Course;
use super::iterate::{Iterations, Reached};
use super::problem::{Problem, Scalars, Side};
use super::updates::{Buffer, Updates};
use crate::device::parcel::Parcel;
use crate::error::Result;
use crate::registry::AVERAGE;

/// Takes every pair through its temperatures.
pub(super) fn solve(problem: &Problem<'_>, cost: &Buffer, course: &Course<'_>) -> Result<Reached> {
    let session = &problem.session;
    let zeros = |side| session.zeros(problem.len(side));
    let [mut f, mut f_before] = [zeros(Side::Rows)?, zeros(Side::Rows)?];
    let [mut g, mut g_before] = [zeros(Side::Columns)?, zeros(Side::Columns)?];
    let mut potentials = Potentials { f: [&mut f, &mut f_before], g: [&mut g, &mut g_before] };
    let solved = annealed::solve(problem, cost, course, &mut potentials)?;
    let left = course.schedules.iter().zip(&solved);
    let schedules: Vec<&[f64]> = left.map(|(list, is)| if *is { &[] } else { *list }).collect();
    let has_rest = schedules.iter().any(|list| !list.is_empty());
    if course.is_symmetric {
        meet(problem, &solved, potentials)?;
        potentials = Potentials { f: [&mut f, &mut f_before], g: [&mut g, &mut g_before] };
    }
    if has_rest {
        let course = Course { schedules, is_symmetric: course.is_symmetric };
        step_by_step(problem, cost, &course, potentials)?;
    }
    let iterations = Iterations::Known(course.schedules.iter().map(|list| list.len()).collect());
    Ok(Reached { f, g, before: Some([f_before, g_before]), iterations })
}

/// Both potentials of a cloud with itself are one but for rounding, which no update takes back where it
/// moves from one to the other: their mean is free of it.
fn meet(problem: &Problem<'_>, solved: &[bool], potentials: Potentials<'_>) -> Result<()> {
    let session = &problem.session;
    let others: Vec<u32> = solved.iter().map(|&is| u32::from(!is)).collect();
    let mut others = session.send(&others)?;
    let Potentials { f: [f, f_before], g: [g, g_before] } = potentials;
    for (f, g) in [(f, g), (f_before, g_before)] {
        average(problem, [Arg::from(f), Arg::from(&*g)], &mut others)?;
    }
    Ok(())
}

/// Takes the mean of the rows' potentials and others, in problems that are not done.
pub(super) fn average(
    problem: &Problem<'_>,
    [f, next]: [Arg<'_>; 2],
    done: &mut DeviceBuffer<u32>,
) -> Result<()> {
    let kernel = problem.session.kernel(&AVERAGE)?;
    let none = || Arg::address(0);
    // Any step between the first and the last takes means.
    let step = 1u32;
    let args = args![f, next, none(), none(), none(), none(), problem.pairs(), none(), done, step];
    let launch = Launch::linear(problem.pair_count(), 256);
    // SAFETY: potentials have the sizes of the layout, and every problem a flag.
    unsafe { problem.session.launch(&kernel, launch, args) }
}

/// Pairs of any size, a launch for each half of a step.
fn step_by_step(
    problem: &Problem<'_>,
    cost: &Buffer,
    course: &Course<'_>,
    potentials: Potentials<'_>,
) -> Result<()> {
    let session = &problem.session;
    let steps = Steps::new(problem, course);
    let mut parcel = Parcel::default();
    let (tables, counts) = (parcel.put(&steps.tables), parcel.put(&steps.counts));
    let delivered = parcel.send(session)?;
    let mut done = session.send(&steps.done)?;
    let Potentials { f: [f, f_before], g: [g, g_before] } = potentials;
    let mut f_next = session.zeros(problem.len(Side::Rows))?;
    let columns = if course.is_symmetric { 0 } else { problem.len(Side::Columns) };
    let mut g_next = session.zeros(columns)?;
    let updates = Updates::new(problem, cost)?;
    let average = session.kernel(&AVERAGE)?;
    let pairs = problem.layout.pairs.len();
    for step in 0..steps.len {
        // Two numbers a pair.
        let table = || delivered.within(tables, 2 * pairs * step as usize);
        let other = if course.is_symmetric { &*f } else { &*g };
        updates.rows_at(table(), other, &mut f_next, Some(&done))?;
        if !course.is_symmetric {
            updates.columns_at(table(), f, &mut g_next, Some(&done))?;
        }
        let of_columns = match course.is_symmetric {
            true => [Arg::address(0), Arg::address(0), Arg::address(0)],
            false => [Arg::from(&mut *g), Arg::from(&g_next), Arg::from(&mut *g_before)],
        };
        let [g, g_next, g_before] = of_columns;
        let args = args![
            &mut *f,
            &f_next,
            &mut *f_before,
            g,
            g_next,
            g_before,
            problem.pairs(),
            delivered.at(counts),
            &mut done,
            step,
        ];
        let launch = Launch::linear(problem.pair_count(), 256);
        // SAFETY: potentials have the sizes of the layout; counts and flags have an entry a pair.
        unsafe { session.launch(&average, launch, args)? };
    }
    Ok(())
}

/// What each step does to each pair.
struct Steps {
    /// Scale and factor of each pair, step after step.
    tables: Vec<[f32; 2]>,
    counts: Vec<u32>,
    done: Vec<u32>,
    /// Of the longest schedule: an update from potentials of 0, one a temperature, and the last.
    len: u32,
}

impl Steps {
    fn new(problem: &Problem<'_>, course: &Course<'_>) -> Self {
        let schedules = &course.schedules;
        let longest = schedules.iter().map(|list| list.len()).max().unwrap_or(0);
        let len = if longest == 0 { 0 } else { longest + 2 };
        let mut tables = Vec::with_capacity(len * schedules.len());
        for step in 0..len {
            tables.extend(schedules.iter().map(|list| match list.len() {
                0 => [0.0; 2],
                count => {
                    let eps = list[step.saturating_sub(1).min(count - 1)];
                    let Scalars { scale, factor, .. } = Scalars::new(eps, problem.rho);
                    [scale, factor]
                }
            }));
        }
        Self {
            tables,
            counts: schedules.iter().map(|list| list.len() as u32).collect(),
            done: schedules.iter().map(|list| u32::from(list.is_empty())).collect(),
            len: len as u32,
        }
    }
}
