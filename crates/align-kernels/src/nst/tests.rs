use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use ndarray::array;

use super::*;
use crate::mmd::Options;
use crate::ragged::Ragged;
use crate::{ErrorKind, reference};

/// `(T, D, D', C)`: one token, one neuron, odd extents, few and many activations, more tokens
/// than neurons.
const SHAPES: [(usize, usize, usize, usize); 7] = [
    (1, 1, 1, 1),
    (1, 7, 3, 2),
    (5, 1, 2, 2),
    (3, 13, 13, 3),
    (4, 129, 17, 2),
    (9, 131, 77, 3),
    (40, 5, 6, 3),
];

type Form = fn(&Tokens<'_>, Gradients) -> Result<TokenOutput>;

const FORMS: [(&str, Form); 3] = [
    ("nst_gauss", |tokens, wanted| nst_gauss(tokens, 0.7, wanted)),
    ("nst_poly", nst_poly),
    ("nst_gram", nst_gram),
];

fn noise(rows: usize, width: usize, salt: usize) -> Array2<f32> {
    let values = ramp::<f32>(rows * width, salt).into_iter().map(|v| 2.0 * v).collect();
    Array2::from_shape_vec((rows, width), values).unwrap()
}

fn run(form: Form, student: &Array2<f32>, teacher: &Array2<f32>, clip_of: &[usize]) -> TokenOutput {
    let (student, teacher) = (student.view().into(), teacher.view().into());
    form(&Tokens { student, teacher, clip_of }, Gradients::Both).unwrap()
}

fn clips(tokens: usize, clips: usize) -> Vec<usize> {
    // The last clip of several has no token.
    let used = if clips > 2 { clips - 1 } else { clips };
    (0..tokens).map(|t| t % used).collect()
}

fn expected(
    name: &str,
    student: &Array2<f32>,
    teacher: &Array2<f32>,
    clip_of: &[usize],
) -> reference::nst::Tokens {
    let wide = |x: &Array2<f32>| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (widths, s, t) = ((student.ncols(), teacher.ncols()), wide(student), wide(teacher));
    match name {
        "nst_gram" => reference::nst::nst_gram(&s, &t, clip_of, widths),
        "nst_poly" => {
            reference::nst::per_token(&s, &t, clip_of, widths, &Options::polynomial(2, 0.0))
        }
        _ => reference::nst::per_token(&s, &t, clip_of, widths, &Options::gaussian(&[0.7])),
    }
}

#[track_caller]
fn assert_near(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (k, (&got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(got) - want).abs() <= tolerance, "{what} {k}: {got}, expected {want}");
    }
}

#[test]
fn values_and_gradients_are_those_of_the_reference() {
    for (tokens, width, other, count) in SHAPES {
        let (student, teacher) = (noise(tokens, width, 1), noise(count, other, 2));
        let clip_of = clips(tokens, count);
        for (name, form) in FORMS {
            let want = expected(name, &student, &teacher, &clip_of);
            let out = run(form, &student, &teacher, &clip_of);
            // Terms of these discrepancies reach 1, 16 and T.
            let scale = match name {
                "nst_gauss" => 1.0,
                "nst_poly" => 16.0,
                _ => tokens as f64,
            };
            assert_eq!(out.value.len(), want.values.len());
            for (got, want) in out.value.iter().zip(&want.values) {
                assert!(
                    (got - want).abs() <= 2e-7 * scale,
                    "{name} {tokens} {width}: {got} {want}"
                );
            }
            let what = format!("{name} {tokens} {width} {other}");
            // The few roundings on the way through the scaling, and the error of terms.
            let most = |grad: &[f64]| grad.iter().fold(0.0f64, |most, g| most.max(g.abs()));
            let tolerance = |grad: &[f64], rows: usize| {
                6e-7 * (most(grad) + scale / (grad.len() as f64 / rows as f64))
            };
            let grad = out.grad_student.as_slice().unwrap();
            assert_near(grad, &want.grad_student, tolerance(&want.grad_student, tokens), &what);
            let grad = out.grad_teacher.unwrap();
            let bound = tolerance(&want.grad_teacher, count) * tokens as f64;
            assert_near(grad.as_slice().unwrap(), &want.grad_teacher, bound, &what);
        }
    }
}

