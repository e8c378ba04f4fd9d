//! Problems given by their cost matrices.

use cpu_math::parallel::map_tasks;

use super::checks::check_upstream;
use super::gradient::pack;
use super::lanes::{LANES, flat, flat_mut, vectors, with_matrices};
use super::options::{Cost, Mode, Options};
use super::output::Output;
use super::pair::{PairResult, finish, solve};
use super::problem::Problem;
use super::side::{masses, weights_of};
use super::weights::Weights;
use crate::error::{KernelError, Result};
use crate::gradient_sides::GradientSides;
use crate::reference::sinkhorn::eps_schedule;

/// Gradients of `sum_k upstream_k value_k` by what problems were made of.
#[derive(Debug, Clone)]
pub struct CostGradients {
    /// By the costs, packed as they are: the plans. With GeomLoss the mean of the plans of both sides.
    pub cost: Vec<f32>,
    /// By the row weights.
    pub a: Vec<f32>,
    /// By the column weights.
    pub b: Vec<f32>,
    /// By the temperature.
    pub eps: f64,
}

/// Solves entropic optimal transport for given cost matrices, one pair each.
///
/// # Shapes
///
/// | argument | shape | meaning |
/// |---|---|---|
/// | `costs` | `(N_k, M_k)` row-major, packed | `&[f32]` or `DeviceCosts`, one matrix a pair; `+inf` forbids |
/// | `rows` | `(B + 1,)` | where the rows of each pair start, from 0: `cu_seqlens` |
/// | `columns` | `(B + 1,)` | likewise of the columns |
/// | `weights` | `(rows[B],)`, `(columns[B],)` | uniform unless given |
/// | `upstream` | `(B,)` | weights of the values; with them gradients are returned |
///
/// # Errors
///
/// As [`sinkhorn`](super::sinkhorn). Also [`Option`](crate::ErrorKind::Option) for what needs points:
/// `debias`, projections, all-pairs, or GeomLoss without a diameter. `options.cost` only sets the power
/// `p` of `blur`, `reach` and the diameter; `options.gradients` has no say.
///
/// # Numerics
///
/// As [`sinkhorn`](super::sinkhorn). Entries at points of weight 0 have no influence. On a GPU the costs
/// are copied once, and gradients by them stay there.
pub fn sinkhorn_cost<C: GivenCosts>(
    costs: C,
    (rows, columns): (&[usize], &[usize]),
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
) -> Result<(Output, Option<C::Gradients>)> {
    costs.transport((rows, columns), weights, options, upstream)
}

/// Costs that transport can be solved for: `&[f32]`, or `DeviceCosts`.
pub trait GivenCosts: sealed::Sealed {
    /// Gradients by what problems were made of: [`CostGradients`], or `DeviceCostGradients`.
    type Gradients;

    /// [`sinkhorn_cost`].
    ///
    /// # Errors
    ///
    /// As there.
    fn transport(
        self,
        offsets: (&[usize], &[usize]),
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
    ) -> Result<(Output, Option<Self::Gradients>)>;
}

/// Keeps the list of costs closed.
pub(crate) mod sealed {
    /// Costs in a place of this crate.
    pub trait Sealed {}

    impl Sealed for &[f32] {}
}

/// A checked call with given costs.
pub(crate) struct Given {
    /// Temperatures of GeomLoss's schedule; none at one temperature.
    pub schedule: Vec<f64>,
    /// Where the costs of each pair start, and where the last ones end.
    pub starts: Vec<usize>,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

impl Given {
    /// `count` is that of the costs.
    pub fn new(
        count: usize,
        (rows, columns): (&[usize], &[usize]),
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
    ) -> Result<Self> {
        options.check()?;
        let schedule = schedule(options)?;
        check_offsets("rows", rows)?;
        check_offsets("columns", columns)?;
        let pairs = rows.len() - 1;
        if columns.len() != rows.len() {
            let detail = format!("columns has {} pairs, expected {pairs}", columns.len() - 1);
            return Err(KernelError::shape("sinkhorn", detail));
        }
        if let Some(upstream) = upstream {
            check_upstream(upstream, pairs)?;
        }
        let mut starts = vec![0];
        for k in 0..pairs {
            starts.push(starts[k] + (rows[k + 1] - rows[k]) * (columns[k + 1] - columns[k]));
        }
        if count != starts[pairs] {
            let detail = format!("costs has {count} values, expected {}", starts[pairs]);
            return Err(KernelError::shape("sinkhorn", detail));
        }
        let a = weights_of("rows", weights.a, rows)?;
        let b = weights_of("columns", weights.b, columns)?;
        Ok(Self { schedule, starts, a, b })
    }
}

impl GivenCosts for &[f32] {
    type Gradients = CostGradients;

