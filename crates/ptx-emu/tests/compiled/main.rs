//! Runs PTX that NVRTC makes from small CUDA C++ files, and compares with plain Rust.
//!
//! Compiled PTX leans on forms that hand-written PTX seldom has: calls, local memory, inline
//! assembly from headers, implicit widening. Every test runs all builds of its source (`NAME.*.ptx`
//! beside this file, made by `make.py`) on several simulated devices, on odd sizes, in allocations
//! that end where the data ends.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod atomics;
mod control;
mod device;
mod double;
mod float;
mod integers;
mod low_precision;
mod moves;
mod normalise;
mod reductions;
mod state;
mod votes;

use ptx_emu::Module;

#[test]
fn every_file_parses_with_its_kernels() {
    let files = device::files("");
    assert!(files.len() >= 25, "only {} files", files.len());
    for file in files {
        let module = Module::parse(&file, &device::source(&file)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(module.version(), (9, 0), "{file}");
        let target = file.split('.').nth(1).unwrap();
        assert_eq!(module.target(), target, "{file}");
        let entries = device::source(&file).matches(".visible .entry").count();
        assert_eq!(module.kernels().count(), entries, "{file}");
    }
}

#[test]
fn a_kernel_knows_its_parameters_and_limits() {
    let parse = |file: &str| Module::parse(file, &device::source(file)).unwrap();
    let module = parse("struct_param.sm_80.ptx");
    let curve = module.kernel("curve").unwrap();
    let layout: Vec<_> = curve.params().iter().map(|p| (p.offset, p.bytes, p.align)).collect();
    assert_eq!(layout, [(0, 56, 8), (56, 8, 8)]);
    assert_eq!(curve.param_bytes(), 64);
    assert_eq!(curve.local_bytes(), 56);

    let module = parse("block_reduce.sm_80.ptx");
    assert_eq!(module.kernel("block_reduce").unwrap().max_threads(), Some(256));
    let module = parse("async_copy.sm_90.ptx");
    assert_eq!(module.kernel("tile_sum").unwrap().shared_bytes(), 2 * 64 * 16);
    assert!(module.kernel("absent").is_none());
}
