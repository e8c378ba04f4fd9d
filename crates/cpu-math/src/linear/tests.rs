//! Against plain loops, and bit for bit: forms, rows, instruction sets and threads.

use super::dots::{MOST_ROWS, Portable, run_job};
use super::*;
use crate::parallel::SharedMut;
use crate::testing::{ramp, same_bits_on_one_and_two_threads};

/// Odd, lopsided, and past every border of tiles, vectors and blocks.
const SHAPES: [Extents; 7] =
    [(1, 1, 1), (1, 19, 37), (2, 5, 16), (3, 65, 130), (9, 31, 1100), (32, 7, 70), (33, 45, 600)];

/// The same weights in every form.
struct Forms {
    wide: Vec<f32>,
    bf16: Vec<bf16>,
    f16: Vec<f16>,
}

impl Forms {
    /// Numbers that all forms hold: multiples of 1/64 up to 1.
    fn new(count: usize) -> Self {
        let wide: Vec<f32> =
            ramp::<f32>(count, 5).iter().map(|x| (64.0 * x).round() / 64.0).collect();
        let bf16 = wide.iter().map(|&x| bf16::from_f32(x)).collect();
        let f16 = wide.iter().map(|&x| f16::from_f32(x)).collect();
        Self { wide, bf16, f16 }
    }

