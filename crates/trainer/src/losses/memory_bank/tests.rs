use std::collections::BTreeSet;

use tensor_core::ErrorKind;

use super::super::golden::{Case, Leaves, assert_near, cases, noise, unit};
use super::*;

/// A bank as a memory case has it before the call.
fn bank_of(case: &Case) -> MemoryBank {
    let z = |side: &str| case.number(&format!("z_{side}")).unwrap_or(0.0);
    let side = |side: &str| bank(&case.tensor(&format!("{side}_bank"))).unwrap();
    MemoryBank(crd::MemoryBank {
        student: side("student"),
        teacher: side("teacher"),
        z: [z("student"), z("teacher")],
    })
}

fn check_memory(case: &Case, leaves: &Leaves, student: &Tensor) {
    let teacher = leaves.embed("teacher", &leaves.get("teacher"));
    let indices = |name| case.integers(name).into_iter().map(|at| at as usize).collect::<Vec<_>>();
    let (clips, rows) = (indices("index"), indices("draws"));
    let mut bank = bank_of(case);
    let temperature = case.number("temperature").unwrap();
    let sum = bank.loss(student, &teacher, &rows, temperature).unwrap();
    let mean = sum.mul_scalar(1.0 / clips.len() as f64).unwrap();
    case.check("loss", &mean, 1.0);
    leaves.check(case, &mean.backward().unwrap());
    for (side, z) in ["student", "teacher"].into_iter().zip(bank.0.z) {
        let z = Tensor::from_vec(vec![z], &[], Device::Cpu).unwrap();
        case.check(&format!("z_{side}"), &z, 0.0);
    }

    let momentum = case.number("momentum").unwrap();
    bank.update(&clips, &student.detach(), &teacher.detach(), momentum).unwrap();
    for (name, rows) in &bank.tensors().unwrap()[..2] {
        case.check(&format!("new_{name}_bank"), rows, 1.0);
    }
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
                let own = Tensor::from_vec(own.clone(), &[own.len()], Device::Cpu).unwrap();
                embedded.index_select(0, &own).unwrap().mean(&[0], true).unwrap()
            })
            .collect();
        let means = Tensor::cat(&means.iter().collect::<Vec<_>>(), 0).unwrap();
        check_memory(&case, &leaves, &unit(&means));
    }
}

/// A bank of seven clips with one batch of two.
fn small_bank() -> (MemoryBank, Tensor, Tensor, Vec<usize>) {
    let mut rng = Philox::new(12, 0);
    let bank = MemoryBank::new(7, 4, &mut rng).unwrap();
    let rows = draw_rows(&[5, 2], 6, 7, &mut rng);
    (bank, unit(&noise(&[2, 4], 13)), unit(&noise(&[2, 4], 14)), rows)
}

#[test]
fn a_new_bank_is_uniform_and_its_sides_differ() {
    let bank = MemoryBank::new(500, 12, &mut Philox::new(15, 0)).unwrap();
    let bound = 0.5;
    let [student, teacher] = [bank.0.student.rows(), bank.0.teacher.rows()];
    for side in [student, teacher] {
        assert!(side.iter().all(|v| v.abs() <= bound));
        let square = |v: &f32| f64::from(*v) * f64::from(*v);
        let mean_square = side.iter().map(square).sum::<f64>() / side.len() as f64;
        assert_near(mean_square, f64::from(bound * bound) / 3.0, 0.003);
    }
    assert_ne!(student, teacher);
    assert_eq!(bank.0.z, [0.0; 2]);
}

#[test]
fn draws_begin_with_the_clip_itself_and_cover_the_bank() {
    let rows = draw_rows(&[4, 0], 300, 5, &mut Philox::new(17, 0));
    assert_eq!(rows.len(), 2 * 301);
    assert_eq!((rows[0], rows[301]), (4, 0));
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), (0..5).collect());
}

#[test]
fn state_is_restored_into_a_bank_of_its_size_alone() {
    let (mut bank, student, teacher, rows) = small_bank();
    bank.loss(&student, &teacher, &rows, 0.1).unwrap();
    let saved = bank.tensors().unwrap();
    let read = |name: &str| {
        Ok(saved
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, tensor)| tensor.clone())
            .unwrap())
    };
    let mut fresh = MemoryBank::new(7, 4, &mut Philox::new(18, 0)).unwrap();
    fresh.load(read).unwrap();
    assert_eq!(fresh.0.z, bank.0.z);
    assert_eq!(fresh.0.student.rows(), bank.0.student.rows());
    assert_eq!(fresh.0.teacher.rows(), bank.0.teacher.rows());

    let mut smaller = MemoryBank::new(6, 4, &mut Philox::new(18, 0)).unwrap();
    let error = smaller.load(read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("bank is [7, 4], expected [6, 4] (hint: "), "{error}");
}

#[test]
fn rows_that_are_not_of_the_bank_are_refused() {
    let (mut bank, student, teacher, _) = small_bank();
    for rows in [&[5, 0, 2][..], &[5, 2], &[5, 0, 2, 7], &[]] {
        let error = bank.loss(&student, &teacher, rows, 0.1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{rows:?}");
    }
}
