//! Draws how one sentence moves onto another: the transport plan between their words.
//!
//! `cargo run --release -p align-kernels --example 01-transport-plan -- [PLAN.pgm]`

use align_kernels::Ragged;
use align_kernels::sinkhorn::{Cost, Fixed, Mode, Options, Weights, sinkhorn};
use ndarray::Array2;

const WIDTH: usize = 64;
/// Side of a plan's entry in the picture, in pixels.
const CELL: usize = 32;

/// Words as vectors: each pair of letters adds its own direction, so words spelt alike are near.
fn embed(words: &[&str]) -> Array2<f32> {
    let mut out = Array2::zeros((words.len(), WIDTH));
    for (word, mut row) in words.iter().zip(out.rows_mut()) {
        for pair in format!("^{word}$").as_bytes().windows(2) {
            let mut state = u32::from(pair[0]) * 257 + u32::from(pair[1]);
            for x in &mut row {
                state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                *x += (state >> 24) as f32 / 128.0 - 1.0;
            }
        }
    }
    out
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let from: Vec<&str> = "the cat sat on the mat by the window".split(' ').collect();
    let to: Vec<&str> = "on mats near windows cats are sitting".split(' ').collect();
    let (x, y) = (embed(&from), embed(&to));
    let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));

    let mode = Mode::Fixed(Fixed { eps: 0.05, ..Fixed::default() });
    let options = Options { cost: Cost::Cosine, mode, plan: true, ..Options::default() };
    let out = sinkhorn(&x, &y, Weights::default(), &options)?;
    println!("cost of moving {:.4}, found in {} iterations", out.value[0], out.iterations[0]);

    // Each row holds 1 / n of the mass: shown as shares of the row.
    let (n, m) = (from.len(), to.len());
    let heads: Vec<String> = to.iter().map(|word| format!("{word:>7}")).collect();
    println!("{:>8} {}", "", heads.join(" "));
    for (word, row) in from.iter().zip(out.plan_of(0).chunks(m)) {
        let shares: Vec<String> = row.iter().map(|p| format!("{:7.2}", p * n as f32)).collect();
        println!("{word:>8} {}", shares.join(" "));
    }

    let path = std::env::args().nth(1).unwrap_or_else(|| "plan.pgm".to_owned());
    let mut image = format!("P5\n{} {}\n255\n", m * CELL, n * CELL).into_bytes();
    for (i, j) in (0..n * CELL).flat_map(|i| (0..m * CELL).map(move |j| (i, j))) {
        let share = out.plan_of(0)[i / CELL * m + j / CELL] * n as f32;
        image.push(255 - (share.min(1.0) * 255.0) as u8);
    }
    std::fs::write(&path, image)?;
    println!("drawn in {path}: the darker, the more moves");
    Ok(())
}
