//! Temperatures and costs at the ends of what f32 holds.

use align_kernels::sinkhorn::{Acceleration, Fixed, Mode, Options};

use crate::batch::Form;
use crate::device::stream;
use crate::plain::Errors;
use crate::transport::{Case, align, fixed};

/// Clusters far from each other, and not the same on both sides.
fn clustered(options: Options, spread: f32) -> Case {
    let (x, y) = ([40, 64, 70], [50, 130, 64]);
    let mut case = Case::new([&x, &y], 6, Form::Tight, options);
    for (cloud, shift) in [(&mut case.x, 0), (&mut case.y, 1)] {
        for (i, mut row) in cloud.points.rows_mut().into_iter().enumerate() {
            row[(i + shift) % 3] += spread * ((i / 3 + shift) % 4) as f32;
        }
    }
    case
}

#[test]
fn temperatures_from_cold_to_hot_stay_within_twice_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for eps in [1e-3, 1e-2, 1.0, 1e3] {
        for spread in [0.0, 0.6] {
            let case = clustered(fixed(eps, 12, 0.0), spread);
            let got = case.on_device(&stream);
            let [mut potentials, mut values] = [(); 2].map(|()| Errors::default());
            for k in 0..case.pairs() {
                let (_, want) = case.twin(k);
                let (f, g, _, value) = case.plain(k);
                let (mut ours, mut plains) = ([got.f_of(k).to_vec(), got.g_of(k).to_vec()], [f, g]);
                let weights = [&case.a(k)[..], &case.b(k)];
                align(&mut ours, &want, weights);
                align(&mut plains, &want, weights);
                potentials.add_all(&ours[0], &plains[0], &want.f);
                potentials.add_all(&ours[1], &plains[1], &want.g);
                values.add(got.value[k], f64::from(value), want.value);
            }
            let spare = eps * (-21f64).exp2();
            potentials.check(2.0, spare, &format!("{eps} {spread}, potentials"));
            values.check(2.0, 0.0, &format!("{eps} {spread}, values"));
        }
    }
}

#[test]
fn potentials_that_wander_far_are_absorbed() {
    let Some(stream) = stream() else { return };
    // Far from each other, cold and long: potentials move by hundreds of eps.
    for acceleration in [Acceleration::Plain, Acceleration::OverRelaxation] {
        let fixed = Fixed { eps: 2e-3, max_iters: 120, tol: 0.0, acceleration };
        let case = clustered(Options { mode: Mode::Fixed(fixed), ..Options::default() }, 0.6);
        let (got, host) = (case.on_device(&stream), case.on_host());
        for k in 0..case.pairs() {
            let (_, want) = case.twin(k);
            let (ours, theirs) = (got.value[k] - want.value, host.value[k] - want.value);
            let bound = match acceleration {
                Acceleration::Plain => 2e-6 * (1.0 + want.value.abs()),
                // Relaxed potentials are elsewhere before convergence, on the host too.
                _ => 2.0 * theirs.abs() + 1e-4,
            };
            assert!(ours.abs() <= bound, "{acceleration:?}, pair {k}: {ours:e}, host {theirs:e}");
            let finite = got.f_of(k).iter().chain(got.g_of(k)).all(|h| h.is_finite());
            assert!(finite, "pair {k}");
        }
    }
}

#[test]
fn tiny_and_huge_weights_are_weights() {
    let Some(stream) = stream() else { return };
    for scale in [1e-12f32, 1e9] {
        let mut case = clustered(fixed(0.05, 10, 0.0), 0.3);
        case.x.weights.iter_mut().step_by(7).for_each(|w| *w *= 1e-15);
        case.x.weights.iter_mut().for_each(|w| *w *= scale);
        case.y.weights.iter_mut().for_each(|w| *w *= scale);
        let got = case.on_device(&stream);
        for k in 0..case.pairs() {
            let (_, want) = case.twin(k);
            for (got, want) in got.f_of(k).iter().zip(&want.f) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{scale} {k}: {got} {want}");
            }
        }
    }
}