/// Everything in f32, pair by pair: the yardstick of errors.
fn plain_gauss(f: &[f32], g: &[f32], s: f32) -> (f32, Vec<f32>) {
    let k = |x: f32, y: f32| (-(x - y) * (x - y) / (2.0 * s * s)).exp();
    let mean = |a: &[f32], b: &[f32]| {
        let sum: f32 = a.iter().map(|&x| b.iter().map(|&y| k(x, y)).sum::<f32>()).sum();
        sum / (a.len() * b.len()) as f32
    };
    let pull = |x: f32, ys: &[f32]| {
        ys.iter().map(|&y| k(x, y) * (y - x) / (s * s)).sum::<f32>() / ys.len() as f32
    };
    let grad = f.iter().map(|&x| 2.0 / f.len() as f32 * (pull(x, f) - pull(x, g))).collect();
    (mean(f, f) + mean(g, g) - 2.0 * mean(f, g), grad)
}

#[test]
fn the_gaussian_form_is_as_good_as_a_plain_loop_near_and_far() {
    for (width, spread) in [(47, 0.3), (47, 5.0), (384, 0.3), (384, 1.0), (768, 5.0), (131, 4000.0)]
    {
        let student = noise(3, width, 3) * spread;
        let teacher = noise(2, width, 4) * spread;
        let (clip_of, mut naive, mut naive_grad) = ([0, 1, 1], 0.0f64, 0.0f64);
        let want = expected("nst_gauss", &student, &teacher, &clip_of);
        let out = run(FORMS[0].1, &student, &teacher, &clip_of);
        let (mut error, mut error_grad) = (0.0f64, 0.0f64);
        for (t, &clip) in clip_of.iter().enumerate() {
            let (f, g) = (student.row(t).to_vec(), teacher.row(clip).to_vec());
            let (value, grad) = plain_gauss(&f, &g, 0.7);
            naive = naive.max((f64::from(value) - want.values[t]).abs());
            error = error.max((out.value[t] - want.values[t]).abs());
            for (i, &grad) in grad.iter().enumerate() {
                let want = want.grad_student[t * width + i];
                naive_grad = naive_grad.max((f64::from(grad) - want).abs());
                error_grad = error_grad.max((f64::from(out.grad_student[[t, i]]) - want).abs());
            }
        }
        assert!(error <= 2.0 * naive + 1e-9, "{width} {spread}: {error:e} {naive:e}");
        let floor = 1e-9 / width as f64;
        assert!(error_grad <= 3.0 * naive_grad + floor, "{width}: {error_grad:e} {naive_grad:e}");
    }
}

#[test]
fn vectors_of_the_reference_notes() {
    let (a, b) = (array![[0.1f32, -0.2, 0.3, 0.4]], array![[0.5f32, 0.1, -0.3, 0.2]]);
    let unit = |x: &Array2<f32>| x / x.mapv(|v| v * v).sum().sqrt();
    let gauss: Form = |tokens, wanted| nst_gauss(tokens, 1.0, wanted);
    let near = |form: Form, x: &Array2<f32>, y: &Array2<f32>, want: f64| {
        let got = run(form, y, x, &[0]).value[0];
        assert!((got - want).abs() < 1e-7, "{got} {want}");
    };
    near(nst_poly, &a, &b, 0.00050625);
    near(gauss, &a, &b, 0.001024074526);
    near(gauss, &a, &b.slice(ndarray::s![.., ..;-1]).to_owned(), 0.001024074526);
    near(nst_poly, &unit(&a), &unit(&b), 0.0);
    near(gauss, &unit(&a), &unit(&b), 0.004137720009);

    let f = array![[1.0f32, 0.0], [1.0, 1.0], [0.0, 2.0]];
    let g = array![[0.5f32, 0.5], [1.0, -1.0], [2.0, 1.0]];
    let rows = nst(&Ragged::single(f.view().into()), &Ragged::single(g.view().into())).unwrap();
    assert!((rows.value[0] - 0.022222222222).abs() < 1e-8, "{}", rows.value[0]);
    let turned = |x: &Array2<f32>| x.t().as_standard_layout().to_owned();
    let gram = run(nst_gram, &turned(&g), &turned(&f), &[0, 1]).value[0];
    assert!((gram - 2.0 * 0.022222222222).abs() < 2e-8, "{gram}");
}

