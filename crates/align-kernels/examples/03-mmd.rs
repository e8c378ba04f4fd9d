//! Tells samples apart with MMD, kernel by kernel: what each one sees, and what it does not.
//!
//! `cargo run --release -p align-kernels --example 03-mmd`

use align_kernels::Ragged;
use align_kernels::mmd::{Estimator, Options, median_bandwidth, mmd};
use ndarray::Array2;

/// 400 points of two coordinates: nearly normal ones, each a sum of twelve uniform ones.
fn normal(mut state: u64) -> Array2<f32> {
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    Array2::from_shape_simple_fn((400, 2), || (0..12).map(|_| uniform()).sum::<f32>() - 6.0)
}

fn main() -> align_kernels::Result<()> {
    let x = normal(1);
    let others = [
        ("the same distribution", normal(2)),
        ("moved by 1/2", normal(2) + 0.5),
        ("twice as wide", normal(2) * 2.0),
        // Signs have mean 0 and variance 1, as the normal distribution.
        ("two heaps, moments 1 and 2 alike", normal(2).mapv(|v| v.signum() + 0.05 * v)),
    ];

    let x = Ragged::single(x.view().into());
    println!("{:34} {:>9} {:>9} {:>9}", "x against", "linear", "poly 2", "gaussian");
    for (name, y) in &others {
        let y = Ragged::single(y.view().into());
        let bandwidth = median_bandwidth(&x, &y)? / 2.0;
        let value = |options: Options| -> align_kernels::Result<f64> {
            Ok(mmd(&x, &y, &options.with(Estimator::Unbiased))?.value[0])
        };
        let linear = value(Options::linear())?;
        let poly = value(Options::polynomial(2, 0.0))?;
        let gaussian = value(Options::gaussian(&[bandwidth]))?;
        println!("{name:34} {linear:9.4} {poly:9.4} {gaussian:9.4}");
    }
    Ok(())
}
