//! Identities that hold for every input, and what batching must not change.

use cpu_math::testing::same_bits_on_one_and_two_threads;
use ndarray::{Array2, Axis, concatenate, s};

use super::support::*;
use crate::Ragged;
use crate::sinkhorn::*;

#[test]
fn a_converged_plan_has_the_marginals_it_was_asked_for() {
    for (n, m) in SHAPES {
        let (x, y) = (cloud(n, 6, 1), cloud(m, 6, 2));
        let (a, b) = (masses(n, 3), masses(m, 4));
        let options = Options { plan: true, ..fixed(0.05) };
        let (got, _) = with_weights(&x, &y, &a, &b, &options);
        let plan = Array2::from_shape_vec((n, m), got.plan_of(0).to_vec()).unwrap();
        close(plan.sum_axis(ndarray::Axis(1)).as_slice().unwrap(), &wide_slice(&a), 3e-6, "rows");
        close(
            plan.sum_axis(ndarray::Axis(0)).as_slice().unwrap(),
            &wide_slice(&b),
            3e-6,
            "columns",
        );
        assert!(got.gap[0].abs() < 3e-6 && got.marginal_error[0] < 6e-6, "{n}x{m}");
    }
}

#[test]
fn exchanging_the_sides_exchanges_the_results() {
    let (x, y) = (cloud(17, 6, 1), cloud(13, 6, 2));
    for options in [Options { debias: true, ..fixed(0.05) }, geomloss(0.2, true)] {
        let (there, back) = (one(&x, &y, &options), one(&y, &x, &options));
        assert!((there.value[0] - back.value[0]).abs() < 1e-6);
        if matches!(options.mode, Mode::GeomLoss(_)) {
            close(&there.f, &wide_slice(&back.g), 2e-6, "potentials");
        }
    }
}

#[test]
fn equal_clouds_are_at_zero_and_moved_ones_at_half_the_squared_distance() {
    for (n, width) in [(1, 3), (7, 4), (33, 9)] {
        let x = cloud(n, width, 5);
        let shift = Array2::from_shape_fn((1, width), |(_, d)| 0.1 * (d as f32 + 1.0));
        let half = f64::from(shift.iter().map(|v| v * v).sum::<f32>()) / 2.0;
        for options in [fixed(0.1), fixed(0.02), geomloss(0.2, true)] {
            let options = Options { debias: true, ..options };
            assert!(one(&x, &x, &options).value[0].abs() < 2e-6);
            if matches!(options.mode, Mode::Fixed(_)) {
                let got = one(&x, &(&x + &shift), &options).value[0];
                assert!((got - half).abs() < 4e-6 * (1.0 + half), "{n}: {got}, expected {half}");
            }
        }
    }
}

#[test]
fn accelerated_iterations_reach_the_same_solution_sooner() {
    let mut totals = [0; 3];
    for seed in 0..8 {
        let (x, y) = (cloud(64, 16, seed), cloud(100, 16, seed + 50));
        for (eps, reach) in [(0.05, None), (0.01, None), (0.01, Some(2.0))] {
            let run = |acceleration| {
                let fixed = Fixed { eps, max_iters: 20_000, tol: 1e-4, acceleration };
                one(&x, &y, &Options { mode: Mode::Fixed(fixed), reach, ..Options::default() })
            };
            let ways = [
                Acceleration::Plain,
                Acceleration::OverRelaxation,
                Acceleration::Anderson { memory: 5 },
            ];
            let [plain, faster @ ..] = ways.map(run);
            totals[0] += plain.iterations[0];
            for (total, other) in totals[1..].iter_mut().zip(faster) {
                assert!(other.marginal_error[0] < 1.2e-4, "seed {seed} eps {eps}");
                let gap = (plain.value[0] - other.value[0]).abs();
                assert!(gap < 2e-5, "seed {seed} eps {eps}: {gap}");
                *total += other.iterations[0];
            }
        }
    }
    let [plain, relaxed, anderson] = totals;
    assert!(relaxed * 4 < plain * 3, "{relaxed} of {plain} iterations");
    assert!(anderson * 10 < plain, "{anderson} of {plain} iterations");
}

