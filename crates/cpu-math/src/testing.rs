//! Inputs and comparisons for the tests of kernels.

use crate::real::Real;

/// Deterministic values in `[-1, 1]` without a pattern that tiles could hide.
pub fn ramp<T: Real>(n: usize, salt: usize) -> Vec<T> {
    (0..n)
        .map(|i| ((i * 7919 + salt * 104_729 + i / 1009) % 2003) as f64 / 1001.0 - 1.0)
        .map(T::from_f64)
        .collect()
}

/// Runs `f` on pools of one and two threads and compares every bit.
#[track_caller]
pub fn same_bits_on_one_and_two_threads<T: Real>(f: impl Fn() -> Vec<T> + Sync) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("a pool of two threads can be made");
        pool.install(|| f().iter().map(|v| v.to_f64().to_bits()).collect::<Vec<_>>())
    };
    assert!(on(1) == on(2), "results differ between one and two threads");
}