#[test]
fn rows_of_a_batch_are_scaled_and_compared_item_by_item() {
    let (x, y) = (noise(9, 5, 5), noise(8, 5, 6));
    let (of_x, of_y) = ([0, 4, 4, 9], [0, 3, 5, 8]);
    let batch = nst(
        &Ragged::new(x.view().into(), &of_x).unwrap(),
        &Ragged::new(y.view().into(), &of_y).unwrap(),
    )
    .unwrap();
    assert_eq!(batch.value[1], 0.0);
    for k in [0, 2] {
        let rows = |x: &Array2<f32>, of: &[usize]| -> Vec<f64> {
            let rows = x.slice(ndarray::s![of[k]..of[k + 1], ..]);
            rows.iter().map(|&v| f64::from(v)).collect()
        };
        let want = reference::nst::nst(&rows(&x, &of_x), &rows(&y, &of_y), 5);
        assert!((batch.value[k] - want.value).abs() < 1e-7, "{}", batch.value[k]);
        let got: Vec<f32> =
            batch.grad_x.slice(ndarray::s![of_x[k]..of_x[k + 1], ..]).iter().copied().collect();
        assert_near(&got, &want.grad_x, 1e-7, "x");
        let got: Vec<f32> =
            batch.grad_y.slice(ndarray::s![of_y[k]..of_y[k + 1], ..]).iter().copied().collect();
        assert_near(&got, &want.grad_y, 1e-7, "y");
    }
}

#[test]
fn the_length_of_a_neuron_does_not_matter_and_a_silent_one_takes_no_gradient() {
    let (mut x, y) = (noise(6, 7, 7), noise(5, 7, 8));
    let value = |x: &Array2<f32>| {
        nst(&Ragged::single(x.view().into()), &Ragged::single(y.view().into())).unwrap()
    };
    let one = value(&x).value[0];
    // Squares of the scaled rows leave f32.
    for factor in [1e-30, 1e30] {
        let mut scaled = x.clone();
        scaled.row_mut(2).mapv_inplace(|v| v * factor);
        let other = value(&scaled).value[0];
        // Below a length of 1e-12 a row counts as nearly silent.
        assert_eq!((other - one).abs() < 1e-6, factor > 1.0, "{factor}: {one} {other}");
    }
    x.row_mut(2).fill(0.0);
    let out = value(&x);
    assert!(out.grad_x.row(2).iter().all(|&g| g == 0.0) && out.value[0].is_finite());
}