#[test]
fn anderson_is_sound_where_steps_are_wild() {
    for seed in 0..6 {
        for (n, m) in [(1, 7), (17, 13), (33, 64)] {
            // Distances of hundreds of eps, points twice, and one far from all others.
            let mut x = cloud(n, 5, seed);
            x.row_mut(n - 1).fill(3.0);
            let y = concatenate![Axis(0), cloud(m, 5, seed + 9), x.slice(s![..1, ..])];
            for (eps, reach) in [(0.01, None), (0.002, None), (0.002, Some(0.5))] {
                let run = |acceleration, max_iters| {
                    let fixed = Fixed { eps, max_iters, tol: 1e-5, acceleration };
                    one(&x, &y, &Options { mode: Mode::Fixed(fixed), reach, ..Options::default() })
                };
                let anderson = Acceleration::Anderson { memory: 6 };
                let at = format!("{n}x{m} seed {seed} eps {eps} reach {reach:?}");
                let (plain, faster) = (run(Acceleration::Plain, 30_000), run(anderson, 30_000));
                assert!(faster.f.iter().chain(&faster.g).all(|h| h.is_finite()), "{at}");
                assert!(faster.iterations[0] <= plain.iterations[0] + 10, "{at}");
                if plain.marginal_error[0] < 2e-5 {
                    let gap = (plain.value[0] - faster.value[0]).abs();
                    assert!(gap < 2e-4 * plain.value[0].abs().max(0.1), "{at}: {gap}");
                }
                for few in 2..9 {
                    let out = run(anderson, few);
                    assert!(out.f.iter().chain(&out.g).all(|h| h.is_finite()), "{at} after {few}");
                }
            }
        }
    }
}

/// Three items of `x`, four of `y`, one of them empty.
struct Batch {
    x: Array2<f32>,
    y: Array2<f32>,
}

const X: [usize; 4] = [0, 5, 6, 23];
const Y: [usize; 5] = [0, 9, 9, 26, 40];

impl Batch {
    fn new() -> Self {
        Self { x: cloud(23, 6, 1), y: cloud(40, 6, 2) }
    }
    fn x(&self) -> Ragged<'_> {
        Ragged::new(self.x.view().into(), &X).unwrap()
    }
    fn y(&self) -> Ragged<'_> {
        Ragged::new(self.y.view().into(), &Y).unwrap()
    }
}

fn every_mode() -> [Options; 4] {
    let reach = Some(0.5);
    let all = [fixed(0.05), geomloss(0.2, true), fixed(0.1), geomloss(0.1, false)];
    let mut all = all.map(|o| Options { pairing: Pairing::AllPairs, plan: true, ..o });
    (all[2].reach, all[2].debias) = (reach, true);
    (all[3].reach, all[3].cost) = (reach, Cost::Euclidean);
    all
}

#[test]
fn all_pairs_are_the_pairs_one_by_one() {
    let batch = Batch::new();
    for options in every_mode() {
        let upstream: Vec<f32> = (0..12).map(|k| 0.3 + k as f32 / 10.0).collect();
        let (x, y) = (batch.x(), batch.y());
        let (got, grads) =
            sinkhorn_with_gradient(&x, &y, Weights::default(), &options, Some(&upstream)).unwrap();
        let (mut grad_x, mut grad_y) = (batch.x.mapv(|_| 0f32), batch.y.mapv(|_| 0f32));
        let alone = Options { pairing: Pairing::Paired, ..options };
        for (k, weight) in upstream.iter().enumerate() {
            let (rx, ry) = (x.range(k / 4), y.range(k % 4));
            let (xs, ys) = (batch.x.slice(s![rx.clone(), ..]), batch.y.slice(s![ry.clone(), ..]));
            let (x, y) = (Ragged::single(xs.into()), Ragged::single(ys.into()));
            let (want, more) =
                sinkhorn_with_gradient(&x, &y, Weights::default(), &alone, Some(&[*weight]))
                    .unwrap();
            assert!((got.value[k] - want.value[0]).abs() < 1e-6, "{options:?} pair {k}");
            close(got.f_of(k), &wide_slice(&want.f), 3e-6, "f");
            close(got.plan_of(k), &wide_slice(&want.plan), 3e-6, "plan");
            grad_x.slice_mut(s![rx, ..]).scaled_add(1.0, &more.x);
            grad_y.slice_mut(s![ry, ..]).scaled_add(1.0, &more.y);
        }
        close(grads.x.as_slice().unwrap(), &wide(&grad_x), 6e-6, "grad x");
        close(grads.y.as_slice().unwrap(), &wide(&grad_y), 6e-6, "grad y");
        // Later weights give what weights known at once gave.
        let later = got.backward(&x, &y, Weights::default(), &options, &upstream).unwrap();
        assert!(later.x == grads.x && later.y == grads.y && later.a == grads.a, "{options:?}");
        assert_eq!(later.eps.to_bits(), grads.eps.to_bits());
    }
}