    fn transport(
        self,
        offsets: (&[usize], &[usize]),
        weights: Weights<'_>,
        options: &Options,
        upstream: Option<&[f32]>,
    ) -> Result<(Output, Option<CostGradients>)> {
        let given = Given::new(self.len(), offsets, weights, options, upstream)?;
        Ok(on_host(self, offsets, &given, options, upstream))
    }
}

fn on_host(
    costs: &[f32],
    (rows, columns): (&[usize], &[usize]),
    given: &Given,
    options: &Options,
    upstream: Option<&[f32]>,
) -> (Output, Option<CostGradients>) {
    let Given { schedule, starts, a, b } = given;
    let pairs = rows.len() - 1;
    let (mass_a, mass_b) = (masses(a, rows), masses(b, columns));
    // The power of the distance is used up; its gradient is by the cost itself, which has no side.
    let gradients = GradientSides::Both;
    let plain = Options { cost: Cost::SqEuclidean, gradients, ..*options };
    let results = map_tasks(pairs, |k| {
        let (a, b) = (&a[rows[k]..rows[k + 1]], &b[columns[k]..columns[k + 1]]);
        let (n, m) = (a.len(), b.len());
        let mut grad = vec![0f32; if upstream.is_some() { n * m } else { 0 }];
        if mass_a[k] == 0.0 || mass_b[k] == 0.0 {
            return (PairResult::empty(n, m, 0, &plain), grad);
        }
        let (stride, costs) = (vectors(m) * LANES, &costs[starts[k]..starts[k + 1]]);
        let result = with_matrices(n * vectors(m), |cost, tile| {
            let tiles = flat_mut(cost).chunks_exact_mut(stride).zip(costs.chunks_exact(m));
            for ((tile, costs), &weight) in tiles.zip(a) {
                tile.fill(0.0);
                for ((slot, &c), &b) in tile.iter_mut().zip(costs).zip(b) {
                    *slot = if weight == 0.0 || b == 0.0 { 0.0 } else { c };
                }
            }
            let problem = Problem::new(cost, a, b, options.rho());
            let solved = solve(&problem, options, schedule, tile);
            let share = if solved.before.is_some() { 0.5 } else { 1.0 };
            let weight = upstream.map(|upstream| share * upstream[k]);
            let (result, _) =
                finish(&problem, &solved, &plain, None, weight, tile, |_, g, _, _| {
                    let rows = grad.chunks_exact_mut(m).zip(flat(g).chunks_exact(stride));
                    for (out, row) in rows {
                        out.iter_mut().zip(row).for_each(|(out, g)| *out += g);
                    }
                });
            result
        });
        (result, grad)
    });
    let gradients = upstream.map(|upstream| {
        let side = |of: fn(&PairResult) -> &[f64]| {
            let one = |((result, _), &w): (&(PairResult, _), &f32)| {
                of(result).iter().map(|g| (g * f64::from(w)) as f32).collect::<Vec<f32>>()
            };
            results.iter().zip(upstream).flat_map(one).collect()
        };
        let eps = |((result, _), &w): (&(PairResult, Vec<f32>), &f32)| {
            result.report.grad_eps * f64::from(w)
        };
        CostGradients {
            cost: results.iter().flat_map(|(_, grad)| grad).copied().collect(),
            a: side(|result| &result.report.grad_a),
            b: side(|result| &result.report.grad_b),
            eps: results.iter().zip(upstream).map(eps).sum(),
        }
    });
    let pairs: Vec<_> = results.into_iter().map(|(result, _)| result).collect();
    (pack(&pairs), gradients)
}

/// Temperatures of GeomLoss's schedule; none at one temperature. Refuses what needs points.
fn schedule(options: &Options) -> Result<Vec<f64>> {
    let what = match options.mode {
        _ if options.debias => "debias",
        _ if options.project_x || options.project_y => "a projection",
        _ if options.pairing != super::Pairing::Paired => "all-pairs",
        Mode::GeomLoss(geomloss) => match geomloss.diameter {
            Some(d) => {
                return eps_schedule(options.cost.power(), d, geomloss.blur, geomloss.scaling);
            }
            None => "a measured diameter",
        },
        Mode::Fixed(_) => return Ok(Vec::new()),
    };
    let detail = format!("{what} needs points, got cost matrices");
    Err(KernelError::option("sinkhorn", detail, "call sinkhorn with the points"))
}

fn check_offsets(name: &str, offsets: &[usize]) -> Result<()> {
    if offsets.first() == Some(&0) && offsets.is_sorted() {
        return Ok(());
    }
    let detail = format!("{name} has offsets that do not rise from 0");
    Err(KernelError::shape("sinkhorn", detail))
}
