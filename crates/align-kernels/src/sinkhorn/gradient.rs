//! A whole call: own problems, pairs, and the gradients of both put together.

use ndarray::Array2;

use super::batch::{Batch, Job};
use super::checks::{check_saved, check_sides, check_upstream};
use super::cost::through_lengths;
use super::inner_products::InnerProducts;
use super::options::{Cost, Mode, Options};
use super::output::{Gradients, Output, OwnTrace, Trace};
use super::own::{self, Asked, Own, OwnTask};
use super::pair::PairResult;
use super::point_grads::{PointGrads, SideGrads};
use super::side::Side;
use super::weights::Weights;
use crate::error::{KernelError, Result};
use crate::ragged::Ragged;

/// Values alone.
pub(crate) fn run(
    x: &Ragged<'_>,
    y: &Ragged<'_>,
    weights: Weights<'_>,
    options: &Options,
) -> Result<Output> {
    let batch = prepare(&[x], &[y], &[weights], options)?;
    let tasks = own_tasks(&batch, None);
    let owns = [0, 1].map(|s| asked(&batch, s, &tasks, None).solve(None, None));
    let pairs = batch.run(Job::Values, &mut InnerProducts::once(), None);
    Ok(assemble(&batch, &pairs, owns))
}

pub(crate) fn run_with_gradient(
    x: &Ragged<'_>,
    y: &Ragged<'_>,
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
    saved: Option<&Output>,
) -> Result<(Output, Gradients)> {
    let batch = prepare(&[x], &[y], &[weights], options)?;
    let ones;
    let upstream = match upstream {
        Some(upstream) => upstream,
        None => {
            ones = vec![1.0; batch.pairs()];
            &ones
        }
    };
    check_upstream(upstream, batch.pairs())?;
    if let Some(saved) = saved {
        check_saved(saved, options, batch.pairs(), |k| {
            let (i, j) = batch.items(k);
            (batch.x.count(i), batch.y.count(j))
        })?;
    }
    let mut grads = point_grads(&batch);
    let tasks = own_tasks(&batch, Some(upstream));
    let own = |s: usize, grad: &mut Option<SideGrads>| {
        asked(&batch, s, &tasks, saved).solve(grad.as_mut(), None)
    };
    let owns = [own(0, &mut grads.x), own(1, &mut grads.y)];
    let job = Job::Gradients { upstream, saved };
    let pairs = batch.run(job, &mut InnerProducts::once(), Some(&mut grads));
    let gradients = gradients(&batch, &pairs, &owns, upstream, grads)?.swap_remove(0);
    Ok((assemble(&batch, &pairs, owns), gradients))
}

/// Values, and the gradients for the weights that `upstream` then gives them, from costs that are computed
/// once where they are few enough to keep.
pub(crate) fn run_through(
    x: &[&Ragged<'_>],
    y: &[&Ragged<'_>],
    weights: &[Weights<'_>],
    options: &Options,
    upstream: impl FnOnce(&Output) -> Result<Vec<f32>>,
) -> Result<(Output, Vec<Gradients>)> {
    let batch = prepare(x, y, weights, options)?;
    let mut grads = point_grads(&batch);
    let mut kept = [Vec::new(), Vec::new()];
    let tasks = own_tasks(&batch, None);
    let mut own = |s: usize, is_wanted: bool| {
        let asked = asked(&batch, s, &tasks, None);
        let keeps = is_wanted && own::are_few(asked.side);
        asked.solve(None, keeps.then_some(&mut kept[s]))
    };
    let owns = [own(0, grads.x.is_some()), own(1, grads.y.is_some())];
    let mut products = InnerProducts::twice(&batch.chunks());
    let pairs = batch.run(Job::Values, &mut products, None);
    let output = assemble(&batch, &pairs, owns.clone());

    let upstream = upstream(&output)?;
    check_upstream(&upstream, batch.pairs())?;
    let tasks = own_tasks(&batch, Some(&upstream));
    for (s, grad) in [&mut grads.x, &mut grads.y].into_iter().enumerate() {
        if let Some(grad) = grad {
            asked(&batch, s, &tasks, None).pull(&owns[s], grad, &kept[s]);
        }
    }
    products.again();
    let job = Job::Pulls { upstream: &upstream, found: &pairs };
    batch.run(job, &mut products, Some(&mut grads));
    Ok((output, gradients(&batch, &pairs, &owns, &upstream, grads)?))
}

fn prepare<'a>(
    x: &[&'a Ragged<'_>],
    y: &[&'a Ragged<'_>],
    weights: &[Weights<'_>],
    options: &'a Options,
) -> Result<Batch<'a>> {
    options.check()?;
    if let ([x], [y]) = (x, y) {
        check_sides("sinkhorn", x, y, options.pairing)?;
    }
    let (a, b): (Vec<_>, Vec<_>) = weights.iter().map(|weights| (weights.a, weights.b)).unzip();
    let x = Side::new("x", x, &a, options.cost)?;
    let y = Side::new("y", y, &b, options.cost)?;
    Batch::new(x, y, options)
}

type Owns = [Vec<Vec<Own>>; 2];

/// Room for the gradients of the sides that are wanted.
fn point_grads(batch: &Batch<'_>) -> PointGrads {
    let wanted = batch.options.gradients;
    PointGrads {
        x: wanted.has_x().then(|| SideGrads::new(&batch.x)),
        y: wanted.has_y().then(|| SideGrads::new(&batch.y)),
    }
}

/// The own problems of a side, 0 for `x` and 1 for `y`.
fn asked<'s>(
    batch: &'s Batch<'_>,
    s: usize,
    tasks: &'s [Vec<Vec<OwnTask>>; 2],
    saved: Option<&'s Output>,
) -> Asked<'s> {
    let side = if s == 0 { &batch.x } else { &batch.y };
    let saved = saved.map(|saved| &saved.trace.own[s][..]);
    Asked { side, options: batch.options, tasks: &tasks[s], saved }
}