    fn all(&self) -> [Weights<'_>; 3] {
        [Weights::F32(&self.wide), Weights::BF16(&self.bf16), Weights::F16(&self.f16)]
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_form_and_odd_shape_agrees_with_plain_loops() {
    for extents @ (m, n, k) in SHAPES {
        let forms = Forms::new(n * k);
        let (x, dy) = (ramp::<f32>(m * k, 1), ramp::<f32>(m * n, 2));
        // The product in f64, and the largest error of a sum of its terms in f32 in any order.
        let dot = |a: &dyn Fn(usize) -> f32, b: &dyn Fn(usize) -> f32, count: usize| {
            let terms = || (0..count).map(|p| f64::from(a(p)) * f64::from(b(p)));
            let room = count as f64 * f64::from(f32::EPSILON) / 2.0;
            (terms().sum::<f64>(), room * terms().map(f64::abs).sum::<f64>())
        };
        for weights in forms.all() {
            let (mut y, mut dx) = (vec![f32::NAN; m * n], vec![f32::NAN; m * k]);
            forward(extents, &x, weights, &mut y);
            input_gradient(extents, &dy, weights, &mut dx);
            for (at, &got) in y.iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let (want, room) = dot(&|p| x[i * k + p], &|p| forms.wide[j * k + p], k);
                assert!((f64::from(got) - want).abs() <= room, "{extents:?} y[{at}]: {got} {want}");
            }
            for (at, &got) in dx.iter().enumerate() {
                let (i, j) = (at / k, at % k);
                let (want, room) = dot(&|p| dy[i * n + p], &|p| forms.wide[p * k + j], n);
                assert!(
                    (f64::from(got) - want).abs() <= room,
                    "{extents:?} dx[{at}]: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn half_weights_give_the_bits_of_the_same_numbers_in_f32() {
    for extents @ (m, n, k) in SHAPES {
        let forms = Forms::new(n * k);
        let (x, dy) = (ramp::<f32>(m * k, 1), ramp::<f32>(m * n, 2));
        let both = |weights: Weights<'_>| {
            let (mut y, mut dx) = (vec![f32::NAN; m * n], vec![f32::NAN; m * k]);
            match weights {
                // Past few rows f32 has a path of its own.
                Weights::F32(w) => along(extents, &x, w, &mut y),
                half => forward(extents, &x, half, &mut y),
            }
            input_gradient(extents, &dy, weights, &mut dx);
            (bits(&y), bits(&dx))
        };
        let [wide, bf16, f16] = forms.all().map(both);
        assert!(wide == bf16 && wide == f16, "{extents:?}");
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_rows_are_beside_it() {
    let (n, k) = (45, 300);
    let forms = Forms::new(n * k);
    let x = ramp::<f32>(MOST_ROWS * k, 1);
    for weights in forms.all() {
        let of = |rows: usize| {
            let mut y = vec![f32::NAN; rows * n];
            forward((rows, n, k), &x[..rows * k], weights, &mut y);
            bits(&y)
        };
        let all = of(MOST_ROWS);
        for rows in 1..MOST_ROWS {
            assert!(of(rows) == all[..rows * n], "{rows} rows");
        }
    }
}

#[test]
fn plain_loops_give_the_bits_of_the_best_instruction_set() {
    for extents @ (m, n, k) in SHAPES {
        let forms = Forms::new(n * k);
        let x = ramp::<f32>(m * k, 1);
        let mut both = [(); 2].map(|()| vec![f32::NAN; m * n]);
        forward(extents, &x, Weights::BF16(&forms.bf16), &mut both[0]);
        if m <= MOST_ROWS {
            let w = Matrix { data: &forms.bf16[..], inputs: k };
            run_job::<Portable, _>(extents, &x, w, 0..n, &SharedMut::new(&mut both[1]));
        } else {
            let lines = Lines { data: &forms.bf16[..], line_stride: k, depth_stride: 1 };
            panels::product(extents, &x, lines, &mut both[1]);
        }
        assert!(bits(&both[0]) == bits(&both[1]), "{extents:?}");
        let across = across_outputs(&forms.f16, k);
        let mut dx = [(); 2].map(|()| vec![f32::NAN; m * k]);
        let dy = ramp::<f32>(m * n, 2);
        panelled((m, k, n), &dy, across, &mut dx[0]);
        panels::product((m, k, n), &dy, across, &mut dx[1]);
        assert!(bits(&dx[0]) == bits(&dx[1]), "{extents:?}");
    }
}

#[test]
fn thread_count_changes_no_bit() {
    for (m, n, k) in [(2, 700, 400), (130, 300, 700)] {
        let (x, forms) = (ramp::<f32>(m * k, 1), Forms::new(n * k));
        same_bits_on_one_and_two_threads(|| {
            let (mut y, mut dx) = (vec![0.0; m * n], vec![0.0; m * k]);
            forward((m, n, k), &x, Weights::BF16(&forms.bf16), &mut y);
            input_gradient((m, n, k), &y, Weights::BF16(&forms.bf16), &mut dx);
            y.extend(dx);
            y
        });
    }
}

#[test]
fn the_smallest_and_the_largest_numbers_of_a_form_are_exact() {
    let f16s = [1, 0x03ff, 0x0400, 0x7bff, 0x8001, 0xfbff].map(f16::from_bits);
    let bf16s = [1, 0x007f, 0x0080, 0x7f7f, 0x8001, 0xff7f].map(bf16::from_bits);
    let (mut y, one) = ([f32::NAN; 6], [1.0]);
    forward((1, 6, 1), &one, Weights::F16(&f16s), &mut y);
    assert_eq!(y, f16s.map(f16::to_f32));
    forward((1, 6, 1), &one, Weights::BF16(&bf16s), &mut y);
    assert_eq!(y, bf16s.map(bf16::to_f32));
}

#[test]
fn empty_extents_give_zeros_or_nothing() {
    let mut y = [f32::NAN; 6];
    forward((2, 3, 0), &[], Weights::BF16(&[]), &mut y);
    assert_eq!(y, [0.0; 6]);
    let mut dx = [f32::NAN; 6];
    input_gradient((2, 0, 3), &[], Weights::F16(&[]), &mut dx);
    assert_eq!(dx, [0.0; 6]);
    forward((0, 2, 1), &[], Weights::F32(&[1.0; 2]), &mut []);
}

#[test]
#[should_panic(expected = "lengths of x (M, I), weights (O, I) and y (M, O)")]
fn a_slice_of_another_length_is_refused() {
    forward((1, 2, 3), &[0.0; 3], Weights::F32(&[0.0; 5]), &mut [0.0; 2]);
}

#[test]
fn int8_weights_give_the_bits_of_the_numbers_they_stand_for() {
    for extents @ (m, n, k) in SHAPES {
        let exact = ramp::<f32>(n * k, 5);
        let (mut values, groups) = (vec![0; n * k], k.div_ceil(GROUP));
        let (mut scales, mut of_row) = (vec![0.0; groups * n], vec![0.0; groups]);
        let mut wide = vec![0.0; n * k];
        for row in 0..n {
            let part = row * k..(row + 1) * k;
            quantize_row(&exact[part.clone()], &mut values[part.clone()], &mut of_row);
            for (group, &scale) in of_row.iter().enumerate() {
                scales[group * n + row] = scale;
            }
            for at in part {
                wide[at] = f32::from(values[at]) * of_row[at % k / GROUP];
                assert!((wide[at] - exact[at]).abs() <= 0.51 * of_row[at % k / GROUP]);
            }
        }
        let int8 = Int8 { values: &values, scales: &scales };
        let (x, dy) = (ramp::<f32>(m * k, 1), ramp::<f32>(m * n, 2));
        let (mut y, mut dx) = (vec![f32::NAN; m * n], vec![f32::NAN; m * k]);
        forward(extents, &x, Weights::Int8(int8), &mut y);
        input_gradient(extents, &dy, Weights::Int8(int8), &mut dx);
        let (mut want_y, mut want_dx) = (vec![f32::NAN; m * n], vec![f32::NAN; m * k]);
        along(extents, &x, &wide, &mut want_y);
        input_gradient(extents, &dy, Weights::F32(&wide), &mut want_dx);
        assert!(bits(&y) == bits(&want_y), "{extents:?}");
        assert!(bits(&dx) == bits(&want_dx), "{extents:?}");
        let rows = int8::Rows { weights: int8, outputs: n, inputs: k };
        panels::product(extents, &x, QuantizedLines::along_inputs(rows), &mut y);
        panels::product(extents, &x, along_inputs(&wide, k), &mut want_y);
        assert!(bits(&y) == bits(&want_y), "{extents:?}");
        panels::product((m, k, n), &dy, QuantizedLines::across_outputs(rows), &mut dx);
        assert!(bits(&dx) == bits(&want_dx), "{extents:?}");
    }
}

fn along_inputs(data: &[f32], inputs: usize) -> Lines<'_, f32> {
    Lines { data, line_stride: inputs, depth_stride: 1 }
}