#[test]
fn ragged_pairs_are_bit_for_bit_the_single_ones() {
    let x = cloud(23, 6, 1);
    let y = concatenate![ndarray::Axis(0), cloud(26, 6, 2), cloud(3, 6, 9)];
    let offsets = [0, 9, 9, 29];
    let (rx, ry) = (
        Ragged::new(x.view().into(), &X).unwrap(),
        Ragged::new(y.view().into(), &offsets).unwrap(),
    );
    for options in [Options { debias: true, ..fixed(0.05) }, geomloss(0.2, true)] {
        let (got, grads) =
            sinkhorn_with_gradient(&rx, &ry, Weights::default(), &options, None).unwrap();
        for k in 0..3 {
            let (xs, ys) = (x.slice(s![rx.range(k), ..]), y.slice(s![ry.range(k), ..]));
            let (x, y) = (Ragged::single(xs.into()), Ragged::single(ys.into()));
            let (want, more) =
                sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap();
            assert_eq!(got.value[k].to_bits(), want.value[0].to_bits());
            assert_eq!(grads.x.slice(s![rx.range(k), ..]), more.x);
            assert_eq!(grads.y.slice(s![ry.range(k), ..]), more.y);
        }
        assert_eq!((got.value[1], got.iterations[1]), (0.0, 0), "an empty side");
    }
}

#[test]
fn thread_count_changes_no_bit() {
    let batch = Batch::new();
    for options in every_mode() {
        same_bits_on_one_and_two_threads(|| {
            let (x, y) = (batch.x(), batch.y());
            let (output, grads) =
                sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap();
            let mut all = output.f;
            all.extend(output.value.iter().map(|&v| v as f32));
            all.extend(grads.x.iter().chain(&grads.y).chain(&grads.a));
            all
        });
    }
    // Large enough for several parts and products.
    let (x, y) = (cloud(1100, 70, 1), cloud(1300, 70, 2));
    same_bits_on_one_and_two_threads(|| {
        let mode = Mode::Fixed(Fixed {
            eps: 0.05,
            max_iters: 30,
            tol: 0.0,
            acceleration: Acceleration::OverRelaxation,
        });
        let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
        let options = Options { mode, ..Options::default() };
        let (output, grads) =
            sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap();
        output.f.into_iter().chain(grads.y).collect()
    });
}

#[test]
fn nan_stays_in_its_item_and_points_without_mass_are_not_read() {
    let (x, y) = (cloud(23, 6, 1), cloud(23, 6, 2));
    let (x_batch, y_batch) = (&x, Ragged::new(y.view().into(), &X).unwrap());
    let mut broken = x_batch.clone();
    broken[[7, 2]] = f32::NAN;
    for options in [Options { debias: true, ..fixed(0.002) }, geomloss(0.2, true)] {
        let run = |x: &Array2<f32>, a: Option<&[f32]>| {
            let x = Ragged::new(x.view().into(), &X).unwrap();
            sinkhorn_with_gradient(&x, &y_batch, Weights { a, b: None }, &options, None).unwrap()
        };
        let (clean, clean_grads) = run(&x, None);
        let (got, grads) = run(&broken, None);
        assert!(got.value[2].is_nan() && got.f_of(2).iter().all(|f| f.is_nan()));
        assert!(grads.x.row(8).iter().all(|g| g.is_nan()));
        for k in 0..2 {
            assert_eq!(got.value[k].to_bits(), clean.value[k].to_bits());
        }
        assert_eq!(grads.x.slice(s![..6, ..]), clean_grads.x.slice(s![..6, ..]));

        // The same point without mass changes nothing, whatever it holds.
        let mut a: Vec<f32> = [5, 1, 17].iter().flat_map(|&n| vec![1.0 / n as f32; n]).collect();
        a[6..].fill(1.0 / 16.0);
        a[7] = 0.0;
        let (got, grads) = run(&broken, Some(&a));
        let (want, _) = run(&x, Some(&a));
        assert_eq!(got.value[2].to_bits(), want.value[2].to_bits());
        assert!(got.value.iter().all(|v| v.is_finite()) && got.f_of(2)[1] == 0.0);
        assert!(grads.x.row(7).iter().all(|&g| g == 0.0) && grads.a[7] == 0.0);
        assert!(grads.x.iter().chain(&grads.y).all(|g| g.is_finite()));
    }
}