/// The own problems of the items of both sides: none without debiasing, and none of an item whose pairs
/// all lack mass.
fn own_tasks(batch: &Batch<'_>, upstream: Option<&[f32]>) -> [Vec<Vec<OwnTask>>; 2] {
    let empty = |side: &Side<'_>| (0..side.items()).map(|_| Vec::new()).collect();
    let mut tasks: [Vec<Vec<OwnTask>>; 2] = [empty(&batch.x), empty(&batch.y)];
    for k in (0..batch.pairs()).filter(|&k| batch.options.debias && batch.has_mass(k)) {
        let (i, j) = batch.items(k);
        let weight = upstream.map_or(0.0, |upstream| upstream[k]);
        for (side, item) in [(0, i), (1, j)] {
            let tasks = &mut tasks[side][item];
            match tasks.first_mut() {
                Some(first) if !batch.has_own_schedules() => first.upstream += weight,
                _ => tasks.push(OwnTask { schedule: batch.schedule(k).to_vec(), upstream: weight }),
            }
        }
    }
    tasks
}

/// Gradients of each part, by the points as they were given, by the weights and by eps.
fn gradients(
    batch: &Batch<'_>,
    pairs: &[PairResult],
    owns: &Owns,
    upstream: &[f32],
    mut grads: PointGrads,
) -> Result<Vec<Gradients>> {
    let parts = batch.x.parts.len() - 1;
    let (a, b, eps) = weight_gradients(batch, pairs, owns, upstream);
    let by_points = |side: &Side<'_>, grads: Option<SideGrads>| -> Result<Vec<Array2<f32>>> {
        let Some(mut grads) = grads else {
            return Ok(vec![Array2::zeros((0, side.width)); parts]);
        };
        if batch.options.cost == Cost::Cosine {
            for (rows, grad) in grads.parts() {
                let points = &side.points[rows.start * side.width..rows.end * side.width];
                through_lengths(&side.norms[rows], points, side.width, grad);
            }
        }
        let rows = |grad: Vec<f32>| {
            Array2::from_shape_vec((grad.len() / side.width, side.width), grad)
                .map_err(|error| KernelError::shape("sinkhorn", error.to_string()))
        };
        grads.into_parts().into_iter().map(rows).collect()
    };
    let x = by_points(&batch.x, grads.x.take())?;
    let y = by_points(&batch.y, grads.y.take())?;
    let by_weights = |side: &Side<'_>, is_wanted: bool, all: &[f32], p: usize| match is_wanted {
        true => all[side.parts[p]..side.parts[p + 1]].to_vec(),
        false => Vec::new(),
    };
    let wanted = batch.options.gradients;
    let one = |(p, (x, y)): (usize, (Array2<f32>, Array2<f32>))| {
        let a = by_weights(&batch.x, wanted.has_x(), &a, p);
        let b = by_weights(&batch.y, wanted.has_y(), &b, p);
        Gradients { x, y, a, b, eps: eps[p] }
    };
    Ok(x.into_iter().zip(y).enumerate().map(one).collect())
}

/// Calls `f(pair, own of x, own of y)` for every pair, in order.
fn with_owns<'o>(
    batch: &Batch<'_>,
    owns: &'o Owns,
    mut f: impl FnMut(usize, Option<(&'o Own, &'o Own)>),
) {
    let mut next = [vec![0; batch.x.items()], vec![0; batch.y.items()]];
    for k in 0..batch.pairs() {
        if !batch.options.debias || !batch.has_mass(k) {
            f(k, None);
            continue;
        }
        let (i, j) = batch.items(k);
        let (at_x, at_y) = (next[0][i], next[1][j]);
        f(k, Some((&owns[0][i][at_x], &owns[1][j][at_y])));
        if batch.has_own_schedules() {
            next[0][i] += 1;
            next[1][j] += 1;
        }
    }
}

