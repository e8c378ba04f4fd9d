//! Learns to match two lists of vectors: InfoNCE and gradient descent by its gradients.
//!
//! `cargo run --release -p align-kernels --example 02-info-nce`

use align_kernels::info_nce::{Options, info_nce};
use ndarray::{Array2, Zip};

/// Values in `[-1, 1)`, always the same.
fn noise(rows: usize, columns: usize, mut state: u64) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// How many rows of `x` have their partner in `y` as the nearest.
fn matched(x: &Array2<f32>, y: &Array2<f32>) -> usize {
    let mut scores = x.dot(&y.t());
    for (mut column, point) in scores.columns_mut().into_iter().zip(y.rows()) {
        column /= point.dot(&point).sqrt();
    }
    let is_first = |(i, row): &(usize, ndarray::ArrayView1<'_, f32>)| {
        row.iter().all(|&score| score <= row[*i])
    };
    scores.rows().into_iter().enumerate().filter(is_first).count()
}

fn main() -> align_kernels::Result<()> {
    let (mut x, mut y) = (noise(64, 16, 1), noise(64, 16, 2));
    let options = Options { symmetric: true, ..Options::default() };
    println!("a guess among 64 costs ln 64 = {:.4}", 64f64.ln());
    for step in 0..=60 {
        let out = info_nce(x.view(), y.view(), &options)?;
        if step % 12 == 0 {
            let (loss, by_temperature) = (out.value, out.grad_temperature);
            println!(
                "step {step:2}: loss {loss:.4}, {:2} of 64 matched, slope by temperature {by_temperature:+.3}",
                matched(&x, &y)
            );
        }
        Zip::from(&mut x).and(&out.grad_x).for_each(|x, slope| *x -= 4.0 * slope);
        Zip::from(&mut y).and(&out.grad_y).for_each(|y, slope| *y -= 4.0 * slope);
    }
    Ok(())
}
