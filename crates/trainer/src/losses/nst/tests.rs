use tensor_core::{Device, ErrorKind, Var};

use super::super::golden::{cases, noise};
use super::*;

type Loss = fn(&Tensor, &Tensor, &[usize]) -> Result<Tensor>;

const LOSSES: [(&str, Loss); 3] =
    [("nst_gauss", nst_gauss), ("nst_poly", nst_poly), ("nst_gram", nst_gram)];

fn value(loss: Loss, student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> f64 {
    loss(student, teacher, clip_of).unwrap().item().unwrap()
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
            (&[0][..], ": clips of 1 tokens, expected 2"),
            (&[0, 2], ": a token of clip 2, expected below 2"),
        ] {
            let error = loss(&student, &teacher, clip_of).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Shape, "{name}");
            assert_eq!(error.to_string(), format!("{name}{expected}"));
        }
        let flat = student.flatten(0, 1).unwrap();
        let error = loss(&flat, &teacher, &[0, 0]).unwrap_err().to_string();
        assert_eq!(error, format!("{name}: student is [6], expected (rows, dimensions)"));
    }
}
