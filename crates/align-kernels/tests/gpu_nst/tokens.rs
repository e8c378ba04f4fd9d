//! The forms on tokens: `nst_poly`, `nst_gauss` and `nst_gram`.

use align_kernels::ErrorKind;
use align_kernels::device::Gpu;
use align_kernels::mmd::Options;
use align_kernels::nst::{Gradients, TokenOutput, Tokens, nst_gauss, nst_gram, nst_poly};
use align_kernels::reference::nst as twin;
use gpu_runtime::Stream;

use crate::batch::{Cloud, FORMS, Form, wide};
use crate::device::stream;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Poly,
    Gauss(f64),
    Gram,
}

/// Tokens of 4 clips, of which one has none.
struct Case {
    student: Cloud,
    teacher: Cloud,
    clip_of: Vec<usize>,
}

impl Case {
    fn new(tokens: usize, widths: (usize, usize), form: Form) -> Self {
        // Activations of about 1, so that kernels of width 1 tell them apart.
        let grown = |cloud: Cloud, width: usize| {
            let mut cloud = cloud.rounded(form);
            let scale = (width as f32).sqrt().round().max(1.0);
            cloud.points.mapv_inplace(|v| v * scale);
            cloud.rounded(form)
        };
        let student = grown(Cloud::new(&[tokens], widths.0, 1), widths.0);
        let teacher = grown(Cloud::new(&[4], widths.1, 2), widths.1);
        let clip_of = (0..tokens).map(|t| [2, 0, 2, 3][t * 7 % 4]).collect();
        Self { student, teacher, clip_of }
    }

    fn widths(&self) -> (usize, usize) {
        (self.student.width(), self.teacher.width())
    }

    fn on_device(&self, stream: &Stream, form: Form, kind: Kind) -> TokenOutput<Vec<f32>> {
        let (student, teacher) = (self.student.send(stream, form), self.teacher.send(stream, form));
        let tokens = Tokens::on_device(student.points(), teacher.points(), &self.clip_of);
        let run = |wanted| match kind {
            Kind::Poly => nst_poly::<Gpu>(&tokens, wanted),
            Kind::Gauss(s) => nst_gauss(&tokens, s, wanted),
            Kind::Gram => nst_gram(&tokens, wanted),
        };
        let got = run(Gradients::Both).unwrap();
        let alone = run(Gradients::Student).unwrap();
        let grad_student = got.grad_student.to_vec().unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&alone.value), bits(&got.value), "{kind:?}");
        assert!(alone.grad_teacher.is_none(), "{kind:?}");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&alone.grad_student.to_vec().unwrap()), bits(&grad_student), "{kind:?}");
        let grad_teacher = got.grad_teacher.map(|grad| grad.to_vec().unwrap());
        TokenOutput { value: got.value, grad_student, grad_teacher }
    }

    fn on_host(&self, kind: Kind) -> TokenOutput {
        let (student, teacher) = (self.student.points.view(), self.teacher.points.view());
        let tokens = Tokens::new(student.into(), teacher.into(), &self.clip_of);
        match kind {
            Kind::Poly => nst_poly(&tokens, Gradients::Both),
            Kind::Gauss(s) => nst_gauss(&tokens, s, Gradients::Both),
            Kind::Gram => nst_gram(&tokens, Gradients::Both),
        }
        .unwrap()
    }

    fn want(&self, kind: Kind) -> twin::Tokens {
        let (student, teacher) = (wide(&self.student.points), wide(&self.teacher.points));
        let per_token = |options: &Options| {
            twin::per_token(&student, &teacher, &self.clip_of, self.widths(), options)
        };
        match kind {
            Kind::Poly => per_token(&Options::polynomial(2, 0.0)),
            Kind::Gauss(s) => per_token(&Options::gaussian(&[s])),
            Kind::Gram => twin::nst_gram(&student, &teacher, &self.clip_of, self.widths()),
        }
    }

    /// The plain loop over the pairs of each token in f32: values, and the student's gradient.
    fn plain_gauss(&self, s: f32) -> (Vec<f32>, Vec<f32>) {
        let (mut values, mut grads) = (vec![], vec![]);
        for (x, &clip) in self.student.points.rows().into_iter().zip(&self.clip_of) {
            let y = self.teacher.points.row(clip);
            let (n, m) = (x.len() as f32, y.len() as f32);
            let k = |a: f32, b: f32| (-(a - b) * (a - b) / (2.0 * s * s)).exp();
            let mean = |xs: &ndarray::ArrayView1<'_, f32>, ys: &ndarray::ArrayView1<'_, f32>| {
                let sum: f32 = xs.iter().map(|&a| ys.iter().map(|&b| k(a, b)).sum::<f32>()).sum();
                sum / (xs.len() * ys.len()) as f32
            };
            values.push(mean(&x, &x) + mean(&y, &y) - 2.0 * mean(&x, &y));
            for &a in x {
                let slope = |ys: &ndarray::ArrayView1<'_, f32>| {
                    ys.iter().map(|&b| (b - a) / (s * s) * k(a, b)).sum::<f32>()
                };
                grads.push(2.0 / n * (slope(&x) / n - slope(&y) / m));
            }
        }
        (values, grads)
    }
}

