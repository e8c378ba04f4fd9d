use std::collections::BTreeSet;

use align_kernels::reference::crd::log_loss;
use tensor_core::{DType, Device, ErrorKind, Var};

use super::super::golden::{Leaves, assert_near, cases, noise, unit};
use super::*;

fn index(rows: &[i64]) -> Tensor {
    Tensor::from_vec(rows.to_vec(), &[rows.len()], Device::Cpu).unwrap()
}

#[test]
fn in_batch_values_and_gradients_are_those_of_the_formulas_in_f64() {
    for case in cases("crd_in_batch") {
        let tokens = case.tokens();
        let leaves = Leaves::new(&case, &["audio", "hidden"]);
        let student = leaves.embed("student", &tokens.pick(&leaves.get("hidden")));
        let teacher = leaves.embed("teacher", &leaves.get("audio"));
        let temperature = case.number("temperature").unwrap();
        // Dividing every exponential by Z shifts each score by -ln Z: one more coordinate.
        let shift = -temperature * case.number("z_norm").unwrap().ln();
        let widened = |x: &Tensor, value: f64| {
            let column =
                Tensor::full(&[x.dim(0).unwrap(), 1], value, DType::F32, Device::Cpu).unwrap();
            Tensor::cat(&[x, &column], 1).unwrap()
        };
        let sum = crd_in_batch(
            &widened(&student, 1.0),
            &widened(&teacher, shift),
            &tokens.clip_of,
            &tokens.rows_of(&case.integers("negatives")),
            temperature,
            case.number("dataset_size").unwrap() as usize,
        )
        .unwrap();
        let mean = sum.mul_scalar(1.0 / tokens.clip_of.len() as f64).unwrap();
        case.check("loss", &mean, 1.0);
        leaves.check(&case, &mean.backward().unwrap());
    }
}

#[test]
fn a_lone_clip_has_no_negatives_and_no_loss() {
    for n in [1, 3] {
        let student = Var::new(unit(&noise(&[n, 4], 1)));
        let clip_of = vec![0; n];
        assert!(draw_tokens(&clip_of, &mut Philox::new(1, 0)).is_empty());
        let teacher = unit(&noise(&[1, 4], 2));
        let sum = crd_in_batch(&student.tensor(), &teacher, &clip_of, &[], 0.07, 10).unwrap();
        assert_eq!(sum.item().unwrap(), 0.0);
        let gradients = sum.backward().unwrap();
        let slopes = gradients.get(&student).unwrap().to_vec_f64().unwrap();
        assert!(slopes.iter().all(|&slope| slope == 0.0));
    }
}

#[test]
fn sides_can_be_exchanged_when_each_clip_has_one_token() {
    let (a, b) = (unit(&noise(&[4, 3], 3)), unit(&noise(&[4, 3], 4)));
    let clip_of = [0, 1, 2, 3];
    let drawn = draw_tokens(&clip_of, &mut Philox::new(5, 0));
    let loss = |student: &Tensor, teacher: &Tensor| {
        let sum = crd_in_batch(student, teacher, &clip_of, &drawn, 0.2, 50).unwrap();
        sum.item().unwrap()
    };
    assert_near(loss(&a, &b), loss(&b, &a), 1e-4);
}

#[test]
fn renaming_clips_leaves_the_loss_as_it_is() {
    let (student, teacher) = (unit(&noise(&[3, 5], 6)), unit(&noise(&[3, 5], 7)));
    let loss = |order: [i64; 3]| {
        let pick = |x: &Tensor| x.index_select(0, &index(&order)).unwrap();
        let drawn = [1, 2, 0, 2, 0, 1];
        let (student, teacher) = (pick(&student), pick(&teacher));
        let sum = crd_in_batch(&student, &teacher, &[0, 1, 2], &drawn, 0.1, 9).unwrap();
        sum.item().unwrap()
    };
    assert_near(loss([2, 0, 1]), loss([0, 1, 2]), 1e-4);
}

#[test]
fn every_token_draws_one_token_of_each_other_clip() {
    let clip_of = [0, 0, 0, 1, 2, 2];
    let mut rng = Philox::new(8, 0);
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let drawn = draw_tokens(&clip_of, &mut rng);
        assert_eq!(drawn.len(), clip_of.len() * 2);
        for (token, pair) in drawn.chunks(2).enumerate() {
            let others: Vec<usize> = (0..3).filter(|&clip| clip != clip_of[token]).collect();
            assert_eq!(pair.iter().map(|&at| clip_of[at]).collect::<Vec<_>>(), others);
        }
        seen.extend(drawn);
    }
    assert_eq!(seen.len(), clip_of.len(), "every token is drawn at some time");
}

#[test]
fn a_clip_without_tokens_is_a_negative_of_tokens_but_offers_none() {
    let clip_of = [0, 2];
    let drawn = draw_tokens(&clip_of, &mut Philox::new(9, 0));
    assert_eq!(drawn, [1, 0]);
    let (student, teacher) = (unit(&noise(&[2, 3], 10)), unit(&noise(&[4, 3], 11)));
    let sum = crd_in_batch(&student, &teacher, &clip_of, &drawn, 0.5, 20).unwrap();
    let scores = student.matmul(&teacher.transpose(0, 1).unwrap()).unwrap();
    let scores = scores.mul_scalar(2.0).unwrap().to_vec_f64().unwrap();
    let shift = (3.0f64 / 20.0).ln();
    let at = |token: usize, clip: usize, positive: bool| {
        log_loss(scores[token * 4 + clip] - shift, positive).0
    };
    let mut expected = 0.0;
    for (token, own) in [(0, 0), (1, 2)] {
        expected += 2.0 * at(token, own, true) + at(1 - token, own, false);
        expected += (0..4).filter(|&k| k != own).map(|k| at(token, k, false)).sum::<f64>();
    }
    assert_near(sum.item().unwrap(), expected, 1e-5);
}

#[test]
fn extents_that_disagree_are_refused() {
    let (student, teacher) = (unit(&noise(&[2, 3], 12)), unit(&noise(&[2, 3], 13)));
    for (clip_of, drawn, expected) in [
        (&[0][..], &[][..], "crd: clips of 1 tokens, expected 2"),
        (&[0, 2], &[1, 0], "crd: a token of clip 2, expected below 2"),
        (&[0, 1], &[1], "crd: 1 drawn tokens, expected 2 * 1 (hint: draw_tokens"),
        (&[0, 1], &[1, 2], "crd: drawn token 2, expected below 2"),
    ] {
        let error = crd_in_batch(&student, &teacher, clip_of, drawn, 0.1, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
