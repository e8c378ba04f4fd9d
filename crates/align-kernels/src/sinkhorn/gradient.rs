//! A whole call: own problems, pairs, and the gradients of both put together.

use ndarray::Array2;

use super::batch::{Batch, PointGrads};
use super::checks::{check_saved, check_sides, check_upstream};
use super::cost::through_lengths;
use super::options::{Cost, Mode, Options};
use super::output::{Gradients, Output, OwnTrace, Trace};
use super::own::{self, Own, OwnTask};
use super::pair::PairResult;
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
    let batch = prepare(x, y, weights, options)?;
    let (pairs, own) = solve(&batch, None, None, None);
    Ok(assemble(&batch, pairs, own))
}

pub(crate) fn run_with_gradient(
    x: &Ragged<'_>,
    y: &Ragged<'_>,
    weights: Weights<'_>,
    options: &Options,
    upstream: Option<&[f32]>,
    saved: Option<&Output>,
) -> Result<(Output, Gradients)> {
    let batch = prepare(x, y, weights, options)?;
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
    let mut grads =
        PointGrads { x: vec![0.0; batch.x.points.len()], y: vec![0.0; batch.y.points.len()] };
    let (pairs, own) = solve(&batch, Some(upstream), saved, Some(&mut grads));
    let (a, b, eps) = weight_gradients(&batch, &pairs, &own, upstream);
    if options.cost == Cost::Cosine {
        for (side, grad) in [(&batch.x, &mut grads.x), (&batch.y, &mut grads.y)] {
            through_lengths(&side.norms, &side.points, side.width, grad);
        }
    }
    let rows = |side: &Side<'_>, grad: Vec<f32>| {
        Array2::from_shape_vec((side.norms.len(), side.width), grad)
            .map_err(|error| KernelError::shape("sinkhorn", error.to_string()))
    };
    let gradients =
        Gradients { x: rows(&batch.x, grads.x)?, y: rows(&batch.y, grads.y)?, a, b, eps };
    Ok((assemble(&batch, pairs, own), gradients))
}

fn prepare<'a>(
    x: &'a Ragged<'_>,
    y: &'a Ragged<'_>,
    weights: Weights<'_>,
    options: &'a Options,
) -> Result<Batch<'a>> {
    options.check()?;
    check_sides("sinkhorn", x, y, options.pairing)?;
    let x = Side::new("x", x, weights.a, options.cost)?;
    let y = Side::new("y", y, weights.b, options.cost)?;
    Batch::new(x, y, options)
}

type Owns = [Vec<Vec<Own>>; 2];

fn solve(
    batch: &Batch<'_>,
    upstream: Option<&[f32]>,
    saved: Option<&Output>,
    mut grads: Option<&mut PointGrads>,
) -> (Vec<PairResult>, Owns) {
    let mut owns: Owns = [Vec::new(), Vec::new()];
    if batch.options.debias {
        let traces = saved.map(|saved| &saved.trace.own);
        let tasks = own_tasks(batch, upstream);
        for (s, side) in [&batch.x, &batch.y].into_iter().enumerate() {
            let grad = grads.as_deref_mut();
            let grad = grad.map(|grads| if s == 0 { &mut grads.x[..] } else { &mut grads.y[..] });
            let traces = traces.map(|traces| &traces[s][..]);
            owns[s] = own::solve(side, batch.options, &tasks[s], traces, grad);
        }
    }
    (batch.run(upstream, saved, grads), owns)
}

/// The own problems of the items of both sides. An item whose pairs all lack mass has none.
fn own_tasks(batch: &Batch<'_>, upstream: Option<&[f32]>) -> [Vec<Vec<OwnTask>>; 2] {
    let empty = |side: &Side<'_>| (0..side.items()).map(|_| Vec::new()).collect();
    let mut tasks: [Vec<Vec<OwnTask>>; 2] = [empty(&batch.x), empty(&batch.y)];
    for k in (0..batch.pairs()).filter(|&k| batch.has_mass(k)) {
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
) -> (Vec<f32>, Vec<f32>, f64) {
    let (x, y) = (&batch.x, &batch.y);
    let (mut a, mut b) = (vec![0f64; x.norms.len()], vec![0f64; y.norms.len()]);
    let mut eps = 0.0;
    with_owns(batch, owns, |k, own| {
        let ((i, j), weight) = (batch.items(k), f64::from(upstream[k]));
        let (report, surplus) = (&pairs[k].report, surplus(batch, k));
        let own_eps = own.map_or(0.0, |(x, y)| x.grad_eps + y.grad_eps);
        eps += weight * (report.grad_eps - own_eps + surplus * surplus / 2.0);
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
fn assemble(batch: &Batch<'_>, pairs: Vec<PairResult>, owns: Owns) -> Output {
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
pub(super) fn pack(pairs: Vec<PairResult>) -> Output {
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
