//! Entropic transport on the device: costs, iterations, plan, numbers and gradients, in this order.
//!
//! The order of launches is told in `kernels/sinkhorn/README.md`. The host waits for the device every
//! few iterations, to see whether all pairs are done, and then for the results.

mod gradient;
mod iterate;
mod numbers;
mod plan;
mod problem;
mod updates;

pub use gradient::DeviceGradients;

use self::iterate::{restored, solve};
use self::problem::{Extras, Problem};
use super::Gpu;
use super::session::Session;
use crate::error::{KernelError, Result};
use crate::ragged::Ragged;
use crate::sinkhorn::{Call, Cost, Fixed, Found, Mode, Options, Output, Weights};

type Batch<'a> = Ragged<'a, Gpu>;

/// Values, and plans where the options ask for them.
pub(super) fn run(
    x: &Batch<'_>,
    y: &Batch<'_>,
    weights: Weights<'_>,
    options: &Options,
) -> Result<Output> {
    let call = Call::new(x, y, weights, options, None, None)?;
    let fixed = supported(options)?;
    let session = Session::begin("sinkhorn", x.points(), y.points())?;
    session.finish(|| {
        let problem = Problem::new(session, &call, fixed.eps, Extras::None)?;
        let clouds = problem.clouds(x.points(), y.points())?;
        let cost = problem.costs(&clouds, options.cost)?;
        let mut reached = solve(&problem, &call, &cost, &fixed)?;
        let (sums, plan) = match options.plan {
            true => plan::made(&problem, cost, &reached).map(|(sums, plan)| (sums, Some(plan)))?,
            false => (plan::sums_alone(&problem, &cost, &mut reached)?, None),
        };
        let host = numbers::fetch(&problem, &call, &reached, &sums)?;
        let plan = plan.map_or(Ok(Vec::new()), |plan| session.fetch(&plan))?;
        Ok(call.output(fixed.eps, found(host, plan)))
    })
}

/// Values and gradients; potentials from `saved` where they were found before.
pub(super) fn run_with_gradient(
    x: &Batch<'_>,
    y: &Batch<'_>,
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
    saved: Option<&Output>,
) -> Result<(Output, DeviceGradients)> {
    let call = Call::new(x, y, weights, options, upstream, saved)?;
    let fixed = supported(options)?;
    if options.cost != Cost::SqEuclidean {
        return Err(missing(&format!("gradient of Cost::{:?}", options.cost)));
    }
    let session = Session::begin("sinkhorn", x.points(), y.points())?;
    session.finish(|| {
        let extras = Extras::Gradient { upstream };
        let problem = Problem::new(session, &call, fixed.eps, extras)?;
        let clouds = problem.clouds(x.points(), y.points())?;
        let cost = problem.costs(&clouds, options.cost)?;
        let reached = match saved {
            Some(saved) => restored(&problem, saved)?,
            None => solve(&problem, &call, &cost, &fixed)?,
        };
        let (sums, plan) = plan::made(&problem, cost, &reached)?;
        let clouds = gradient::wide(&problem, clouds, x.points(), y.points())?;
        let points = gradient::by_points(&problem, &call, &clouds, &plan, &sums)?;
        let host = numbers::fetch(&problem, &call, &reached, &sums)?;
        let gradients = gradient::with_the_rest(&problem, &call, upstream, points, &host, &sums)?;
        let plan = if options.plan { session.fetch(&plan)? } else { Vec::new() };
        Ok((call.output(fixed.eps, found(host, plan)), gradients))
    })
}

/// The one mode that a device has, or what it lacks.
fn supported(options: &Options) -> Result<Fixed> {
    match options.mode {
        Mode::GeomLoss(_) => Err(missing("Mode::GeomLoss")),
        Mode::Fixed(_) if options.debias => Err(missing("debias")),
        Mode::Fixed(_) if options.project_x || options.project_y => Err(missing("projection")),
        Mode::Fixed(fixed) => Ok(fixed),
    }
}

fn missing(what: &str) -> KernelError {
    let detail = format!(
        "a device has no {what}, expected Mode::Fixed, balanced or with reach: values and plans of \
         every cost, gradients of Cost::SqEuclidean"
    );
    KernelError::option("sinkhorn", detail, "pass points on the host, which has all of it")
}

fn found(host: numbers::Numbers, plan: Vec<f32>) -> Found {
    let column = |c: usize| host.report.iter().map(|row| row[c]).collect();
    Found {
        value: column(0),
        gap: column(1),
        marginal_error: column(2),
        iterations: host.iterations,
        f: host.f,
        g: host.g,
        plan,
    }
}