fn worst(got: impl IntoIterator<Item = f64>, want: &[f64]) -> f64 {
    let mut gaps = got.into_iter().zip(want).map(|(got, want)| (got - want).abs());
    gaps.by_ref().fold(0.0, |worst, gap| if gap <= worst { worst } else { gap })
}

fn widened(values: &[f32]) -> impl Iterator<Item = f64> + '_ {
    values.iter().map(|&x| f64::from(x))
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

const WIDTHS: [(usize, usize); 4] = [(1, 3), (33, 7), (64, 65), (300, 257)];

#[test]
fn poly_is_exact_but_for_one_rounding() {
    let Some(stream) = stream() else { return };
    for (form, widths) in FORMS.into_iter().zip(WIDTHS) {
        let case = Case::new(11, widths, form);
        let (got, want) = (case.on_device(&stream, form, Kind::Poly), case.want(Kind::Poly));
        let host = case.on_host(Kind::Poly);
        // Mean squares are about 1, and their sums are f64.
        assert!(worst(got.value.iter().copied(), &host.value) <= 1e-14, "{form:?}");
        assert!(worst(got.value.iter().copied(), &want.values) <= 1e-13, "{form:?}");
        let ulp = f64::from(f32::EPSILON);
        let error = worst(widened(&got.grad_student), &want.grad_student);
        assert!(error <= ulp * largest(&want.grad_student), "{form:?}: {error:.2e}");
        let error = worst(widened(&got.grad_teacher.unwrap()), &want.grad_teacher);
        assert!(error <= ulp * largest(&want.grad_teacher), "{form:?}: {error:.2e}");
    }
}

#[test]
fn gauss_is_as_good_as_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (at, (form, widths)) in FORMS.into_iter().zip(WIDTHS).enumerate() {
        let s = [1.0, 0.3, 1.0, 2.5][at];
        let (case, kind) = (Case::new(9, widths, form), Kind::Gauss(s));
        let (got, want, host) =
            (case.on_device(&stream, form, kind), case.want(kind), case.on_host(kind));
        let (values, grads) = case.plain_gauss(s as f32);
        let ulp = f64::from(f32::EPSILON);
        let error = worst(got.value.iter().copied(), &want.values);
        let plain = worst(widened(&values), &want.values);
        assert!(error <= 2.0 * plain + ulp, "{form:?} {widths:?}: {error:.2e}, plain {plain:.2e}");
        assert!(worst(got.value.iter().copied(), &host.value) <= 1e-6, "{form:?} {widths:?}");
        let plain = worst(widened(&grads), &want.grad_student) + ulp / s / widths.0 as f64;
        let error = worst(widened(&got.grad_student), &want.grad_student);
        assert!(error <= 3.0 * plain, "{form:?} {widths:?}: {error:.2e}, plain {plain:.2e}");
        // A clip has up to 5 tokens.
        let error = worst(widened(&got.grad_teacher.unwrap()), &want.grad_teacher);
        let plain = 5.0 * (plain + ulp / s / widths.1 as f64);
        assert!(error <= 3.0 * plain, "{form:?} {widths:?}: {error:.2e}, plain {plain:.2e}");
    }
}

#[test]
fn gram_is_that_of_the_twin_and_of_the_host() {
    let Some(stream) = stream() else { return };
    for (form, widths) in FORMS.into_iter().zip([(1, 3), (33, 7), (40, 65), (9, 70)]) {
        for tokens in [1, 13, 34] {
            let case = Case::new(tokens, widths, form);
            let (got, want) = (case.on_device(&stream, form, Kind::Gram), case.want(Kind::Gram));
            let host = case.on_host(Kind::Gram);
            let unit = if form == Form::Half { 2e-2 } else { 2e-6 } * tokens as f64;
            let place = format!("{form:?} {widths:?} {tokens}");
            assert!((got.value[0] - want.values[0]).abs() <= unit, "{place}: {}", got.value[0]);
            assert!((got.value[0] - host.value[0]).abs() <= unit, "{place}: {}", got.value[0]);
            // Slopes by a neuron of length 1, over its length.
            let shortest = |cloud: &Cloud, rows: &[usize]| {
                let column =
                    |d: usize| rows.iter().map(|&r| cloud.points[[r, d]].powi(2)).sum::<f32>();
                let least = (0..cloud.width()).map(column).fold(f32::INFINITY, f32::min);
                f64::from(least.sqrt())
            };
            let all: Vec<usize> = (0..tokens).collect();
            let error = worst(widened(&got.grad_student), &want.grad_student);
            let bound = 4.0 * unit / shortest(&case.student, &all);
            assert!(error <= bound, "{place}: student {error:.2e}, {bound:.2e}");
            let error = worst(widened(&got.grad_teacher.unwrap()), &want.grad_teacher);
            let bound = 4.0 * unit * 5.0 / shortest(&case.teacher, &case.clip_of);
            assert!(error <= bound, "{place}: teacher {error:.2e}, {bound:.2e}");
        }
    }
}

