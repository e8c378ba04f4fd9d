//! The other clips of a batch as negatives.

use align_kernels::crd::crd_in_batch;
use align_kernels::reference::crd as reference;

use crate::batch::{FORMS, Form, wide};
use crate::device::stream;
use crate::plain::{dot, draw, loss, points, send, unit, within};

/// Clips of 1, 2, 3, 1, 2, .. tokens and one drawn token of each other clip.
fn tokens(clips: usize) -> (Vec<usize>, Vec<usize>) {
    let clip_of: Vec<usize> = (0..clips).flat_map(|c| std::iter::repeat_n(c, c % 3 + 1)).collect();
    let drawn = draw(clip_of.len() * (clips - 1), clip_of.len(), 3);
    (clip_of, drawn)
}

#[test]
fn losses_and_gradients_are_within_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    let shapes = [(2, 1, 0.07), (5, 33, 1.0), (33, 128, 0.07), (130, 8, 0.02)];
    for (form, (clips, width, temperature)) in FORMS.into_iter().zip(shapes) {
        let (clip_of, drawn) = tokens(clips);
        let n = clip_of.len();
        let (student, teacher) = (unit(n, width, 1, form), unit(clips, width, 2, form));
        let (s, t) = (send(&student, &stream, form), send(&teacher, &stream, form));
        let got = crd_in_batch(points(&s), points(&t), &clip_of, &drawn, temperature, 50).unwrap();
        let want = reference::in_batch(
            &wide(&student),
            &wide(&teacher),
            width,
            &clip_of,
            &drawn,
            temperature,
            50,
        );
        let mut plain = (0.0f32, vec![0.0f32; n * width], vec![0.0f32; clips * width]);
        let heat = temperature as f32;
        let shift = ((clips - 1) as f32 / 50.0).ln();
        let mut add = |token: usize, clip: usize, positive: bool| {
            let (a, b) = (student.row(token), teacher.row(clip));
            let score = dot(a.as_slice().unwrap(), b.as_slice().unwrap()) / heat;
            let (value, slope) = loss(score - shift, positive);
            plain.0 += value;
            for d in 0..width {
                plain.1[token * width + d] += slope / heat * b[d];
                plain.2[clip * width + d] += slope / heat * a[d];
            }
        };
        for (token, &own) in clip_of.iter().enumerate() {
            add(token, own, true);
            add(token, own, true);
            (0..clips).filter(|&c| c != own).for_each(|c| add(token, c, false));
            let others = &drawn[token * (clips - 1)..(token + 1) * (clips - 1)];
            others.iter().for_each(|&other| add(other, own, false));
        }
        let at = format!("{clips} clips of width {width}, {form:?}");
        // One rounding of the largest score.
        let ulp = f64::from(f32::EPSILON) / temperature;
        let value = [got.value as f32];
        within(&at, &value, &[plain.0], &[want.value], 2.0, ulp + want.value * 1e-7);
        let student = got.grad_student.to_vec().unwrap();
        within(&at, &student, &plain.1, &want.grad_student, 3.0, ulp);
        let teacher = got.grad_teacher.to_vec().unwrap();
        within(&at, &teacher, &plain.2, &want.grad_teacher, 3.0, ulp);
    }
}

#[test]
fn results_are_those_of_the_host_and_repeat() {
    let Some(stream) = stream() else { return };
    let (clip_of, drawn) = tokens(17);
    let form = Form::Gaps;
    let (student, teacher) = (unit(clip_of.len(), 64, 4, form), unit(17, 64, 5, form));
    let host = crd_in_batch(student.view(), teacher.view(), &clip_of, &drawn, 0.07, 900).unwrap();
    let (s, t) = (send(&student, &stream, form), send(&teacher, &stream, form));
    let run = || crd_in_batch(points(&s), points(&t), &clip_of, &drawn, 0.07, 900).unwrap();
    let (got, again) = (run(), run());
    assert!((got.value - host.value).abs() < 1e-5 * host.value, "{} {}", got.value, host.value);
    assert_eq!(got.value.to_bits(), again.value.to_bits());
    let sides = [
        (got.grad_student, again.grad_student, host.grad_student),
        (got.grad_teacher, again.grad_teacher, host.grad_teacher),
    ];
    for (got, again, host) in sides {
        let got = got.to_vec().unwrap();
        assert_eq!(got, again.to_vec().unwrap());
        for (got, host) in got.iter().zip(&host) {
            assert!((got - host).abs() < 2e-5, "{got} {host}");
        }
    }
}

#[test]
fn a_lone_clip_has_no_negatives() {
    let Some(stream) = stream() else { return };
    let (student, teacher) = (unit(3, 5, 1, Form::Tight), unit(1, 5, 2, Form::Tight));
    let (s, t) = (send(&student, &stream, Form::Tight), send(&teacher, &stream, Form::Tight));
    let out = crd_in_batch(points(&s), points(&t), &[0, 0, 0], &[], 0.07, 10).unwrap();
    assert_eq!(out.value, 0.0);
    assert_eq!(out.grad_student.to_vec().unwrap(), vec![0.0; 15]);
    assert_eq!(out.grad_teacher.to_vec().unwrap(), vec![0.0; 5]);
}

#[test]
fn nan_shows() {
    let Some(stream) = stream() else { return };
    let (clip_of, drawn) = tokens(5);
    let mut student = unit(clip_of.len(), 9, 1, Form::Tight);
    let teacher = unit(5, 9, 2, Form::Tight);
    student[[2, 3]] = f32::NAN;
    let (s, t) = (send(&student, &stream, Form::Tight), send(&teacher, &stream, Form::Tight));
    let out = crd_in_batch(points(&s), points(&t), &clip_of, &drawn, 0.07, 10).unwrap();
    assert!(out.value.is_nan());
    let grad = out.grad_student.to_vec().unwrap();
    assert!(grad[18..27].iter().all(|g| g.is_nan()) && grad[..18].iter().all(|g| g.is_finite()));
}
