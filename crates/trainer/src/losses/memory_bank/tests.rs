use std::collections::BTreeSet;

use tensor_core::{ErrorKind, Var};

use super::super::golden::{Case, Leaves, assert_near, cases, noise, unit};
use super::*;

/// A bank as a memory case has it before the call.
fn bank_of(case: &Case) -> MemoryBank {
    let z = |side: &str| case.number(&format!("z_{side}")).unwrap_or(0.0);
    let side = |side: &str| {
        let rows = case.tensor(&format!("{side}_bank"));
        Bank { width: rows.dim(1).unwrap(), rows: rows.to_vec_f32().unwrap() }
    };
    MemoryBank {
        student: side("student"),
        teacher: side("teacher"),
        z: [z("student"), z("teacher")],
    }
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
    for (side, z) in ["student", "teacher"].into_iter().zip(bank.z) {
        let z = Tensor::from_vec(vec![z], &[], Device::Cpu).unwrap();
        case.check(&format!("z_{side}"), &z, 0.0);
    }

    let momentum = case.number("momentum").unwrap();
    bank.update(&clips, &student.detach(), &teacher.detach(), momentum).unwrap();
    case.check("new_student_bank", &bank.student.tensor().unwrap(), 1.0);
    case.check("new_teacher_bank", &bank.teacher.tensor().unwrap(), 1.0);
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
    for side in [&bank.student.rows, &bank.teacher.rows] {
        assert!(side.iter().all(|v| v.abs() <= bound));
        let square = |v: &f32| f64::from(*v) * f64::from(*v);
        let mean_square = side.iter().map(square).sum::<f64>() / side.len() as f64;
        assert_near(mean_square, f64::from(bound * bound) / 3.0, 0.003);
    }
    assert_ne!(bank.student.rows, bank.teacher.rows);
    assert_eq!(bank.z, [0.0; 2]);
}

#[test]
fn z_is_fixed_by_the_first_batch() {
    let (mut bank, student, teacher, rows) = small_bank();
    bank.loss(&student, &teacher, &rows, 0.1).unwrap();
    let fixed = bank.z;
    assert!(fixed.iter().all(|&z| z > 0.0));
    bank.loss(&unit(&noise(&[2, 4], 16)), &teacher, &rows, 0.1).unwrap();
    assert_eq!(bank.z, fixed);
}

#[test]
fn a_batch_of_nan_does_not_fix_z() {
    let (mut bank, student, teacher, rows) = small_bank();
    let nan = Tensor::full(&[2, 4], f64::NAN, DType::F32, Device::Cpu).unwrap();
    assert!(bank.loss(&nan, &teacher, &rows, 0.1).unwrap().item().unwrap().is_nan());
    assert_eq!(bank.z[0], 0.0, "the side that saw NaN waits for the next batch");
    assert!(bank.loss(&student, &teacher, &rows, 0.1).unwrap().item().unwrap().is_finite());
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
            let Some(anchor) = [5, 2].iter().position(|&clip| clip == row) else {
                assert_eq!(old.row(row), new.row(row));
                continue;
            };
            let fresh = fresh.select(0, anchor).unwrap().to_vec_f64().unwrap();
            let mixed: Vec<f64> = old
                .row(row)
                .iter()
                .zip(fresh)
                .map(|(&old, fresh)| 0.75 * f64::from(old) + 0.25 * fresh)
                .collect();
            let norm = mixed.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (&got, mixed) in new.row(row).iter().zip(mixed) {
                assert_near(f64::from(got), mixed / norm, 1e-6);
            }
        }
    }
    assert_eq!(before.z, bank.z);
}

#[test]
fn draws_begin_with_the_clip_itself_and_cover_the_bank() {
    let rows = draw_rows(&[4, 0], 300, 5, &mut Philox::new(17, 0));
    assert_eq!(rows.len(), 2 * 301);
    assert_eq!((rows[0], rows[301]), (4, 0));
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), (0..5).collect());
}

#[test]
fn a_temperature_whose_exponentials_overflow_f32_gives_a_finite_loss() {
    let (mut bank, student, teacher, rows) = small_bank();
    bank.update(&[5, 2], &student, &teacher, 0.0).unwrap();
    // e^(1 / 0.005) is about 1e87.
    let (student, teacher) = (Var::new(student), Var::new(teacher));
    let sum = bank.loss(&student.tensor(), &teacher.tensor(), &rows, 0.005).unwrap();
    assert!(sum.item().unwrap().is_finite());
    let gradients = sum.backward().unwrap();
    for side in [&student, &teacher] {
        let slopes = gradients.get(side).unwrap().to_vec_f64().unwrap();
        assert!(slopes.iter().all(|slope| slope.is_finite()));
    }
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
    assert_eq!((fresh.z, fresh.student.rows), (bank.z, bank.student.rows));
    assert_eq!(fresh.teacher.rows, bank.teacher.rows);

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
