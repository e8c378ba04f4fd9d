//! Entropic transport on the device: costs, iterations, plan, numbers and gradients, in this order.
//!
//! The order of launches is told in `kernels/sinkhorn/README.md`. The host waits for the device every
//! few iterations, to see whether all pairs are done, and then for the results; with a schedule that
//! depends on the clouds, once before it begins.

mod annealed;
mod blocks;
mod course;
mod geomloss;
mod given;
mod gradient;
mod half_gradient;
mod iterate;
mod numbers;
mod own;
mod plan;
mod problem;
mod projection;
mod pull;
mod resident;
mod schedule;
mod slopes;
mod stream;
mod tasks;
mod updates;

pub(super) use blocks::run_through;
pub use given::{DeviceCostGradients, DeviceCosts};
pub use gradient::DeviceGradients;

use self::course::Course;
use self::gradient::Matter;
use self::half_gradient::Half;
use self::iterate::{Reached, restored};
use self::numbers::Kind;
use self::own::{Own, Request};
use self::problem::{Extras, Problem};
use self::projection::Plans;
use self::resident::Solved;
use self::schedule::Schedules;
use self::slopes::{Parts, Slopes};
use self::updates::Buffer;
use super::Gpu;
use super::clouds::Clouds;
use super::points::DevicePoints;
use super::session::Session;
use crate::error::Result;
use crate::ragged::Ragged;
use crate::sinkhorn::{Call, Cost, Found, Mode, Options, Output, Weights};

type Batch<'a> = Ragged<'a, Gpu>;

