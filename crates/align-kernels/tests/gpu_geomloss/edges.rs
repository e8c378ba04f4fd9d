//! Extremes, shapes past the registers, NaN, and repetition.

use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::sinkhorn::Options;

use crate::batch::{Cloud, Form};
use crate::case::Case;
use crate::device::stream;
use crate::twin::{annealed, check};

#[test]
fn steps_that_leave_the_range_are_done_in_the_log_domain() {
    // From one temperature to another a hundred, and ten thousand, times colder.
    let lengths: [&[usize]; 2] = [&[9, 33, 2], &[12, 31, 70]];
    for (blur, scaling) in [(0.01, 0.1), (0.003, 0.01), (0.02, 0.9)] {
        for (cost, reach) in
            [(Cost::SqEuclidean, None), (Cost::Euclidean, Some(0.5)), (Cost::Cosine, None)]
        {
            let options = Options { cost, reach, ..annealed(blur, scaling, None) };
            check(&Case::new(&format!("blur {blur}"), lengths, 5, options));
        }
    }
    let hot = annealed(30.0, 0.5, Some(1000.0));
    check(&Case::new("hot", lengths, 5, Options { debias: true, ..hot }));
}

#[test]
fn pairs_past_the_registers_go_step_by_step() {
    let lengths: [&[usize]; 2] = [&[1030, 2, 129, 7], &[2, 515, 257, 9]];
    for debias in [false, true] {
        let options = Options { debias, ..annealed(0.15, 0.5, None) };
        // Problems of the longest items with themselves are left out: the twin takes minutes.
        let lengths = if debias { [&lengths[0][1..], &[5, 7, 9]] } else { lengths };
        check(&Case::new("long", lengths, 2, options));
    }
}

#[test]
fn a_pair_in_a_batch_is_what_it_is_alone() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[3, 70, 33], &[40, 9, 2]];
    let options = Options {
        pairing: Pairing::AllPairs,
        debias: true,
        reach: Some(2.0),
        ..annealed(0.1, 0.5, None)
    };
    let all = Case::new("batch", lengths, 4, options);
    let (got, grads) = all.on_device(&stream);
    let (again, repeated) = all.on_device(&stream);
    assert_eq!((&got.value, &got.f, &got.g), (&again.value, &again.f, &again.g));
    assert_eq!(grads.x.to_vec().unwrap(), repeated.x.to_vec().unwrap());
    for k in 0..9 {
        let (i, j) = all.items(k);
        let alone = Case { x: only(&all.x, i), y: only(&all.y, j), ..all.clone() };
        let (want, _) = alone.on_device(&stream);
        assert_eq!((got.f_of(k), got.g_of(k)), (&want.f[..], &want.g[..]), "pair {k}");
        assert_eq!(got.value[k].to_bits(), want.value[0].to_bits(), "pair {k}");
    }
}

fn only(cloud: &Cloud, k: usize) -> Cloud {
    let weights = cloud.item_weights(k).to_vec();
    Cloud { points: cloud.item(k).to_owned(), offsets: vec![0, weights.len()], weights }
}

#[test]
fn nan_stays_in_the_pairs_that_it_is_in() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[5, 40, 3], &[6, 35, 4]];
    for (debias, form) in [(false, Form::Tight), (true, Form::Half)] {
        let options = Options { debias, ..annealed(0.1, 0.5, Some(2.0)) };
        let mut case = Case::new("nan", lengths, 4, options).of_form(form);
        let (clean, clean_grads) = case.on_device(&stream);
        let row = case.x.offsets[1];
        assert!(case.x.weights[row] != 0.0);
        case.x.points[[row, 2]] = f32::NAN;
        let (got, grads) = case.on_device(&stream);
        assert!(got.value[1].is_nan());
        for k in [0, 2] {
            assert_eq!(got.value[k].to_bits(), clean.value[k].to_bits(), "pair {k}");
            assert_eq!(got.f_of(k), clean.f_of(k), "pair {k}");
        }
        let (got, want) = (grads.y.to_vec().unwrap(), clean_grads.y.to_vec().unwrap());
        assert_eq!(got[..6 * 4], want[..6 * 4]);
    }
}

#[test]
fn potentials_of_the_host_give_gradients_here_and_the_other_way_round() {
    let Some(stream) = stream() else { return };
    for diameter in [None, Some(1.5)] {
        let options = Options {
            pairing: Pairing::AllPairs,
            cost: Cost::Cosine,
            debias: true,
            ..annealed(0.2, 0.5, diameter)
        };
        let lengths: [&[usize]; 2] = [&[3, 0, 33], &[4, 9]];
        let case = Case::new("backward", lengths, 6, options);
        let (output, grads) = case.on_device(&stream);
        let (host, host_grads) = case.on_host();
        let (x, y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
        let (x, y, upstream) = (x.ragged(), y.ragged(), case.upstream());
        let (weights, options) = (case.weights(), &case.options);
        let later = output.backward(&x, &y, weights, options, &upstream).unwrap();
        assert_eq!(later.x.to_vec().unwrap(), grads.x.to_vec().unwrap());
        assert_eq!((&later.a, &later.b), (&grads.a, &grads.b));
        let from_host = host.backward(&x, &y, weights, options, &upstream).unwrap();
        let near = |got: &[f32], want: &ndarray::Array2<f32>| {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 2e-5, "{got} {want}");
            }
        };
        near(&from_host.x.to_vec().unwrap(), &host_grads.x);
        near(&from_host.y.to_vec().unwrap(), &host_grads.y);
        let (hx, hy) = (case.x.host(), case.y.host());
        let on_host = output.backward(&hx, &hy, weights, options, &upstream).unwrap();
        near(&later.x.to_vec().unwrap(), &on_host.x);
        near(&later.y.to_vec().unwrap(), &on_host.y);
    }
}
