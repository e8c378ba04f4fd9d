use std::collections::BTreeSet;

use tensor_core::{DType, Gradients, Var};

use super::super::golden::{Case, cases};
use super::*;

/// Relative size below which a gradient is rounding.
const NO_SCALE: f64 = 0.0;

fn unit(x: &Tensor) -> Tensor {
    x.l2_normalize(-1, 1e-12).unwrap()
}

fn noise(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Philox::new(seed, 0), DType::F32, Device::Cpu).unwrap()
}

fn rows(values: &[[f32; 2]]) -> Tensor {
    Tensor::from_vec(values.concat(), &[values.len(), 2], Device::Cpu).unwrap()
}

fn index(rows: &[i64]) -> Tensor {
    Tensor::from_vec(rows.to_vec(), &[rows.len()], Device::Cpu).unwrap()
}

#[track_caller]
fn assert_near(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "got {got}, expected {expected}");
}

/// The leaves of a case, with the linear maps of both sides.
struct Leaves {
    named: Vec<(&'static str, Var)>,
}

impl Leaves {
    fn new(case: &Case, inputs: &[&'static str]) -> Self {
        let maps = ["teacher.weight", "teacher.bias", "student.weight", "student.bias"];
        let named = inputs.iter().chain(&maps).map(|&name| (name, case.leaf(name))).collect();
        Self { named }
    }

    fn get(&self, name: &str) -> Tensor {
        self.named.iter().find(|(known, _)| *known == name).unwrap().1.tensor()
    }

    /// Normalised image of `x` under the map of a side.
    fn embed(&self, side: &str, x: &Tensor) -> Tensor {
        let (weight, bias) =
            (self.get(&format!("{side}.weight")), self.get(&format!("{side}.bias")));
        unit(&x.linear(&weight, Some(&bias)).unwrap())
    }

    fn check(&self, case: &Case, gradients: &Gradients) {
        for (name, leaf) in &self.named {
            case.check_gradient(name, leaf, gradients, NO_SCALE);
        }
    }
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
fn the_vector_of_the_reference_notes() {
    let (anchor, positive) = (unit(&rows(&[[1.0, 2.0]])), unit(&rows(&[[1.0, 1.0]])));
    let negatives = unit(&rows(&[[-1.0, 0.5], [0.3, -1.0]]));
    let score = |other: &Tensor| {
        let dots = anchor.matmul(&other.transpose(0, 1).unwrap()).unwrap();
        dots.mul_scalar(1.0 / 0.07).unwrap().to_vec_f64().unwrap()
    };
    let shift = (2.0f64 / 10.0).ln();
    let h = |s: f64| (-log_loss(s - shift, true).0).exp();
    assert_near(h(score(&positive)[0]), 0.999999739863, 1e-9);
    let scores = score(&negatives);
    assert_near(h(scores[0]), 0.833333333, 1e-6);
    assert_near(h(scores[1]), 0.000151705, 1e-9);
    let loss = log_loss(score(&positive)[0] - shift, true).0
        + scores.iter().map(|s| log_loss(s - shift, false).0).sum::<f64>();
    assert_near(loss, 1.791911446157, 2e-6);
}

#[test]
fn the_logarithms_stay_finite_where_the_exponential_does_not() {
    for x in [-1e4, -800.0, 0.0, 800.0, 1e4] {
        for positive in [true, false] {
            let (value, slope) = log_loss(x, positive);
            assert!(value.is_finite() && slope.is_finite(), "{x} {positive}: {value} {slope}");
            let (step, expected) = (1e-6, slope);
            let near = |x| log_loss(x, positive).0;
            assert_near((near(x + step) - near(x - step)) / (2.0 * step), expected, 1e-5);
        }
    }
    assert_eq!(log_loss(-1e4, true).0, 1e4);
    assert_eq!(log_loss(1e4, true).0, 0.0);
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

/// A bank as a memory case has it before the call.
fn bank_of(case: &Case) -> MemoryBank {
    let z = |side: &str| case.number(&format!("z_{side}")).unwrap_or(0.0);
    MemoryBank {
        student: case.tensor("student_bank"),
        teacher: case.tensor("teacher_bank"),
        z: [z("student"), z("teacher")],
    }
}

fn check_memory(case: &Case, leaves: &Leaves, student: &Tensor) {
    let teacher = leaves.embed("teacher", &leaves.get("teacher"));
    let draws = case.integers("draws");
    let anchors = case.integers("index");
    let draw = BankDraw { negatives: draws.len() / anchors.len() - 1, rows: draws };
    let mut bank = bank_of(case);
    let temperature = case.number("temperature").unwrap();
    let sum = bank.loss(student, &teacher, &draw, temperature).unwrap();
    let mean = sum.mul_scalar(1.0 / anchors.len() as f64).unwrap();
    case.check("loss", &mean, 1.0);
    leaves.check(case, &mean.backward().unwrap());
    for (side, z) in ["student", "teacher"].into_iter().zip(bank.z) {
        let z = Tensor::from_vec(vec![z], &[], Device::Cpu).unwrap();
        case.check(&format!("z_{side}"), &z, NO_SCALE);
    }

    let clips: Vec<usize> = anchors.iter().map(|&clip| clip as usize).collect();
    let momentum = case.number("momentum").unwrap();
    bank.update(&clips, &student.detach(), &teacher.detach(), momentum).unwrap();
    case.check("new_student_bank", &bank.student, 1.0);
    case.check("new_teacher_bank", &bank.teacher, 1.0);
}

#[test]
fn memory_bank_values_gradients_and_updates_are_those_of_the_formulas_in_f64() {
    for case in cases("crd_memory") {
        let leaves = Leaves::new(&case, &["student", "teacher"]);
        let student = leaves.embed("student", &leaves.get("student"));
        check_memory(&case, &leaves, &student);
    }
}

#[test]
fn the_bank_takes_the_mean_of_a_clips_tokens() {
    for case in cases("crd_memory_tokens") {
        let leaves = Leaves::new(&case, &["hidden", "teacher"]);
        let tokens = case.tokens();
        let embedded = leaves.embed("student", &tokens.pick(&leaves.get("hidden")));
        let clips = leaves.get("teacher").dim(0).unwrap();
        let means: Vec<Tensor> = (0..clips)
            .map(|clip| {
                let own = (0..tokens.clip_of.len()).filter(|&k| tokens.clip_of[k] == clip);
                let own: Vec<i64> = own.map(|k| k as i64).collect();
                embedded.index_select(0, &index(&own)).unwrap().mean(&[0], true).unwrap()
            })
            .collect();
        let means = Tensor::cat(&means.iter().collect::<Vec<_>>(), 0).unwrap();
        check_memory(&case, &leaves, &unit(&means));
    }
}

/// A bank of seven clips with one batch of two.
fn small_bank() -> (MemoryBank, Tensor, Tensor, BankDraw) {
    let mut rng = Philox::new(12, 0);
    let bank = MemoryBank::new(7, 4, &mut rng).unwrap();
    let draw = BankDraw::new(&[5, 2], 6, 7, &mut rng);
    (bank, unit(&noise(&[2, 4], 13)), unit(&noise(&[2, 4], 14)), draw)
}

#[test]
fn a_new_bank_is_uniform_and_its_sides_differ() {
    let bank = MemoryBank::new(500, 12, &mut Philox::new(15, 0)).unwrap();
    let (student, teacher) =
        (bank.student.to_vec_f64().unwrap(), bank.teacher.to_vec_f64().unwrap());
    let bound = 0.5;
    for side in [&student, &teacher] {
        assert!(side.iter().all(|v| v.abs() <= bound));
        let mean_square = side.iter().map(|v| v * v).sum::<f64>() / side.len() as f64;
        assert_near(mean_square, bound * bound / 3.0, 0.003);
    }
    assert_ne!(student, teacher);
    assert_eq!(bank.z, [0.0; 2]);
}

#[test]
fn z_is_fixed_by_the_first_batch() {
    let (mut bank, student, teacher, draw) = small_bank();
    bank.loss(&student, &teacher, &draw, 0.1).unwrap();
    let fixed = bank.z;
    assert!(fixed.iter().all(|&z| z > 0.0));
    bank.loss(&unit(&noise(&[2, 4], 16)), &teacher, &draw, 0.1).unwrap();
    assert_eq!(bank.z, fixed);
}

#[test]
fn a_batch_of_nan_does_not_fix_z() {
    let (mut bank, student, teacher, draw) = small_bank();
    let nan = Tensor::full(&[2, 4], f64::NAN, DType::F32, Device::Cpu).unwrap();
    assert!(bank.loss(&nan, &teacher, &draw, 0.1).unwrap().item().unwrap().is_nan());
    assert_eq!(bank.z[0], 0.0, "the side that saw NaN waits for the next batch");
    assert!(bank.loss(&student, &teacher, &draw, 0.1).unwrap().item().unwrap().is_finite());
    assert!(bank.z.iter().all(|z| z.is_finite() && *z > 0.0));
}

#[test]
fn an_update_moves_the_clips_of_the_batch_alone() {
    let (mut bank, student, teacher, _) = small_bank();
    let before = bank.clone();
    bank.update(&[5, 2], &student, &teacher, 0.75).unwrap();
    for (old, new, fresh) in
        [(&before.student, &bank.student, &student), (&before.teacher, &bank.teacher, &teacher)]
    {
        for row in 0..7 {
            let of = |x: &Tensor, row: usize| x.select(0, row).unwrap().to_vec_f64().unwrap();
            let Some(anchor) = [5, 2].iter().position(|&clip| clip == row) else {
                assert_eq!(of(old, row), of(new, row));
                continue;
            };
            let mixed: Vec<f64> = of(old, row)
                .iter()
                .zip(of(fresh, anchor))
                .map(|(old, fresh)| 0.75 * old + 0.25 * fresh)
                .collect();
            let norm = mixed.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (got, mixed) in of(new, row).iter().zip(mixed) {
                assert_near(*got, mixed / norm, 1e-6);
            }
        }
    }
    assert_eq!(before.z, bank.z);
}

#[test]
fn draws_begin_with_the_clip_itself_and_cover_the_bank() {
    let draw = BankDraw::new(&[4, 0], 300, 5, &mut Philox::new(17, 0));
    assert_eq!(draw.rows.len(), 2 * 301);
    assert_eq!((draw.rows[0], draw.rows[301]), (4, 0));
    let seen: BTreeSet<i64> = draw.rows.iter().copied().collect();
    assert_eq!(seen, (0..5).collect());
}
