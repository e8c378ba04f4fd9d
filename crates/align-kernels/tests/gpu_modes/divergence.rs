//! One temperature, debiased or not, and gradients of every cost: beside plain f32 loops.

use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{Mode, Options};
use ndarray::ArrayView2;

use crate::batch::{Form, wide};
use crate::case::{Case, fixed};
use crate::device::stream;
use crate::looped::pull;
use crate::plain::{self, Errors};

type Side<'a> = (ArrayView2<'a, f32>, &'a [f32]);

/// Value and gradients by both sides of one problem in plain f32.
fn plain_problem(
    (x, a): Side<'_>,
    (y, b): Side<'_>,
    kind: Cost,
    (eps, iterations): (f64, usize),
    is_own: bool,
) -> (f32, Vec<f32>, Vec<f32>) {
    let cost = plain::costs(x, y, kind);
    let problem = plain::Problem { cost: &cost, a, b, eps: eps as f32, damping: 1.0 };
    let (f, g) = match is_own {
        false => problem.solve(iterations),
        true => {
            let mut f = vec![0f32; a.len()];
            for _ in 0..iterations {
                let new = problem.rows_after(&f);
                f.iter_mut().zip(new).for_each(|(f, new)| *f = (*f + new) / 2.0);
            }
            (f.clone(), f)
        }
    };
    let plan = problem.plan(&f, &g);
    let (mut by_x, mut by_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    for (k, (&p, &c)) in plan.iter().zip(&cost).enumerate() {
        let (i, j) = (k / b.len(), k % b.len());
        pull(kind, &mut by_x, (x, i), (y, j), p, c);
        pull(kind, &mut by_y, (y, j), (x, i), p, c);
    }
    (problem.value(&f, &g, &plan), by_x, by_y)
}

fn check(case: &Case) {
    let Some(stream) = stream() else { return };
    let (got, grads) = case.on_device(&stream);
    let Mode::Fixed(fixed) = case.options.mode else { panic!("another mode") };
    let (kind, width) = (case.options.cost, case.x.width());
    let point_cost = match kind {
        Cost::SqEuclidean => twin::PointCost::SqEuclidean,
        Cost::Euclidean => twin::PointCost::Euclidean,
        Cost::Cosine => twin::PointCost::Cosine,
    };
    let twin_options =
        twin::SolveOptions { eps: fixed.eps, max_iters: fixed.max_iters, tol: 0.0, rho: None };
    let [mut values, mut points] = [(); 2].map(|()| Errors::default());
    let sized = |len: usize| (vec![0f64; len], vec![0f32; len]);
    let (mut want_x, mut plain_x) = sized(case.x.points.len());
    let (mut want_y, mut plain_y) = sized(case.y.points.len());
    for (k, weight) in case.upstream().into_iter().enumerate() {
        let (i, j) = case.items(k);
        let x = (case.x.item(i), case.x.item_weights(i));
        let y = (case.y.item(j), case.y.item_weights(j));
        let has_mass = |side: Side<'_>| side.1.iter().any(|&w| w != 0.0);
        if !has_mass(x) || !has_mass(y) {
            assert_eq!((got.value[k], got.iterations[k]), (0.0, 0), "{}", case.name);
            continue;
        }
        let [of_x, of_y] = [x, y].map(|side| (wide(side.0), wide(side.1)));
        let (xs, ys) = ((&of_x.0[..], &of_x.1[..]), (&of_y.0[..], &of_y.1[..]));
        let temperature = (fixed.eps, fixed.max_iters);
        let (mut value, mut by_x, mut by_y) = plain_problem(x, y, kind, temperature, false);
        let (want, grad_x, grad_y) = match case.options.debias {
            true => {
                for (side, grad) in [(x, &mut by_x), (y, &mut by_y)] {
                    let (own, by_own, _) = plain_problem(side, side, kind, temperature, true);
                    value -= own / 2.0;
                    grad.iter_mut().zip(by_own).for_each(|(grad, own)| *grad -= own);
                }
                let want = twin::divergence(point_cost, xs, ys, width, twin_options).unwrap();
                (want.value, want.grad_x, want.grad_y)
            }
            false => {
                let cost = twin::cost_matrix(point_cost, xs.0, ys.0, width).unwrap();
                let want = twin::solve(&cost, xs.1, ys.1, twin_options).unwrap();
                let (by_x, by_y) =
                    twin::point_gradients(point_cost, xs.0, ys.0, width, &want.plan).unwrap();
                (want.value, by_x, by_y)
            }
        };
        values.add(got.value[k], f64::from(value), want);
        let (at_x, at_y) = (case.x.offsets[i] * width, case.y.offsets[j] * width);
        let add = |out: &mut [f64], part: &[f64]| {
            out.iter_mut().zip(part).for_each(|(out, part)| *out += f64::from(weight) * part);
        };
        add(&mut want_x[at_x..], &grad_x);
        add(&mut want_y[at_y..], &grad_y);
        let add = |out: &mut [f32], part: &[f32]| {
            out.iter_mut().zip(part).for_each(|(out, part)| *out += weight * part);
        };
        add(&mut plain_x[at_x..], &by_x);
        add(&mut plain_y[at_y..], &by_y);
    }
    points.add_all(&grads.x.to_vec().unwrap(), &plain_x, &want_x);
    points.add_all(&grads.y.to_vec().unwrap(), &plain_y, &want_y);
    let eps = fixed.eps;
    // A logarithm of a sum in units of eps, off by what `ex2` and `lg2` may be.
    values.check(2.0, eps * (-21f64).exp2(), &format!("{}, values", case.name));
    points.check(3.0, 0.0, &format!("{}, gradients", case.name));
}

#[test]
fn divergences_are_within_the_error_of_a_plain_loop() {
    let lengths: [&[usize]; 2] = [&[3, 0, 66, 1, 31], &[34, 4, 65, 1, 2]];
    let few: [&[usize]; 2] = [&[3, 66, 0], &[1, 33]];
    for cost in [Cost::SqEuclidean, Cost::Cosine, Cost::Euclidean] {
        for debias in [false, true] {
            let mode = fixed(0.1, 7, 0.0);
            let options = Options { cost, debias, mode, ..Options::default() };
            check(&Case::new("paired", lengths, 17, options));
            let options = Options { pairing: Pairing::AllPairs, ..options };
            check(&Case::new("all pairs", few, 129, options));
            if debias || cost != Cost::SqEuclidean {
                check(&Case::new("half", few, 9, options).of_form(Form::OddHalf));
            }
        }
    }
}

#[test]
fn equal_clouds_are_at_distance_0() {
    let Some(stream) = stream() else { return };
    for cost in [Cost::SqEuclidean, Cost::Cosine, Cost::Euclidean] {
        let mode = fixed(0.05, 200, 1e-6);
        let options = Options { cost, mode, debias: true, ..Options::default() };
        let mut case = Case::new("equal", [&[9, 40], &[9, 40]], 5, options);
        case.y = case.x.clone();
        let (got, grads) = case.on_device(&stream);
        for value in got.value {
            assert!(value.abs() < 1e-5, "{cost:?}: {value}");
        }
        for grad in grads.x.to_vec().unwrap() {
            assert!(grad.abs() < 2e-5, "{cost:?}: {grad}");
        }
    }
}