/// `sum a - sum b` of an unbalanced pair at one temperature, whose divergence has a term for it.
fn surplus(batch: &Batch<'_>, k: usize) -> f64 {
    let options = batch.options;
    let (i, j) = batch.items(k);
    match options.mode {
        Mode::Fixed(_) if options.debias && options.reach.is_some() && batch.has_mass(k) => {
            batch.x.mass[i] - batch.y.mass[j]
        }
        _ => 0.0,
    }
}

fn weight_gradients(
    batch: &Batch<'_>,
    pairs: &[PairResult],
    owns: &Owns,
    upstream: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
    let (x, y) = (&batch.x, &batch.y);
    let (mut a, mut b) = (vec![0f64; x.norms.len()], vec![0f64; y.norms.len()]);
    // Several parts are a block each.
    let parts = x.parts.len() - 1;
    let part_of = |k: usize| if parts == 1 { 0 } else { k / batch.grid.of_block() };
    let mut eps = vec![0.0; parts];
    with_owns(batch, owns, |k, own| {
        let ((i, j), weight) = (batch.items(k), f64::from(upstream[k]));
        let (report, surplus) = (&pairs[k].report, surplus(batch, k));
        let own_eps = own.map_or(0.0, |(x, y)| x.grad_eps + y.grad_eps);
        eps[part_of(k)] += weight * (report.grad_eps - own_eps + surplus * surplus / 2.0);
        let add = |out: &mut [f64], weights: &[f32], grad: &[f64], own: Option<&Own>, more: f64| {
            let own = own.map_or(&[][..], |own| &own.grad_weights);
            for (r, out) in out.iter_mut().enumerate().take(grad.len()) {
                if weights[r] != 0.0 {
                    *out += weight * (grad[r] - own.get(r).copied().unwrap_or(0.0) + more);
                }
            }
        };
        let more = pairs[k].eps * surplus;
        let own_x = own.map(|(x, _)| x);
        add(&mut a[x.offsets[i]..], x.item_weights(i), &report.grad_a, own_x, more);
        let own_y = own.map(|(_, y)| y);
        add(&mut b[y.offsets[j]..], y.item_weights(j), &report.grad_b, own_y, -more);
    });
    let narrow = |sums: Vec<f64>| sums.iter().map(|&s| s as f32).collect();
    (narrow(a), narrow(b), eps)
}

/// Packs the results of all pairs.
fn assemble(batch: &Batch<'_>, pairs: &[PairResult], owns: Owns) -> Output {
    let mut values = Vec::with_capacity(pairs.len());
    with_owns(batch, &owns, |k, own| {
        let surplus = surplus(batch, k);
        let own = own.map_or(0.0, |(x, y)| x.value + y.value);
        values.push(pairs[k].report.value - own + pairs[k].eps / 2.0 * surplus * surplus);
    });
    let mut output = pack(pairs);
    output.value = values;
    let traces = |owns: Vec<Vec<Own>>| -> Vec<Vec<OwnTrace>> {
        owns.into_iter().map(|of_item| of_item.into_iter().map(|own| own.trace).collect()).collect()
    };
    output.trace.own = owns.map(traces);
    output
}

/// Lays the results of pairs one after another.
pub(super) fn pack(pairs: &[PairResult]) -> Output {
    let starts = |len: fn(&PairResult) -> usize| {
        let mut offsets = vec![0];
        offsets.extend(pairs.iter().scan(0, |sum, pair| {
            *sum += len(pair);
            Some(*sum)
        }));
        offsets
    };
    let (f_offsets, g_offsets) = (starts(|pair| pair.f.len()), starts(|pair| pair.g.len()));
    let all = |part: fn(&PairResult) -> &[f32]| {
        let total = pairs.iter().map(|pair| part(pair).len()).sum();
        let mut out = Vec::with_capacity(total);
        pairs.iter().for_each(|pair| out.extend_from_slice(part(pair)));
        out
    };
    Output {
        value: pairs.iter().map(|pair| pair.report.value).collect(),
        gap: pairs.iter().map(|pair| pair.report.gap).collect(),
        marginal_error: pairs.iter().map(|pair| pair.report.marginal_error).collect(),
        iterations: pairs.iter().map(|pair| pair.iterations).collect(),
        f: all(|pair| &pair.f),
        f_offsets,
        g: all(|pair| &pair.g),
        g_offsets,
        plan: all(|pair| &pair.plan),
        projected_x: all(|pair| &pair.projected_x),
        projected_y: all(|pair| &pair.projected_y),
        trace: Trace {
            eps: pairs.iter().map(|pair| pair.eps).collect(),
            f_before: all(|pair| pair.before.as_ref().map_or(&[], |before| &before.0)),
            g_before: all(|pair| pair.before.as_ref().map_or(&[], |before| &before.1)),
            own: Default::default(),
        },
    }
}