#[test]
fn no_tokens_and_one_are_a_batch() {
    let Some(stream) = stream() else { return };
    for kind in [Kind::Poly, Kind::Gauss(1.0), Kind::Gram] {
        let got = Case::new(0, (3, 5), Form::Tight).on_device(&stream, Form::Tight, kind);
        assert_eq!(got.value.iter().sum::<f64>(), 0.0, "{kind:?}");
        assert_eq!((got.grad_student.len(), got.grad_teacher.unwrap()), (0, vec![0.0; 20]));
        let case = Case::new(1, (3, 5), Form::Gaps);
        let (got, host) = (case.on_device(&stream, Form::Gaps, kind), case.on_host(kind));
        assert!(worst(got.value.iter().copied(), &host.value) < 1e-6, "{kind:?}");
    }
}

#[test]
fn nan_stays_in_its_token_or_clip() {
    let Some(stream) = stream() else { return };
    for kind in [Kind::Poly, Kind::Gauss(1.0)] {
        for form in [Form::Gaps, Form::Half] {
            let mut case = Case::new(8, (33, 35), form);
            let clean = case.on_device(&stream, form, kind);
            case.student.points[[3, 30]] = f32::NAN;
            // The clip without tokens.
            case.teacher.points.row_mut(1).fill(f32::NAN);
            let got = case.on_device(&stream, form, kind);
            for t in 0..8 {
                let (got, clean) = (got.value[t], clean.value[t]);
                assert!(if t == 3 { got.is_nan() } else { got == clean }, "{kind:?} {form:?} {t}");
            }
            let (a, b) = (&got.grad_student, &clean.grad_student);
            assert_eq!((&a[..99], &a[132..]), (&b[..99], &b[132..]), "{kind:?} {form:?}");
            assert_eq!(got.grad_teacher.unwrap()[35..70], [0.0; 35], "{kind:?} {form:?}");
            case.teacher.points[[2, 0]] = f32::NAN;
            let got = case.on_device(&stream, form, kind);
            for (value, &clip) in got.value.iter().zip(&case.clip_of).skip(4) {
                assert_eq!(value.is_nan(), clip == 2, "{kind:?} {form:?}");
            }
        }
    }
}

#[test]
fn student_and_teacher_may_be_of_two_forms() {
    let Some(stream) = stream() else { return };
    let case = Case::new(7, (24, 40), Form::Half);
    let student = case.student.send(&stream, Form::Half);
    let teacher = case.teacher.send(&stream, Form::Tight);
    let tokens = Tokens::on_device(student.points(), teacher.points(), &case.clip_of);
    let got = nst_gauss(&tokens, 1.0, Gradients::Student).unwrap();
    assert!(worst(got.value, &case.on_host(Kind::Gauss(1.0)).value) < 1e-6);
    let got = nst_gram(&tokens, Gradients::Student).unwrap();
    assert!(worst(got.value, &case.on_host(Kind::Gram).value) < 1e-4);
    let got = nst_poly(&tokens, Gradients::Student).unwrap();
    assert!(worst(got.value, &case.on_host(Kind::Poly).value) < 1e-6);
}

#[test]
fn bad_calls_are_refused_in_the_words_of_the_host() {
    let Some(stream) = stream() else { return };
    let case = Case::new(2, (3, 5), Form::Tight);
    let (student, teacher) =
        (case.student.send(&stream, Form::Tight), case.teacher.send(&stream, Form::Tight));
    let tokens = |clip_of| Tokens::on_device(student.points(), teacher.points(), clip_of);
    let error = nst_poly(&tokens(&[0]), Gradients::Student).unwrap_err();
    assert_eq!(error.to_string(), "nst_poly: clips of 1 tokens, expected 2");
    let error = nst_gram(&tokens(&[0, 4]), Gradients::Student).unwrap_err();
    assert_eq!(error.to_string(), "nst_gram: a token of clip 4, expected below 4");
    let error = nst_gauss(&tokens(&[0, 1]), 0.0, Gradients::Student).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Option);
}
