//! Problems given by their cost matrices, on the device.

use gpu_runtime::{DeviceBuffer, DeviceSlice, Launch, Stream, args};

use super::iterate::Reached;
use super::numbers::{self, Kind};
use super::problem::{Extras, Problem, Side};
use super::schedule::{Schedules, optional};
use super::slopes::Parts;
use super::updates::Buffer;
use super::{anneal, found, iterate, plan, pull};
use crate::device::points::DevicePoints;
use crate::device::session::Session;
use crate::error::Result;
use crate::gradient_sides::GradientSides;
use crate::registry::WEIGH;
use crate::sinkhorn::{Call, Cost, Given, GivenCosts, Mode, Options, Output, Weights, costs};

/// Packed cost matrices in device memory, for [`sinkhorn_cost`](crate::sinkhorn::sinkhorn_cost).
///
/// The stream is that of a call's work: what fills the costs must be on it, or waited for by it.
#[derive(Debug, Clone, Copy)]
pub struct DeviceCosts<'a> {
    values: DeviceSlice<'a, f32>,
    stream: &'a Stream,
}

impl<'a> DeviceCosts<'a> {
    /// Matrices one after another.
    pub fn new(stream: &'a Stream, values: impl Into<DeviceSlice<'a, f32>>) -> Self {
        Self { values: values.into(), stream }
    }
}

/// Gradients of `sum_k upstream_k value_k` by what problems were made of.
#[derive(Debug)]
pub struct DeviceCostGradients {
    /// By the costs, packed as they are, on the device: the plans. With GeomLoss the mean of the plans of
    /// both sides.
    pub cost: DeviceBuffer<f32>,
    /// By the row weights.
    pub a: Vec<f32>,
    /// By the column weights.
    pub b: Vec<f32>,
    /// By the temperature.
    pub eps: f64,
}

impl costs::Sealed for DeviceCosts<'_> {}

impl GivenCosts for DeviceCosts<'_> {
    type Gradients = DeviceCostGradients;

    fn transport(
        self,
        offsets: (&[usize], &[usize]),
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
    ) -> Result<(Output, Option<DeviceCostGradients>)> {
        let given = Given::new(self.values.len(), offsets, weights, options, upstream)?;
        // The power of the distance is used up; its gradient is by the cost itself, which has no side.
        let gradients = GradientSides::Both;
        let plain = Options { cost: Cost::SqEuclidean, gradients, ..*options };
        let mut call = Call::given(offsets, &given, options);
        call.options = &plain;
        let points = DevicePoints::new(self.stream, self.values, self.values.len(), 1)?;
        let session = Session::begin("sinkhorn", points, points)?;
        session.finish(|| self.run(session, &call, &given, options.last_eps(), upstream))
    }
}

impl DeviceCosts<'_> {
    fn run(
        self,
        session: Session<'_>,
        call: &Call<'_>,
        given: &Given,
        eps: f64,
        upstream: Option<&[f32]>,
    ) -> Result<(Output, Option<DeviceCostGradients>)> {
        let problem = Problem::new(session, call, eps, Extras::Gradient { upstream })?;
        let is_annealed = matches!(call.options.mode, Mode::GeomLoss(_));
        let schedules = is_annealed.then(|| Schedules::one(given.schedule.clone()));
        let mut cost = session.room(self.values.len())?;
        session.gpu(cost.as_slice_mut().copy_from(session.stream, self.values))?;
        let reached = match call.options.mode {
            Mode::Fixed(fixed) => {
                let is_done = (0..call.pairs()).map(|k| u32::from(!call.has_mass(k)));
                iterate::solve_but(&problem, &cost, &fixed, &is_done.collect::<Vec<u32>>())?
            }
            Mode::GeomLoss(_) => anneal(&problem, call, &cost, schedules.as_ref())?,
        };
        let (sums, plan) = plan::beside(&problem, &cost, &reached)?;
        let host_plan = if call.options.plan { session.fetch(&plan)? } else { Vec::new() };
        let by_costs = match upstream {
            Some(_) => Some(by_costs(&problem, &reached, cost, plan)?),
            None => None,
        };
        let kind = Kind { weights: [&given.a, &given.b], is_annealed };
        let numbers = numbers::fetch(&problem, kind, &reached, &sums)?;
        let parts = Parts { call, eps, numbers: &numbers, own: None };
        let gradients = match by_costs {
            Some(cost) => {
                let (r, c) = (session.fetch(&sums.rows)?, session.fetch(&sums.columns)?);
                let (a, b, eps) = parts.slopes(upstream, [&r, &c]);
                Some(DeviceCostGradients { cost, a, b, eps: eps[0] })
            }
            None => None,
        };
        let value = parts.values();
        let found = found(value, numbers, None, host_plan, [Vec::new(), Vec::new()]);
        Ok((call.output(eps, found), gradients))
    }
}

/// Plans times the weights of their pairs; with GeomLoss the mean of those of both sides.
fn by_costs(
    problem: &Problem<'_>,
    reached: &Reached,
    cost: Buffer,
    plan: Buffer,
) -> Result<Buffer> {
    let session = &problem.session;
    let (of_rows, of_columns) = match &reached.before {
        None => (plan, None),
        Some(_) => {
            let room = session.room(cost.len())?;
            let of = |side, room| {
                let pull =
                    pull::of_side(problem, Cost::SqEuclidean, side, (&cost, None, room), reached)?;
                Ok::<_, crate::KernelError>(pull.matrix)
            };
            (of(Side::Rows, plan)?, Some(of(Side::Columns, room)?))
        }
    };
    let mut out = cost;
    let kernel = session.kernel(&WEIGH)?;
    let rows = problem.layout.rows;
    let launch = Launch::new([rows.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![
        &mut out,
        &of_rows,
        optional(of_columns.as_ref()),
        problem.upstream(),
        problem.pairs(),
        problem.pair_of_row(),
        rows,
    ];
    // SAFETY: all matrices have the sizes of the layout, and every pair a weight.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}