/// Values, and plans and projections where the options ask for them.
pub(super) fn run(
    x: &Batch<'_>,
    y: &Batch<'_>,
    weights: Weights<'_>,
    options: &Options,
) -> Result<Output> {
    let call = Call::new(x, y, weights, options, None, None)?;
    let session = Session::begin("sinkhorn", x.points(), y.points())?;
    session.finish(|| {
        let stage = Stage::new(session, &call, x.points(), y.points(), None)?;
        Ok(stage.finish()?.0)
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
    let (output, pieces) = solve_with_gradient(x, y, weights, options, upstream, saved)?;
    Ok((output, pieces.whole()))
}

/// Gradients by the points of `x` and of `y`, and all others.
struct Pieces {
    points: [Buffer; 2],
    slopes: Slopes,
}

impl Pieces {
    fn whole(self) -> DeviceGradients {
        let ([x, y], (a, b, eps)) = (self.points, self.slopes);
        DeviceGradients { x, y, a, b, eps: eps.iter().sum() }
    }
}

fn solve_with_gradient(
    x: &Batch<'_>,
    y: &Batch<'_>,
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
    saved: Option<&Output>,
) -> Result<(Output, Pieces)> {
    let call = Call::new(x, y, weights, options, upstream, saved)?;
    let session = Session::begin("sinkhorn", x.points(), y.points())?;
    session.finish(|| {
        let wanted = Wanted { upstream, saved };
        let stage = Stage::new(session, &call, x.points(), y.points(), Some(wanted))?;
        let (output, pieces) = stage.finish()?;
        Ok((output, pieces.expect("gradients were asked for")))
    })
}

/// What a call with gradients brings.
#[derive(Clone, Copy)]
struct Wanted<'w> {
    upstream: Option<&'w [f32]>,
    saved: Option<&'w Output>,
}

/// A call under way.
struct Stage<'a, 'p> {
    call: &'a Call<'a>,
    problem: Problem<'a>,
    clouds: Clouds<'p>,
    points: [DevicePoints<'p>; 2],
    wanted: Option<Wanted<'a>>,
    half: Option<Half>,
}

impl<'a, 'p> Stage<'a, 'p> {
    fn new(
        session: Session<'a>,
        call: &'a Call<'a>,
        x: DevicePoints<'p>,
        y: DevicePoints<'p>,
        wanted: Option<Wanted<'a>>,
    ) -> Result<Self> {
        let extras = match wanted {
            Some(Wanted { upstream, .. }) => Extras::Gradient { upstream },
            None => Extras::None,
        };
        let problem = Problem::new(session, call, call.options.last_eps(), extras)?;
        let clouds = problem.clouds(x, y)?;
        let half = match wanted {
            Some(_) => Half::new(&problem, call, &clouds)?,
            None => None,
        };
        Ok(Self { call, problem, clouds, points: [x, y], wanted, half })
    }

    fn finish(self) -> Result<(Output, Option<Pieces>)> {
        let Self { call, problem, clouds, points: [x, y], wanted, half } = self;
        let (options, session) = (call.options, problem.session);
        let saved = wanted.and_then(|wanted| wanted.saved);
        let schedules = match (options.mode, saved) {
            (Mode::GeomLoss(geomloss), None) => {
                Some(Schedules::new(&session, call, geomloss, &clouds)?)
            }
            _ => None,
        };
        let projects = options.project_x || options.project_y;
        let makes_plans = wanted.is_some() || options.plan || projects;
        let is_plain = options.cost == Cost::SqEuclidean && matches!(options.mode, Mode::Fixed(_));
        let keeps_cost = wanted.is_some() && !is_plain || projects && options.cost == Cost::Cosine;
        let costs = || problem.costs(&clouds, options.cost);
        let (mut reached, solved, cost) = match (options.mode, saved) {
            (_, Some(saved)) => (restored(&problem, saved)?, None, Some(costs()?)),
            (Mode::Fixed(fixed), None) => {
                let wants_plan = makes_plans && !keeps_cost;
                let Solved { reached, sums, plan } =
                    resident::solve(&problem, call, &clouds, &fixed, wants_plan)?;
                let lacks_plan = makes_plans && plan.is_none();
                (reached, Some((sums, plan)), lacks_plan.then(costs).transpose()?)
            }
            (Mode::GeomLoss(_), None) => {
                let cost = costs()?;
                (anneal(&problem, call, &cost, schedules.as_ref())?, None, Some(cost))
            }
        };
        let (own, own_gradients) = match options.debias {
            true => {
                let sides = [options.gradients.has_x(), options.gradients.has_y()];
                let of = |side: usize| {
                    let gradient = wanted.filter(|_| sides[side]).map(|wanted| wanted.upstream);
                    let (eps, schedules) = (problem.eps, schedules.as_ref());
                    let request = Request { side, eps, schedules, saved, gradient };
                    own::solve(session, call, [x, y][side], &request)
                };
                let ((of_x, grad_x), (of_y, grad_y)) = (of(0)?, of(1)?);
                (Some([of_x, of_y]), [grad_x, grad_y])
            }
            false => (None, [None, None]),
        };
        let (sums, plan, cost) = match (cost, solved) {
            (None, solved) => {
                let (sums, plan) = solved.expect("sums come where costs do not stay");
                (sums, plan, None)
            }
            (Some(cost), _) if !makes_plans => {
                (plan::sums_alone(&problem, &cost, &mut reached)?, None, None)
            }
            (Some(cost), _) if keeps_cost => {
                let (sums, plan) = plan::beside(&problem, &cost, &reached)?;
                (sums, Some(plan), Some(cost))
            }
            (Some(cost), _) => {
                let (sums, plan) = plan::made(&problem, cost, &reached)?;
                (sums, Some(plan), None)
            }
        };
        let half_points = match (&half, &plan) {
            (Some(half), Some(plan)) => Some(half.by_points(&problem, call, &clouds, plan)?),
            _ => None,
        };
        let clouds = match wanted.is_some() && half.is_none() || projects {
            true => gradient::wide(&problem, clouds, x, y)?,
            false => clouds,
        };
        let inverses = match &cost {
            Some(_) => pull::inverses(&problem, &clouds, options.cost)?,
            None => None,
        };
        let projected = match &plan {
            Some(plan) if projects => {
                let over_lengths = cost.as_ref().zip(inverses.as_ref());
                let plans = Plans { plan, sums: &sums, over_lengths };
                projection::fetch(&problem, call, &clouds, &reached, &plans)?
            }
            _ => [Vec::new(), Vec::new()],
        };
        let host_plan = match &plan {
            Some(plan) if options.plan => session.fetch(plan)?,
            _ => Vec::new(),
        };
        let points = match (wanted, plan) {
            (Some(_), _) if half_points.is_some() => half_points,
            (Some(_), Some(plan)) => {
                let (reached, sums) = (&reached, &sums);
                let matter = Matter { reached, sums, plan, cost, inverses, own: own_gradients };
                Some(gradient::by_points(&problem, call, &clouds, matter)?)
            }
            _ => None,
        };
        let kind = Kind {
            weights: [&call.x.weights, &call.y.weights],
            is_annealed: matches!(options.mode, Mode::GeomLoss(_)),
        };
        let numbers = numbers::fetch(&problem, kind, &reached, &sums)?;
        let parts = Parts { call, eps: problem.eps, numbers: &numbers, own: own.as_ref() };
        let pieces = match (points, wanted) {
            (Some(points), Some(Wanted { upstream, .. })) => {
                let (r, c) = (session.fetch(&sums.rows)?, session.fetch(&sums.columns)?);
                Some(Pieces { points, slopes: parts.slopes(upstream, [&r, &c]) })
            }
            _ => None,
        };
        let value = parts.values();
        let found = found(value, numbers, own.as_ref(), host_plan, projected);
        Ok((call.output(problem.eps, found), pieces))
    }
}

/// Solves every pair by the schedule of GeomLoss.
fn anneal(
    problem: &Problem<'_>,
    call: &Call<'_>,
    cost: &Buffer,
    schedules: Option<&Schedules>,
) -> Result<Reached> {
    let schedules = schedules.expect("GeomLoss has schedules");
    let of = |k: usize| if call.has_mass(k) { schedules.of(k) } else { &[] };
    let schedules = (0..call.pairs()).map(of).collect();
    geomloss::solve(problem, cost, &Course { schedules, is_symmetric: false })
}

fn found(
    value: Vec<f64>,
    numbers: numbers::Numbers,
    own: Option<&[Own; 2]>,
    plan: Vec<f32>,
    projected: [Vec<f32>; 2],
) -> Found {
    let column = |c: usize| numbers.report.iter().map(|row| row[c]).collect();
    Found {
        value,
        gap: column(1),
        marginal_error: column(2),
        iterations: numbers.iterations,
        f: numbers.f,
        g: numbers.g,
        before: numbers.before,
        plan,
        projected,
        own: own.map(|[x, y]| [x.traces(), y.traces()]),
    }
}
