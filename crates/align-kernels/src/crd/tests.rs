use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use ndarray::Array2;

use super::*;
use crate::ErrorKind;
use crate::reference::crd as reference;

fn unit(n: usize, width: usize, salt: usize) -> Array2<f32> {
    let mut rows = Array2::from_shape_vec((n, width), ramp(n * width, salt)).unwrap();
    for mut row in rows.rows_mut() {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row /= norm;
    }
    rows
}

/// Integers below `n` without a pattern.
fn draw(count: usize, n: usize, salt: usize) -> Vec<usize> {
    (0..count).map(|i| (i * 7919 + salt * 104_729 + i * i / 7) % n).collect()
}

fn wide(a: &Array2<f32>) -> Vec<f64> {
    a.iter().map(|&v| f64::from(v)).collect()
}

/// `-log sigmoid` of the plain formula in f32, with its slope.
fn plain_loss(score: f32, odds: f32, positive: bool) -> (f32, f32) {
    let e = score.exp();
    let h = e / (e + odds);
    if positive { (-h.ln(), h - 1.0) } else { (-(1.0 - h).ln(), h) }
}

#[track_caller]
fn assert_within(
    what: &str,
    got: &[f32],
    plain: &[f32],
    twin: &[f64],
    (factor, floor): (f64, f64),
) {
    let worst = |xs: &[f32]| {
        xs.iter()
            .zip(twin)
            .map(|(&x, t)| (f64::from(x) - t).abs())
            .fold(0.0, |w: f64, e| if e.is_nan() { f64::INFINITY } else { w.max(e) })
    };
    assert!(got.len() == twin.len() && plain.len() == twin.len());
    let allowed = factor * worst(plain) + floor;
    assert!(worst(got) <= allowed, "{what}: {:e} is over {allowed:e}", worst(got));
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// Clips of 1, 2, 3, 1, 2, .. tokens and one drawn token of each other clip.
fn tokens(clips: usize, salt: usize) -> (Vec<usize>, Vec<usize>) {
    let clip_of: Vec<usize> = (0..clips).flat_map(|c| std::iter::repeat_n(c, c % 3 + 1)).collect();
    let drawn = draw(clip_of.len() * (clips - 1), clip_of.len(), salt);
    (clip_of, drawn)
}

#[test]
fn in_batch_is_within_the_error_of_the_plain_loop() {
    for (clips, width) in [(1, 4), (2, 1), (5, 33), (17, 128)] {
        for temperature in [0.07, 1.0] {
            let (clip_of, drawn) = tokens(clips, 1);
            let (n, m) = (clip_of.len(), 50);
            let (student, teacher) = (unit(n, width, 2), unit(clips, width, 3));
            let got =
                crd_in_batch(student.view(), teacher.view(), &clip_of, &drawn, temperature, m)
                    .unwrap();
            let twin = reference::in_batch(
                &wide(&student),
                &wide(&teacher),
                width,
                &clip_of,
                &drawn,
                temperature,
                m,
            );
            let (mut value, mut by_student, mut by_teacher) =
                (0.0f32, vec![0.0f32; n * width], vec![0.0f32; clips * width]);
            let t = temperature as f32;
            let mut add = |token: usize, clip: usize, positive: bool| {
                let (a, b) = (student.row(token), teacher.row(clip));
                let score = dot(a.as_slice().unwrap(), b.as_slice().unwrap()) / t;
                let (loss, slope) = plain_loss(score, (clips - 1) as f32 / m as f32, positive);
                value += loss;
                for d in 0..width {
                    by_student[token * width + d] += slope / t * b[d];
                    by_teacher[clip * width + d] += slope / t * a[d];
                }
            };
            for (token, &own) in clip_of.iter().enumerate().filter(|_| clips > 1) {
                add(token, own, true);
                add(token, own, true);
                (0..clips).filter(|&c| c != own).for_each(|c| add(token, c, false));
                let others = &drawn[token * (clips - 1)..(token + 1) * (clips - 1)];
                others.iter().for_each(|&other| add(other, own, false));
            }
            let name = format!("{clips} {width} {temperature}");
            // Floors: one rounding of the largest score, and of the stored result.
            let ulp = 2f64.powi(-23);
            let floor = ulp * twin.value.max(1.0 / temperature);
            assert_within(&name, &[got.value as f32], &[value], &[twin.value], (2.0, floor));
            let slopes = [
                (got.grad_student, by_student, twin.grad_student),
                (got.grad_teacher, by_teacher, twin.grad_teacher),
            ];
            for (got, plain, twin) in slopes {
                let flat: Vec<f32> = got.iter().copied().collect();
                assert_within(&name, &flat, &plain, &twin, (3.0, ulp / temperature));
            }
        }
    }
}

#[test]
fn a_lone_clip_has_no_negatives_and_no_loss() {
    let (student, teacher) = (unit(3, 4, 1), unit(1, 4, 2));
    let (s, t) = (student.view(), teacher.view());
    let out = crd_in_batch(s, t, &[0, 0, 0], &[], 0.07, 10).unwrap();
    assert_eq!(out.value, 0.0);
    assert!(out.grad_student.iter().chain(&out.grad_teacher).all(|&v| v == 0.0));
}

/// Anchors, bank and rows of a memory problem: few rows of a large bank, or many of a small one.
fn memory(dense: bool) -> (Array2<f32>, Bank, Vec<usize>, usize) {
    let (n, slots, n_data, width) = if dense { (5, 41, 49, 33) } else { (3, 2100, 9000, 40) };
    let rows = draw(n * slots, n_data, 4);
    (unit(n, width, 5), Bank::new(unit(n_data, width, 6)).unwrap(), rows, slots)
}

#[test]
fn a_memory_bank_is_within_the_error_of_the_plain_loop() {
    for dense in [true, false] {
        for (temperature, z) in [(0.07, 0.0), (0.5, 0.0), (0.07, 300.0)] {
            let (anchors, bank, rows, slots) = memory(dense);
            let (n, width, n_data) = (anchors.nrows(), anchors.ncols(), bank.rows().nrows());
            let mut fixed = z;
            let (value, grad) =
                bank.contrast(anchors.view().into(), &rows, temperature, &mut fixed).unwrap();
            let flat = bank.rows().to_owned();
            let (want, want_grad, want_z) =
                reference::contrast(&wide(&anchors), &wide(&flat), width, &rows, temperature, z);
            assert!((fixed / want_z - 1.0).abs() < 1e-6, "{fixed} {want_z}");

            // RepDistiller's formula in f32.
            let (mut plain, mut plain_grad) = (0.0f32, vec![0.0f32; n * width]);
            let ratio = (slots - 1) as f32 / n_data as f32;
            let c = ratio + 1e-7;
            for (at, &row) in rows.iter().enumerate() {
                let (anchor, row) = (anchors.row(at / slots), flat.row(row));
                let score = dot(anchor.as_slice().unwrap(), row.as_slice().unwrap());
                let p = (score / temperature as f32).exp() / want_z as f32;
                let positive = at % slots == 0;
                plain -= if positive { (p / (p + c)).ln() } else { (ratio / (p + c)).ln() };
                let slope = if positive { -c / (p + c) } else { p / (p + c) } / temperature as f32;
                for d in 0..width {
                    plain_grad[at / slots * width + d] += slope * row[d];
                }
            }
            let name = format!("{dense} {temperature} {z}");
            let ulp = 2f64.powi(-23);
            assert_within(&name, &[value as f32], &[plain], &[want], (2.0, want * ulp));
            let grad: Vec<f32> = grad.iter().copied().collect();
            assert_within(&name, &grad, &plain_grad, &want_grad, (3.0, ulp / temperature));
        }
    }
}

#[test]
fn dense_scores_and_single_rows_give_one_loss() {
    let (anchors, bank, rows, slots) = memory(true);
    let (width, temperature) = (anchors.ncols(), 0.1);
    let problem = contrast::Contrast {
        anchors: anchors.as_slice().unwrap(),
        bank: bank.rows().to_slice().unwrap(),
        width,
        rows: &rows,
        slots,
        temperature,
    };
    let (mut a, mut b, mut c) = (0.0, 0.0, 0.0);
    let by_rows = problem.by_rows(&mut a);
    // All anchors at once, and in groups of which the last is short.
    for (group, z) in [(5, &mut b), (2, &mut c)] {
        let dense = problem.dense(group, z);
        assert!((dense.0 - by_rows.0).abs() < 1e-5 * by_rows.0 && (*z / a - 1.0).abs() < 1e-6);
        assert!(dense.1.iter().zip(&by_rows.1).all(|(p, q)| (p - q).abs() < 1e-4));
    }
}

#[test]
fn the_golden_vector() {
    let norm = |x: f32, y: f32| [x / x.hypot(y), y / x.hypot(y)];
    let mut rows = vec![norm(1.0, 1.0), norm(-1.0, 0.5), norm(0.3, -1.0)];
    rows.resize(10, [0.0, 1.0]);
    let bank = Bank::new(Array2::from_shape_vec((10, 2), rows.concat()).unwrap()).unwrap();
    let anchor = Array2::from_shape_vec((1, 2), norm(1.0, 2.0).to_vec()).unwrap();
    let value = bank.contrast(anchor.view().into(), &[0, 1, 2], 0.07, &mut 1.0).unwrap().0;
    // The bank adds 1e-7 to K/M = 0.2.
    assert!((value - 1.791911446157).abs() < 2e-6, "{value}");
}

#[test]
fn z_is_fixed_by_the_first_finite_batch() {
    for dense in [true, false] {
        let (anchors, bank, rows, _) = memory(dense);
        let mut banks = MemoryBank::new(bank.clone(), bank).unwrap();
        let nan = Array2::from_elem(anchors.dim(), f32::NAN);
        let run = |banks: &mut MemoryBank, student: &Array2<f32>| {
            banks.loss(student.view().into(), anchors.view().into(), &rows, 0.1).unwrap().value
        };
        assert!(run(&mut banks, &nan).is_nan());
        assert!(banks.z[0] == 0.0 && banks.z[1] > 0.0);
        assert!(run(&mut banks, &anchors).is_finite());
        let fixed = banks.z;
        assert!(fixed.iter().all(|z| z.is_finite() && *z > 0.0));
        run(&mut banks, &unit(anchors.nrows(), anchors.ncols(), 9));
        assert_eq!(banks.z, fixed);
    }
}

#[test]
fn nan_in_one_anchor_leaves_the_gradients_of_others_alone() {
    for dense in [true, false] {
        let (mut anchors, bank, rows, _) = memory(dense);
        let run = |anchors: &Array2<f32>| {
            bank.contrast(anchors.view().into(), &rows, 0.1, &mut 500.0).unwrap()
        };
        let clean = run(&anchors).1;
        anchors[[1, 0]] = f32::NAN;
        let (value, grad) = run(&anchors);
        assert!(value.is_nan() && grad.row(1).iter().all(|v| v.is_nan()));
        assert_eq!((grad.row(0), grad.row(2)), (clean.row(0), clean.row(2)));
    }
}

#[test]
fn a_temperature_whose_exponentials_overflow_f32_gives_a_finite_loss() {
    for dense in [true, false] {
        let (_, bank, rows, slots) = memory(dense);
        // Anchors equal to their own rows: e^(1 / 0.005) is about 1e87.
        let own: Vec<usize> = rows.iter().step_by(slots).copied().collect();
        let anchors = bank.rows().select(ndarray::Axis(0), &own);
        let mut z = 0.0;
        let (value, grad) = bank.contrast(anchors.view().into(), &rows, 0.005, &mut z).unwrap();
        assert!(value.is_finite() && z.is_finite() && grad.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn an_update_moves_the_rows_it_names_one_after_another() {
    let (anchors, mut bank, _, _) = memory(true);
    let before = bank.rows().to_owned();
    let fresh = anchors.slice(ndarray::s![..3, ..]);
    bank.update(&[7, 2, 7], fresh.into(), 0.75).unwrap();
    let mix = |old: Vec<f64>, at: usize| {
        let mixed: Vec<f64> =
            old.iter().zip(fresh.row(at)).map(|(o, &f)| 0.75 * o + 0.25 * f64::from(f)).collect();
        let norm = mixed.iter().map(|v| v * v).sum::<f64>().sqrt();
        mixed.iter().map(|v| v / norm).collect::<Vec<f64>>()
    };
    for row in 0..before.nrows() {
        let old = before.row(row).iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let want = match row {
            7 => mix(mix(old, 0), 2),
            2 => mix(old, 1),
            _ => old,
        };
        let near = |(a, b): (&f32, f64)| (f64::from(*a) - b).abs() < 1e-6;
        assert!(bank.rows().row(row).iter().zip(want).all(near), "row {row}");
    }
}

#[test]
fn thread_count_changes_no_bit() {
    for dense in [true, false] {
        let (anchors, bank, rows, _) = memory(dense);
        same_bits_on_one_and_two_threads(|| {
            let mut z = 0.0;
            let (value, grad) = bank.contrast(anchors.view().into(), &rows, 0.1, &mut z).unwrap();
            let mut all: Vec<f64> = grad.iter().map(|&v| f64::from(v)).collect();
            all.extend([value, z]);
            all
        });
    }
    let (clip_of, drawn) = tokens(150, 1);
    let (student, teacher) = (unit(clip_of.len(), 65, 2), unit(150, 65, 3));
    same_bits_on_one_and_two_threads(|| {
        let (s, t) = (student.view(), teacher.view());
        let out = crd_in_batch(s, t, &clip_of, &drawn, 0.1, 900).unwrap();
        out.grad_student.iter().chain(&out.grad_teacher).copied().collect::<Vec<f32>>()
    });
}

#[test]
fn wrong_arguments_are_named() {
    let (student, teacher) = (unit(2, 3, 1), unit(2, 3, 2));
    let in_batch = |clip_of: &[usize], drawn: &[usize], temperature: f64, n_data: usize| {
        let (s, t) = (student.view(), teacher.view());
        crd_in_batch(s, t, clip_of, drawn, temperature, n_data).unwrap_err()
    };
    let bank = Bank::new(unit(6, 3, 3)).unwrap();
    let contrast =
        |rows: &[usize]| bank.contrast(student.view().into(), rows, 0.1, &mut 0.0).unwrap_err();
    use ErrorKind::{Option, Shape};
    for (error, text, kind) in [
        (in_batch(&[0], &[], 0.1, 9), "crd: clips of 1 tokens, expected 2", Shape),
        (in_batch(&[0, 2], &[1, 0], 0.1, 9), "crd: a token of clip 2, expected below 2", Shape),
        (in_batch(&[0, 1], &[1], 0.1, 9), "crd: 1 drawn tokens, expected a multiple of 2", Shape),
        (in_batch(&[0, 1], &[1, 2], 0.1, 9), "crd: drawn token 2, expected below 2", Shape),
        (in_batch(&[0, 1], &[1, 0], 0.0, 9), "crd: temperature is 0, expected > 0", Option),
        (in_batch(&[0, 1], &[1, 0], 0.1, 0), "crd: n_data is 0, expected the clips", Option),
        (contrast(&[5, 0, 2]), "memory bank: anchors are (2, 3), expected (B, 3), B divid", Shape),
        (contrast(&[5, 2]), "memory bank: 1 rows an anchor, expected 2 or more below 6", Shape),
        (contrast(&[5, 0, 2, 6]), "memory bank: 2 rows an anchor, expected 2 or more below", Shape),
        (Bank::new(unit(0, 3, 1)).unwrap_err(), "memory bank: rows are (0, 3), expected", Shape),
    ] {
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.kind(), kind);
    }
    let mut banks = MemoryBank::new(bank.clone(), bank.clone()).unwrap();
    let s = student.view().into();
    assert!(banks.update(&[1, 6], s, s, 0.5).is_err() && banks.update(&[1], s, s, 0.5).is_err());
    let short = unit(1, 3, 1);
    assert!(banks.update(&[1, 2], s, short.view().into(), 0.5).is_err());
    assert_eq!(banks.student.rows(), bank.rows());
    let other = Bank::new(unit(5, 3, 3)).unwrap();
    assert!(MemoryBank::new(bank, other).is_err());
}
