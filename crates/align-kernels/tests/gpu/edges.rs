//! Empty and massless sides, NaN, clouds against themselves, and results that repeat.

use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
use align_kernels::sinkhorn::{Options, Weights, sinkhorn, sinkhorn_with_gradient};
use gpu_runtime::Stream;

use crate::batch::{Cloud, Form};
use crate::device::stream;
use crate::transport::{Case, fixed};

#[test]
fn pairs_without_mass_are_exactly_zero() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[3, 0, 4, 33], &[2, 5, 6, 0]];
    for reach in [None, Some(0.5)] {
        let options = Options { plan: true, reach, ..fixed(0.1, 15, 1e-9) };
        let mut case = Case::new(lengths, 5, Form::Gaps, options);
        case.x = case.x.without_mass(2);
        for pairing in [Pairing::Paired, Pairing::AllPairs] {
            case.options.pairing = pairing;
            let (x, y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
            let (got, grads) = sinkhorn_with_gradient(
                &x.ragged(),
                &y.ragged(),
                case.weights(),
                &case.options,
                None,
            )
            .unwrap();
            for k in 0..case.pairs() {
                let (i, j) = case.items(k);
                let has_mass = (i == 0 || i == 3) && j != 3;
                assert_eq!(got.value[k] != 0.0, has_mass, "pair {k}");
                assert_eq!(got.iterations[k] != 0, has_mass, "pair {k}");
                let zeros = |x: &[f32]| x.iter().all(|&x| x.to_bits() == 0);
                let all = [got.f_of(k), got.g_of(k), got.plan_of(k)];
                assert!(has_mass || all.into_iter().all(zeros), "pair {k}");
                assert!(has_mass || (got.gap[k], got.marginal_error[k]) == (0.0, 0.0), "pair {k}");
            }
            let finite = |x: Vec<f32>| x.iter().all(|x| x.is_finite());
            assert!(finite(grads.x.to_vec().unwrap()) && finite(grads.y.to_vec().unwrap()));
            assert!(grads.x.to_vec().unwrap()[3 * 5..7 * 5].iter().all(|&g| g == 0.0));
            assert!(grads.a[3..7].iter().all(|&g| g == 0.0));
        }
    }
}

#[test]
fn empty_batches_have_empty_results() {
    let Some(stream) = stream() else { return };
    let none: [(&[usize], &[usize], Pairing); 4] = [
        (&[], &[], Pairing::Paired),
        (&[], &[3], Pairing::AllPairs),
        (&[2], &[], Pairing::AllPairs),
        (&[0, 0], &[0, 0], Pairing::Paired),
    ];
    for (x, y, pairing) in none {
        let options = Options { pairing, plan: true, ..fixed(0.1, 3, 0.0) };
        let case = Case::new([x, y], 4, Form::Tight, options);
        let (sent_x, sent_y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
        let (sent_x, sent_y) = (sent_x.ragged(), sent_y.ragged());
        let (got, grads) =
            sinkhorn_with_gradient(&sent_x, &sent_y, case.weights(), &options, None).unwrap();
        assert_eq!(got.value, vec![0.0; case.pairs()]);
        assert_eq!(got.f_offsets.len(), case.pairs() + 1);
        assert!(grads.x.to_vec().unwrap().iter().chain(&grads.a).all(|&g| g == 0.0));
        assert_eq!((grads.x.len(), grads.y.len()), (case.x.points.len(), case.y.points.len()));
        let costs = pairwise_cost(&sent_x, &sent_y, Cost::Cosine, pairing).unwrap();
        assert_eq!((costs.values.len(), costs.pairs()), (0, case.pairs()));
    }
}

#[test]
fn nan_stays_in_the_pairs_that_it_is_in() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[4, 33, 2], &[6, 31, 5]];
    for form in [Form::Tight, Form::Half] {
        let mut case = Case::new(lengths, 8, form, fixed(0.1, 30, 1e-6));
        let clean = case.on_device(&stream);
        case.x.points[[4 + 10, 3]] = f32::NAN;
        let got = case.on_device(&stream);
        assert!(got.value[1].is_nan() && got.iterations[1] == 1, "{:?}", got.value);
        assert!(got.f_of(1).iter().all(|f| f.is_nan()));
        for k in [0, 2] {
            assert_eq!(got.value[k].to_bits(), clean.value[k].to_bits());
            assert_eq!((got.f_of(k), got.iterations[k]), (clean.f_of(k), clean.iterations[k]));
        }
    }
}

#[test]
fn a_cloud_against_itself_has_a_symmetric_solution() {
    let Some(stream) = stream() else { return };
    let cloud = Cloud::new(&[33, 5], 17, 1).with_holes();
    let options = Options { plan: true, ..fixed(0.3, 200, 1e-6) };
    let weights = Weights { a: Some(&cloud.weights), b: Some(&cloud.weights) };
    let sent = cloud.send(&stream, Form::Tight);
    let got = sinkhorn(&sent.ragged(), &sent.ragged(), weights, &options).unwrap();
    let host = sinkhorn(&cloud.host(), &cloud.host(), weights, &options).unwrap();
    for (k, n) in [(0, 33), (1, 5)] {
        assert!((got.value[k] - host.value[k]).abs() < 2e-6);
        let plan = got.plan_of(k);
        for at in 0..n * n {
            let turned = plan[at % n * n + at / n];
            assert!((plan[at] - turned).abs() < 1e-5, "{at}: {} {turned}", plan[at]);
        }
    }
}

#[test]
fn results_repeat_bit_for_bit() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[65, 3], &[31, 40]];
    let options = Options { pairing: Pairing::AllPairs, plan: true, ..fixed(0.05, 12, 1e-3) };
    for form in [Form::Tight, Form::Half] {
        let case = Case::new(lengths, 33, form, options).with_holes();
        let run = |stream: &Stream| {
            let (x, y) = (case.x.send(stream, form), case.y.send(stream, form));
            let (x, y) = (x.ragged(), y.ragged());
            let (output, grads) =
                sinkhorn_with_gradient(&x, &y, case.weights(), &case.options, None).unwrap();
            let mut bits: Vec<u32> = output
                .f
                .iter()
                .chain(&output.g)
                .chain(&output.plan)
                .chain(&grads.x.to_vec().unwrap())
                .chain(&grads.y.to_vec().unwrap())
                .map(|x| x.to_bits())
                .collect();
            bits.extend(output.iterations.iter().map(|&n| n as u32));
            (bits, output.value.iter().map(|v| v.to_bits()).collect::<Vec<u64>>())
        };
        let other = Stream::new(stream.device()).unwrap();
        assert_eq!(run(&stream), run(&other), "{form:?}");
    }
}

#[test]
fn clouds_of_two_streams_wait_for_each_other() {
    let Some(stream) = stream() else { return };
    let other = Stream::new(stream.device()).unwrap();
    let case = Case::new([&[9], &[12]], 5, Form::Tight, fixed(0.1, 5, 0.0));
    let want = case.on_device(&stream);
    let (x, y) = (case.x.send(&stream, case.form), case.y.send(&other, case.form));
    let got = sinkhorn(&x.ragged(), &y.ragged(), case.weights(), &case.options).unwrap();
    assert_eq!((got.f, got.g), (want.f, want.g));
}
