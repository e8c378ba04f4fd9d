//! Gradients against the twin, a plain loop and the host.

use align_kernels::pairwise_cost::Pairing;
use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{Options, sinkhorn_with_gradient};

use crate::batch::{Form, wide};
use crate::device::stream;
use crate::plain::{self, Errors};
use crate::transport::{Case, fixed};

fn cases() -> Vec<(&'static str, Case)> {
    let lengths: [&[usize]; 2] = [&[65, 0, 1, 31, 2], &[33, 4, 1, 0, 130]];
    let all: [&[usize]; 2] = [&[3, 66, 0], &[1, 33]];
    let options = fixed(0.1, 8, 0.0);
    let reach = Options { reach: Some(0.6), ..options };
    let pairs = |options| Options { pairing: Pairing::AllPairs, ..options };
    vec![
        ("paired", Case::new(lengths, 17, Form::Tight, options).with_holes()),
        ("width 1", Case::new(lengths, 1, Form::Gaps, options)),
        ("wide", Case::new(lengths, 129, Form::Gaps, options).with_holes()),
        ("reach", Case::new(lengths, 3, Form::Tight, reach).with_holes()),
        ("all pairs", Case::new(all, 8, Form::OddHalf, pairs(options)).with_holes()),
        ("all pairs, reach", Case::new(all, 65, Form::Tight, pairs(reach)).with_holes()),
    ]
}

#[test]
fn gradients_are_within_three_times_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (name, case) in cases() {
        let upstream: Vec<f32> = (0..case.pairs()).map(|k| 0.4 + k as f32 / 7.0).collect();
        let (x, y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
        let (x, y) = (x.ragged(), y.ragged());
        let weights = case.weights();
        let (output, grads) =
            sinkhorn_with_gradient(&x, &y, weights, &case.options, Some(&upstream)).unwrap();

        let width = case.x.width();
        let (mut want_x, mut want_y) =
            (vec![0.0; case.x.points.len()], vec![0.0; case.y.points.len()]);
        let (mut plain_x, mut plain_y) = (vec![0f32; want_x.len()], vec![0f32; want_y.len()]);
        let (mut want_a, mut want_b) =
            (vec![0.0; case.x.weights.len()], vec![0.0; case.y.weights.len()]);
        let mut want_eps = 0.0;
        for (k, &weight) in upstream.iter().enumerate() {
            let (i, j) = case.items(k);
            let (at_x, at_y) = (case.x.offsets[i], case.y.offsets[j]);
            let (cost, solution) = case.twin(k);
            let kind = twin::PointCost::SqEuclidean;
            let (xs, ys) = (wide(case.x.item(i)), wide(case.y.item(j)));
            let (by_x, by_y) =
                twin::point_gradients(kind, &xs, &ys, width, &solution.plan).unwrap();
            let options = case.twin_options(case.fixed());
            let more = twin::gradients(&solution, &cost, &case.a(k), &case.b(k), options).unwrap();
            let weight = f64::from(weight);
            add(&mut want_x[at_x * width..], &by_x, weight);
            add(&mut want_y[at_y * width..], &by_y, weight);
            add(&mut want_a[at_x..], &more.a, weight);
            add(&mut want_b[at_y..], &more.b, weight);
            want_eps += weight * more.eps;
            let (_, _, plan, _) = case.plain(k);
            let (by_x, by_y) = plain::point_gradients(case.x.item(i), case.y.item(j), &plan);
            add_f32(&mut plain_x[at_x * width..], &by_x, weight as f32);
            add_f32(&mut plain_y[at_y * width..], &by_y, weight as f32);
        }
        let mut errors = Errors::default();
        errors.add_all(&grads.x.to_vec().unwrap(), &plain_x, &want_x);
        errors.add_all(&grads.y.to_vec().unwrap(), &plain_y, &want_y);
        errors.check(3.0, 0.0, name);
        for (got, want) in grads.a.iter().zip(&want_a).chain(grads.b.iter().zip(&want_b)) {
            assert!(
                (f64::from(*got) - want).abs() < 1e-5 * (1.0 + want.abs()),
                "{name}: {got} {want}"
            );
        }
        let weights_and_grads = case.x.weights.iter().zip(&grads.a);
        for (weight, grad) in weights_and_grads.chain(case.y.weights.iter().zip(&grads.b)) {
            assert!(*weight != 0.0 || grad.to_bits() == 0, "{name}: {grad} at a weight of 0");
        }
        assert!((grads.eps - want_eps).abs() < 1e-4 * (1.0 + want_eps.abs()), "{name}");

        // Later weights give what weights known at once gave, on the device and on the host.
        let later = output.backward(&x, &y, weights, &case.options, &upstream).unwrap();
        assert_eq!(later.x.to_vec().unwrap(), grads.x.to_vec().unwrap(), "{name}");
        assert_eq!((&later.a, &later.b), (&grads.a, &grads.b), "{name}");
        assert_eq!(later.eps.to_bits(), grads.eps.to_bits(), "{name}");
        let (hx, hy) = (case.x.host(), case.y.host());
        let host = output.backward(&hx, &hy, weights, &case.options, &upstream).unwrap();
        for (got, host) in grads.y.to_vec().unwrap().iter().zip(&host.y) {
            assert!((got - host).abs() < 1e-5, "{name}: {got}, the host has {host}");
        }
    }
}

#[test]
fn weights_of_pairs_are_one_unless_given() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[5, 9], &[7, 3]];
    let case = Case::new(lengths, 3, Form::Tight, Options { plan: true, ..fixed(0.1, 5, 0.0) });
    let (x, y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
    let run = |upstream: Option<&[f32]>| {
        let (x, y) = (x.ragged(), y.ragged());
        let (output, grads) =
            sinkhorn_with_gradient(&x, &y, case.weights(), &case.options, upstream).unwrap();
        (output.plan, grads.x.to_vec().unwrap(), grads.y.to_vec().unwrap(), grads.a)
    };
    assert_eq!(run(None), run(Some(&[1.0, 1.0])));
    assert_eq!(run(None).0, case.on_device(&stream).plan);
}

fn add(sums: &mut [f64], part: &[f64], weight: f64) {
    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * x);
}

fn add_f32(sums: &mut [f32], part: &[f32], weight: f32) {
    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * x);
}
