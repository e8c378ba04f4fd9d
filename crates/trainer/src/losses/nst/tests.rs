use tensor_core::{ErrorKind, Var};

use super::super::golden::{cases, noise};
use super::*;

type Loss = fn(&Tensor, &Tensor, &[usize]) -> Result<Tensor>;

const LOSSES: [(&str, Loss); 3] =
    [("nst_gauss", nst_gauss), ("nst_poly", nst_poly), ("nst_gram", nst_gram)];

/// `(N, D, D')`: one token, one neuron, a prime, more than a vector register.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 1, 1), (1, 7, 3), (5, 1, 2), (3, 13, 13), (2, 129, 17)];

fn value(loss: Loss, student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> f64 {
    loss(student, teacher, clip_of).unwrap().item().unwrap()
}

#[track_caller]
fn assert_near(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: got {got}, expected {expected}");
}

#[test]
fn values_and_gradients_are_those_of_the_formulas_in_f64() {
    for (name, loss) in LOSSES {
        for case in cases(name) {
            let tokens = case.tokens();
            let hidden = case.leaf("hidden");
            let (mut student, mut teacher) = (tokens.pick(&hidden.tensor()), case.tensor("audio"));
            if case.flag("l2_normalize") {
                student = student.l2_normalize(-1, 1e-12).unwrap();
                teacher = teacher.l2_normalize(-1, 1e-12).unwrap();
            }
            // A bandwidth s is a bandwidth 1 on activations divided by s.
            let narrow = 1.0 / case.number("bandwidth").unwrap_or(1.0);
            student = student.mul_scalar(narrow).unwrap();
            teacher = teacher.mul_scalar(narrow).unwrap();
            let n = tokens.clip_of.len() as f64;
            let sum = loss(&student, &teacher, &tokens.clip_of).unwrap();
            let mean = sum.mul_scalar(1.0 / n).unwrap();
            // Differences of terms up to 1: that is what an error is measured by.
            case.check("loss", &mean, 1.0);
            let gradients = mean.backward().unwrap();
            let width = student.dim(1).unwrap() as f64;
            case.check_gradient("hidden", &hidden, &gradients, 1.0 / (n * width));
        }
    }
}

#[test]
fn nst_gram_is_the_mmd_of_rows_by_all_pairs() {
    for case in cases("mmd_poly_rows") {
        let (f, g) = (case.tensor("F"), case.leaf("G"));
        // One token a position, each of a clip of its own: rows are what the vectors give.
        let n = f.dim(1).unwrap();
        let clip_of: Vec<usize> = (0..n).collect();
        let student = g.tensor().transpose(0, 1).unwrap();
        let teacher = f.transpose(0, 1).unwrap().contiguous().unwrap();
        let sum = nst_gram(&student, &teacher, &clip_of).unwrap();
        let value = sum.mul_scalar(1.0 / n as f64).unwrap();
        case.check("loss", &value, 1.0);
        case.check_gradient("G", &g, &value.backward().unwrap(), 0.0);
    }
}

#[test]
fn vectors_of_the_reference_notes() {
    let row = |values: &[f32]| Tensor::from_vec(values.to_vec(), &[1, 4], Device::Cpu).unwrap();
    let (a, b) = (row(&[0.1, -0.2, 0.3, 0.4]), row(&[0.5, 0.1, -0.3, 0.2]));
    let reversed = row(&[0.2, -0.3, 0.1, 0.5]);
    for student in [&b, &reversed] {
        assert_near(value(nst_poly, student, &a, &[0]), 0.00050625, 1e-9, "poly");
        assert_near(value(nst_gauss, student, &a, &[0]), 0.001024074526, 1e-6, "gauss");
    }
    let unit = |x: &Tensor| x.l2_normalize(-1, 1e-12).unwrap();
    assert_near(value(nst_poly, &unit(&b), &unit(&a), &[0]), 0.0, 1e-12, "poly of unit vectors");
    let gauss = value(nst_gauss, &unit(&b), &unit(&a), &[0]);
    assert_near(gauss, 0.004137720009, 1e-6, "gauss of unit vectors");
}

#[test]
fn the_order_of_a_students_dimensions_does_not_matter() {
    for (n, width, teacher_width) in SHAPES {
        let (student, teacher) = (noise(&[n, width], 1), noise(&[2, teacher_width], 2));
        let clip_of: Vec<usize> = (0..n).map(|token| token % 2).collect();
        let reversed: Vec<i64> = (0..width as i64).rev().collect();
        let reversed = Tensor::from_vec(reversed, &[width], Device::Cpu).unwrap();
        let permuted = student.index_select(1, &reversed).unwrap();
        for (name, loss) in LOSSES {
            let (one, other) = (
                value(loss, &student, &teacher, &clip_of),
                value(loss, &permuted, &teacher, &clip_of),
            );
            assert_near(other, one, 1e-5 * one.max(1.0), name);
        }
    }
}

#[test]
fn equal_activations_give_zero_and_no_gradient() {
    for (n, width, _) in SHAPES {
        let teacher = noise(&[n, width], 3);
        let clip_of: Vec<usize> = (0..n).collect();
        let student = Var::new(teacher.clone());
        for (name, loss) in LOSSES {
            let sum = loss(&student.tensor(), &teacher, &clip_of).unwrap();
            assert_near(sum.item().unwrap(), 0.0, 1e-5, name);
            let gradients = sum.backward().unwrap();
            for slope in gradients.get(&student).unwrap().to_vec_f64().unwrap() {
                assert_near(slope, 0.0, 1e-5, name);
            }
        }
    }
}

#[test]
fn student_and_teacher_can_be_exchanged_and_no_value_is_negative() {
    for (n, width, teacher_width) in SHAPES {
        let (f, g) = (noise(&[n, width], 4), noise(&[n, teacher_width], 5));
        let clip_of: Vec<usize> = (0..n).collect();
        for (name, loss) in LOSSES {
            let (one, other) = (value(loss, &f, &g, &clip_of), value(loss, &g, &f, &clip_of));
            assert_near(other, one, 1e-5 * one.max(1.0), name);
            assert!(one > -1e-6, "{name}: {one}");
        }
    }
}

#[test]
fn a_common_shift_leaves_the_gaussian_form_as_it_is() {
    let (f, g) = (noise(&[3, 7], 6), noise(&[3, 5], 7));
    let shifted = |x: &Tensor| x.add_scalar(4.0).unwrap();
    let one = value(nst_gauss, &f, &g, &[0, 1, 2]);
    assert_near(value(nst_gauss, &shifted(&f), &shifted(&g), &[0, 1, 2]), one, 1e-5, "shift");
}

#[test]
fn far_apart_activations_reach_the_bound_and_stay_finite() {
    let row = |value: f32| Tensor::from_vec(vec![value; 9], &[1, 9], Device::Cpu).unwrap();
    let student = Var::new(row(1e4));
    let sum = nst_gauss(&student.tensor(), &row(-1e4), &[0]).unwrap();
    assert_near(sum.item().unwrap(), 2.0, 1e-6, "two separate points");
    let gradients = sum.backward().unwrap();
    for slope in gradients.get(&student).unwrap().to_vec_f64().unwrap() {
        assert_near(slope, 0.0, 1e-30, "nothing is near");
    }
}

#[test]
fn the_teacher_takes_no_gradient() {
    let (student, teacher) = (Var::new(noise(&[2, 3], 8)), Var::new(noise(&[2, 3], 9)));
    for (name, loss) in LOSSES {
        let sum = loss(&student.tensor(), &teacher.tensor(), &[0, 1]).unwrap();
        let gradients = sum.backward().unwrap();
        assert!(gradients.get(&student).is_some() && gradients.get(&teacher).is_none(), "{name}");
    }
}

#[test]
fn a_state_that_is_not_a_number_shows_in_the_value() {
    let teacher = noise(&[1, 9], 12);
    for at in 0..9 {
        let mut state = noise(&[1, 9], 13).to_vec_f32().unwrap();
        state[at] = f32::NAN;
        let student = Tensor::from_vec(state, &[1, 9], Device::Cpu).unwrap();
        for (name, loss) in LOSSES {
            assert!(value(loss, &student, &teacher, &[0]).is_nan(), "{name} {at}");
        }
    }
}

#[test]
fn no_tokens_give_zero() {
    for (name, loss) in LOSSES {
        assert_eq!(value(loss, &noise(&[0, 3], 14), &noise(&[2, 5], 15), &[]), 0.0, "{name}");
    }
}

#[test]
fn extents_that_disagree_are_refused() {
    let (student, teacher) = (noise(&[2, 3], 16), noise(&[2, 5], 17));
    for (name, loss) in LOSSES {
        for (clip_of, expected) in [
            (&[0][..], "nst: clips of 1 tokens, expected 2"),
            (&[0, 2], "nst: a token of clip 2, expected below 2"),
        ] {
            let error = loss(&student, &teacher, clip_of).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Shape, expected),
                "{name}"
            );
        }
        let flat = student.flatten(0, 1).unwrap();
        let error = loss(&flat, &teacher, &[0, 0]).unwrap_err().to_string();
        assert_eq!(error, "nst: student is [6], expected (rows, 1 or more dimensions)", "{name}");
    }
}

#[test]
fn one_thread_and_three_give_the_same_bits() {
    let (student, teacher) = (noise(&[33, 129], 10), noise(&[5, 129], 11));
    let clip_of: Vec<usize> = (0..33).map(|token| token % 5).collect();
    for (name, loss) in LOSSES {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| value(loss, &student, &teacher, &clip_of)).to_bits()
        };
        assert_eq!(on(1), on(3), "{name}");
    }
}

#[test]
fn the_exponential_is_good_to_two_units_in_the_last_place() {
    for k in 0..200_000 {
        let x = -(k as f32) * 4e-4;
        let (got, want) = (f64::from(exp_non_positive(x)), f64::from(x).exp());
        let error = (got - want).abs() / want;
        assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}): {got}, expected {want}");
    }
    assert_eq!(exp_non_positive(0.0), 1.0);
    assert!(exp_non_positive(-1e30) < 1e-37);
    assert!(exp_non_positive(f32::NEG_INFINITY) < 1e-37);
    assert!(exp_non_positive(f32::NAN).is_nan());
}
