//! Inputs, the plain f32 loop, and how far off results may be.

use align_kernels::device::DevicePoints;
use gpu_runtime::{DeviceBuffer, Stream};
use ndarray::Array2;

use crate::batch::{Cloud, Form, Sent, noise};

/// Rows of length 1, in a few directions.
pub fn unit(count: usize, width: usize, seed: usize, form: Form) -> Array2<f32> {
    let mut cloud = Cloud::new(&[count], width, seed);
    let mut noise = noise(seed + 77);
    for mut row in cloud.points.rows_mut() {
        row.iter_mut().for_each(|v| *v = noise() - 0.4);
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row /= norm;
    }
    cloud.rounded(form).points
}

/// The rows on a device, laid out as `form` says.
pub fn send(points: &Array2<f32>, stream: &Stream, form: Form) -> Sent {
    let cloud = Cloud {
        points: points.clone(),
        offsets: vec![0, points.nrows()],
        weights: vec![1.0; points.nrows()],
    };
    cloud.send(stream, form)
}

/// Indices below `n` without a pattern.
pub fn draw(count: usize, n: usize, seed: usize) -> Vec<usize> {
    (0..count).map(|i| (i * 7919 + seed * 104_729 + i * i / 7) % n).collect()
}

pub fn indices(stream: &Stream, rows: &[usize]) -> DeviceBuffer<u32> {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    DeviceBuffer::from_slice(stream, &rows).unwrap()
}

pub fn points(sent: &Sent) -> DevicePoints<'_> {
    sent.points()
}

pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// `-log sigmoid(x)` of a positive, `-log sigmoid(-x)` of a negative in f32, with its slope.
pub fn loss(x: f32, positive: bool) -> (f32, f32) {
    let signed = if positive { -x } else { x };
    let value = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
    let slope = 1.0 / (1.0 + (-signed).exp());
    (value, if positive { -slope } else { slope })
}

/// Asserts that the largest error is within `factor` of the plain loop's, but for a floor.
#[track_caller]
pub fn within(what: &str, got: &[f32], plain: &[f32], want: &[f64], factor: f64, floor: f64) {
    assert_eq!((got.len(), plain.len()), (want.len(), want.len()), "{what}");
    let worst = |values: &[f32]| {
        let errors = values.iter().zip(want).map(|(v, want)| (f64::from(*v) - want).abs());
        errors.fold(0.0, |most: f64, e| if e.is_nan() { f64::INFINITY } else { most.max(e) })
    };
    let allowed = factor * worst(plain) + floor;
    assert!(worst(got) <= allowed, "{what}: off by {:.2e}, expected {allowed:.2e}", worst(got));
}