#[test]
fn equal_activations_give_zero_and_no_gradient() {
    for (tokens, width, _, _) in SHAPES {
        let teacher = noise(tokens, width, 9);
        let clip_of: Vec<usize> = (0..tokens).collect();
        for (name, form) in FORMS {
            let out = run(form, &teacher, &teacher, &clip_of);
            assert!(out.value.iter().all(|value| value.abs() < 1e-6), "{name} {:?}", out.value);
            let mut grads = out.grad_student.iter().chain(out.grad_teacher.as_ref().unwrap());
            assert!(grads.all(|g| g.abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn a_nan_shows_in_its_token_alone() {
    for width in [5, 60] {
        let (mut student, teacher) = (noise(3, width, 10), noise(3, width, 11));
        let clean = run(FORMS[0].1, &student, &teacher, &[2, 0, 2]);
        student[[1, 3]] = f32::NAN;
        for (name, form) in FORMS {
            let out = run(form, &student, &teacher, &[2, 0, 2]);
            if name == "nst_gram" {
                assert!(out.value[0].is_nan());
            } else {
                let seen: Vec<bool> = out.value.iter().map(|value| value.is_nan()).collect();
                assert_eq!(seen, [false, true, false], "{name}");
                assert!(out.grad_student.row(1).iter().any(|g| g.is_nan()), "{name}");
                let teacher = out.grad_teacher.unwrap();
                assert!(teacher.row(0).iter().any(|g| g.is_nan()), "{name}");
                assert!(teacher.row(2).iter().all(|g| g.is_finite()), "{name}");
            }
        }
        let out = run(FORMS[0].1, &student, &teacher, &[2, 0, 2]);
        assert_eq!((out.value[0], out.value[2]), (clean.value[0], clean.value[2]));
    }
}

#[test]
fn far_apart_activations_reach_the_bound_and_stay_finite() {
    for width in [9, 64] {
        let (student, teacher) =
            (Array2::from_elem((1, width), 1e4), Array2::from_elem((1, width), -1e4));
        let out = run(FORMS[0].1, &student, &teacher, &[0]);
        assert!((out.value[0] - 2.0).abs() < 1e-6, "{}", out.value[0]);
        assert!(out.grad_student.iter().all(|&g| g.abs() < 1e-10), "nothing is near");
    }
}

#[test]
fn no_tokens_give_nothing_and_no_teacher_gradient_is_made_unasked() {
    let (student, teacher) = (noise(0, 3, 12), noise(2, 5, 13));
    for (name, form) in FORMS {
        let out = run(form, &student, &teacher, &[]);
        assert_eq!(out.value.iter().sum::<f64>(), 0.0, "{name}");
        assert_eq!(out.grad_student.dim(), (0, 3), "{name}");
        assert_eq!(out.grad_teacher.unwrap(), Array2::<f32>::zeros((2, 5)), "{name}");
        let (student, teacher) = (noise(1, 3, 14), noise(1, 5, 15));
        let tokens = Tokens {
            student: student.view().into(),
            teacher: teacher.view().into(),
            clip_of: &[0],
        };
        assert!(form(&tokens, Gradients::Student).unwrap().grad_teacher.is_none());
    }
}

#[test]
fn thread_count_changes_no_bit() {
    let (student, teacher) = (noise(130, 129, 16), noise(5, 129, 17));
    let clip_of = clips(130, 5);
    for (_, form) in FORMS {
        same_bits_on_one_and_two_threads(|| {
            let out = run(form, &student, &teacher, &clip_of);
            let teacher = out.grad_teacher.unwrap();
            let grads = out.grad_student.iter().chain(&teacher).map(|&g| f64::from(g));
            out.value.iter().copied().chain(grads).collect::<Vec<f64>>()
        });
    }
}

#[test]
fn extents_that_disagree_are_refused() {
    let (student, teacher) = (noise(2, 3, 18), noise(2, 5, 19));
    let none = Array2::zeros((2, 0));
    for (name, form) in FORMS {
        for (student, teacher, clip_of, text) in [
            (&student, &teacher, &[0][..], "clips of 1 tokens, expected 2"),
            (&student, &teacher, &[0, 2], "a token of clip 2, expected below 2"),
            (&none, &teacher, &[0, 1], "student has width 0, expected 1 or more"),
            (&student, &none, &[0, 1], "teacher has width 0, expected 1 or more"),
        ] {
            let tokens = Tokens::new(student.view().into(), teacher.view().into(), clip_of);
            let error = form(&tokens, Gradients::Student).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (ErrorKind::Shape, format!("{name}: {text}"))
            );
        }
    }
    let tokens = Tokens::new(student.view().into(), teacher.view().into(), &[0, 1]);
    let error = nst_gauss(&tokens, 0.0, Gradients::Student).unwrap_err();
    let text = "nst_gauss: bandwidth is 0, expected 1e-15 to 1e15 (hint: 1 is what was published)";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Option, text));
}
