//! Potentials, plans, values and counts.

use align_kernels::sinkhorn::{Acceleration, Options};

use crate::batch::wide;
use crate::case::{Case, Wanted, fixed, plainly};
use crate::device::stream;
use crate::plain::Errors;

/// Pairs beyond a CTA in one way or another: one group of one CTA, of two, of ten.
const X: [usize; 6] = [130, 513, 1, 2000, 129, 300];
const Y: [usize; 6] = [600, 129, 2000, 1, 64, 1100];

fn cases() -> Vec<(&'static str, Case)> {
    let all = |options| Case::new([&X, &Y], 3, options).with_holes();
    let reach = |options| Options { reach: Some(0.6), ..options };
    vec![
        ("plain", all(plainly(0.05, 12, 0.0))),
        ("reach", all(reach(plainly(0.1, 8, 0.0)))),
        ("cold", Case::new([&[140], &[150]], 3, plainly(1e-3, 20, 0.0)).with_holes()),
        ("hot", Case::new([&[140], &[150]], 3, plainly(1e3, 3, 0.0)).with_holes()),
        ("one iteration", Case::new([&[140], &[150]], 3, plainly(0.1, 1, 0.0))),
        ("no iteration", Case::new([&[140], &[150]], 3, plainly(0.1, 0, 0.0))),
    ]
}

#[test]
fn results_are_within_twice_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (name, mut case) in cases() {
        case.options.plan = true;
        let got = case.on_device(&stream);
        let [mut potentials, mut plans, mut values] = [(); 3].map(|()| Errors::default());
        for k in 0..case.pairs() {
            let at = format!("{name}, pair {k}");
            let Wanted { twin: want, f, g, plan, value } = case.wanted(k);
            let mut ours = [got.f_of(k).to_vec(), got.g_of(k).to_vec()];
            let mut plains = [f, g];
            if case.options.reach.is_none() {
                let weights = [wide(case.x.item_weights(k)), wide(case.y.item_weights(k))];
                align(&mut ours, [&want.f, &want.g], &weights);
                align(&mut plains, [&want.f, &want.g], &weights);
                values.add(got.value[k], value, want.value);
            }
            potentials.add_all(&ours[0], &plains[0], &want.f);
            potentials.add_all(&ours[1], &plains[1], &want.g);
            plans.add_all(got.plan_of(k), &plan, &want.plan);
            let rounding = want.f.iter().chain(&want.g).fold(1.0f64, |most, h| most.max(h.abs()));
            let eps = case.fixed().eps;
            let bound = 1e-6 * (1.0 + rounding / eps + eps);
            let (iterations, error) = (got.iterations[k], got.marginal_error[k]);
            assert!(
                iterations == want.iterations || error <= bound,
                "{at}: {iterations} {error} {}",
                want.iterations
            );
            let close = |got: f64, want: f64| {
                assert!((got - want).abs() <= bound * (1.0 + want.abs()), "{at}: {got} {want}");
            };
            close(got.marginal_error[k], want.marginal_error);
            close(got.value[k], want.value);
            close(got.gap[k], want.gap());
        }
        let spare = case.fixed().eps * (-21f64).exp2();
        potentials.check(2.0, spare, &format!("{name}, potentials"));
        plans.check(2.0, 0.0, &format!("{name}, plans"));
        values.check(2.0, 0.0, &format!("{name}, values"));
    }
}

/// Takes out the constant that moves from `f` to `g` and changes nothing else.
fn align([f, g]: &mut [Vec<f32>; 2], want: [&[f64]; 2], [a, b]: &[Vec<f64>; 2]) {
    let lead = |h: &[f32], want: &[f64], weights: &[f64]| -> f64 {
        let off = h.iter().zip(want).map(|(h, want)| f64::from(*h) - want);
        off.zip(weights).map(|(off, w)| off * w).sum()
    };
    let shift = (lead(f, want[0], a) - lead(g, want[1], b)) / 2.0;
    let moved = |h: &mut [f32], weights: &[f64], by: f64| {
        for (h, _) in h.iter_mut().zip(weights).filter(|(_, w)| **w != 0.0) {
            *h = (f64::from(*h) - by) as f32;
        }
    };
    moved(f, a, shift);
    moved(g, b, -shift);
}

#[test]
fn solutions_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[150, 31, 260], &[190, 33, 140]];
    for reach in [None, Some(0.8)] {
        for acceleration in [Acceleration::Plain, Acceleration::OverRelaxation] {
            for eps in [0.1, 0.02] {
                let options = Options { reach, plan: true, ..fixed(eps, 400, 1e-5, acceleration) };
                let case = Case::new(lengths, 5, options).with_holes();
                let (got, host) = (case.on_device(&stream), case.on_host());
                for k in 0..3 {
                    assert!(got.marginal_error[k] < 2e-5, "pair {k}");
                    assert!((got.value[k] - host.value[k]).abs() < 2e-6, "pair {k}");
                    for (got, host) in got.plan_of(k).iter().zip(host.plan_of(k)) {
                        assert!((got - host).abs() < 2e-5, "pair {k}: {got} {host}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_pair_has_the_same_bits_alone_and_in_a_batch() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[130, 7, 200, 0, 131, 300], &[140, 9, 140, 600, 520, 64]];
    let options = fixed(0.05, 60, 1e-4, Acceleration::OverRelaxation);
    let case = Case::new(lengths, 4, options).with_holes();
    let got = case.on_device(&stream);
    for k in (0..case.pairs()).filter(|&k| k != 3) {
        let want = case.only(k).on_device(&stream);
        assert_eq!((got.f_of(k), got.g_of(k)), (&want.f[..], &want.g[..]), "pair {k}");
        assert_eq!(got.iterations[k], want.iterations[0], "pair {k}");
        assert_eq!(got.value[k].to_bits(), want.value[0].to_bits(), "pair {k}");
    }
    let again = case.on_device(&stream);
    assert_eq!((&again.f, &again.g), (&got.f, &got.g));
}

#[test]
fn nan_stays_in_its_pair_and_ends_it() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[140, 140, 0], &[150, 150, 700]];
    let mut case = Case::new(lengths, 3, plainly(0.1, 9, 0.0));
    let want = case.on_device(&stream);
    case.x.points[[7, 1]] = f32::NAN;
    let got = case.on_device(&stream);
    assert!(got.value[0].is_nan() && got.f_of(0)[7].is_nan());
    assert_eq!((got.iterations[0], &got.iterations[1..]), (1, &[9, 0][..]));
    assert_eq!((got.f_of(1), got.g_of(1)), (want.f_of(1), want.g_of(1)));
    assert_eq!((got.value[1], got.value[2]), (want.value[1], 0.0));
}

#[test]
fn a_pair_of_many_ctas_stops_when_it_has_converged() {
    let Some(stream) = stream() else { return };
    let options = fixed(0.1, 200, 1e-3, Acceleration::Plain);
    let case = Case::new([&[700, 130], &[700, 520]], 3, options).with_holes();
    let (got, host) = (case.on_device(&stream), case.on_host());
    for k in 0..2 {
        let (iterations, want) = (got.iterations[k] as isize, host.iterations[k] as isize);
        assert!(iterations < 200 && (iterations - want).abs() <= 1, "{iterations} {want}");
        assert!(got.marginal_error[k] <= 1.1e-3, "pair {k}: {}", got.marginal_error[k]);
        assert!((got.value[k] - host.value[k]).abs() < 1e-5, "pair {k}");
    }
}
