//! Anchors against rows of a bank, by a dense table and row by row.

use align_kernels::crd::{Bank, MemoryBank};
use align_kernels::reference::crd as reference;
use gpu_runtime::Stream;
use ndarray::Array2;

use crate::batch::{FORMS, Form, wide};
use crate::device::stream;
use crate::plain::{dot, draw, indices, loss, points, send, unit, within};

fn on_device(stream: &Stream, rows: &Array2<f32>) -> Bank<align_kernels::device::Gpu> {
    let (n_data, width) = rows.dim();
    Bank::on_device(stream, rows.as_slice().unwrap(), n_data, width).unwrap()
}

/// Samples, extent, anchors and slots; the first three have banks small enough for a dense table.
const SHAPES: [(usize, usize, usize, usize); 6] = [
    (7, 3, 5, 33),
    (1, 1, 1, 4),
    (130, 64, 3, 1031),
    (900, 33, 3, 2),
    (5000, 128, 2, 300),
    (700, 257, 1, 130),
];

#[test]
fn scores_are_within_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (case, (n_data, width, count, slots)) in SHAPES.into_iter().enumerate() {
        let form = FORMS[case % 4];
        let (anchors, rows) = (unit(count, width, 1, form), unit(n_data, width, 2, Form::Tight));
        let drawn = draw(count * slots, n_data, case);
        let (bank, sent) = (on_device(&stream, &rows), send(&anchors, &stream, form));
        let index = indices(&stream, &drawn);
        for (temperature, z) in [(0.07, 0.0), (0.07, 500.0), (0.004, 0.0)] {
            let at = format!("{n_data} rows of {width}, {count} x {slots}, {temperature}, z {z}");
            let mut fixed = z;
            let (value, grad) =
                bank.contrast(points(&sent), &index, temperature, &mut fixed).unwrap();
            let want =
                reference::contrast(&wide(&anchors), &wide(&rows), width, &drawn, temperature, z);
            assert!((fixed / want.2 - 1.0).abs() < 2e-6 / temperature, "{at}: {fixed} {}", want.2);
            let plain = plain(&anchors, &rows, &drawn, temperature, want.2);
            // One rounding of the largest score, and of a shift of up to 250.
            let ulp = f64::from(f32::EPSILON) / temperature;
            let floor = ulp * (1.0 + want.0.abs());
            within(&at, &[value as f32], &[plain.0], &[want.0], 2.0, floor);
            within(&at, &grad.to_vec().unwrap(), &plain.1, &want.1, 3.0, ulp / temperature);
        }
    }
}

fn plain(
    anchors: &Array2<f32>,
    bank: &Array2<f32>,
    drawn: &[usize],
    temperature: f64,
    z: f64,
) -> (f32, Vec<f32>) {
    let (count, width) = anchors.dim();
    let slots = drawn.len() / count;
    let ratio = (slots - 1) as f64 / bank.nrows() as f64;
    let c = ratio + 1e-7;
    let (shift, excess) = ((z.ln() + c.ln()) as f32, (c / ratio).ln() as f32);
    let heat = temperature as f32;
    let (mut value, mut grad) = (0.0, vec![0.0; count * width]);
    for (at, &row) in drawn.iter().enumerate() {
        let (anchor, row) = (anchors.row(at / slots), bank.row(row));
        let score = dot(anchor.as_slice().unwrap(), row.as_slice().unwrap()) / heat;
        let is_positive = at % slots == 0;
        let (part, slope) = loss(score - shift, is_positive);
        value += if is_positive { part } else { part + excess };
        for d in 0..width {
            grad[at / slots * width + d] += slope / heat * row[d];
        }
    }
    (value, grad)
}

#[test]
fn rows_that_nobody_draws_are_not_read_one_by_one() {
    let Some(stream) = stream() else { return };
    let mut rows = unit(5000, 16, 2, Form::Tight);
    let drawn = draw(2 * 9, 5000, 4);
    for row in (0..5000).filter(|row| !drawn.contains(row)) {
        rows.row_mut(row).fill(f32::NAN);
    }
    let bank = on_device(&stream, &rows);
    let anchors = unit(2, 16, 1, Form::Half);
    let sent = send(&anchors, &stream, Form::Half);
    let index = indices(&stream, &drawn);
    let run = || bank.contrast(points(&sent), &index, 0.07, &mut 0.0).unwrap();
    let ((value, grad), (again, grad_again)) = (run(), run());
    let grad = grad.to_vec().unwrap();
    assert!(value.is_finite() && grad.iter().all(|g| g.is_finite()));
    assert_eq!((value.to_bits(), grad), (again.to_bits(), grad_again.to_vec().unwrap()));
}

#[test]
fn a_normaliser_that_is_not_finite_is_not_kept() {
    let Some(stream) = stream() else { return };
    for n_data in [6, 400] {
        let mut rows = unit(n_data, 8, 2, Form::Tight);
        rows.row_mut(0).fill(f32::NAN);
        let bank = on_device(&stream, &rows);
        let sent = send(&unit(1, 8, 1, Form::Tight), &stream, Form::Tight);
        let mut z = 0.0;
        let index = indices(&stream, &[1, 0, 2, 3]);
        let (value, _) = bank.contrast(points(&sent), &index, 0.07, &mut z).unwrap();
        assert!(value.is_nan() && z == 0.0, "{n_data} rows: {value} {z}");
    }
}

#[test]
fn two_banks_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    let [student, teacher] = [2, 3].map(|seed| unit(60, 24, seed, Form::Tight));
    let [x, y] = [4, 5].map(|seed| unit(7, 24, seed, Form::Tight));
    let drawn = draw(7 * 40, 60, 1);
    let mut host =
        MemoryBank::new(Bank::new(student.clone()).unwrap(), Bank::new(teacher.clone()).unwrap())
            .unwrap();
    let mut banks =
        MemoryBank::new(on_device(&stream, &student), on_device(&stream, &teacher)).unwrap();
    let (sent_x, sent_y) = (send(&x, &stream, Form::Tight), send(&y, &stream, Form::Tight));
    let index = indices(&stream, &drawn);
    let own: Vec<usize> = drawn.iter().step_by(40).copied().collect();
    let moved = indices(&stream, &own);
    for step in 0..2 {
        let want = host.loss(x.view().into(), y.view().into(), &drawn, 0.07).unwrap();
        let got = banks.loss(points(&sent_x), points(&sent_y), &index, 0.07).unwrap();
        let close = |got: f64, want: f64| (got / want - 1.0).abs() < 1e-5;
        assert!(close(got.value, want.value), "step {step}: {} {}", got.value, want.value);
        assert!(close(banks.z[0], host.z[0]) && close(banks.z[1], host.z[1]));
        let grads = [(got.grad_student, want.grad_student), (got.grad_teacher, want.grad_teacher)];
        for (got, want) in grads {
            for (got, want) in got.to_vec().unwrap().iter().zip(&want) {
                assert!((got - want).abs() < 1e-4, "step {step}: {got} {want}");
            }
        }
        host.update(&own, x.view().into(), y.view().into(), 0.5).unwrap();
        banks.update(&moved, points(&sent_x), points(&sent_y), 0.5).unwrap();
    }
}
