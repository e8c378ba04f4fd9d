//! What the kernels ask of memory stays within bounds, by the interpreter's count.
//!
//! Runs with the other device tests, and only where the driver interprets: a GPU does not count. The
//! driver is told once, at its first call, where counters go, so a second process does the counted work.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

use std::process::Command;

use gpu_math::{Element, Matrix, MatrixMut, Precision, Products, Scale, matmul};
use gpu_runtime::{Device, DeviceBuffer, Stream};
use half::bf16;

/// Where the driver puts its counters; set for the second process.
const COUNTERS: &str = "PTX_EMU_COUNTERS";
/// Extents of whole tiles.
const WHOLE: [usize; 3] = [256, 512, 128];

/// Number of a counter in a line of JSON.
fn counter(line: &str, name: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    let end = rest.find([',', '}']).unwrap();
    rest[..end].trim().parse().unwrap()
}

fn multiply<T: Element>(
    stream: &Stream,
    products: &Products,
    [m, n, k]: [usize; 3],
    turned: usize,
) {
    let a = DeviceBuffer::<T>::zeroed(stream, m * k).unwrap();
    let b = DeviceBuffer::<T>::zeroed(stream, k * n).unwrap();
    let mut out = DeviceBuffer::<f32>::uninit(stream, m * n).unwrap();
    let a = match turned & 1 {
        0 => Matrix::new(&a, m, k, k).unwrap(),
        _ => Matrix::new(&a, k, m, m).unwrap().transposed(),
    };
    let b = match turned & 2 {
        0 => Matrix::new(&b, k, n, n).unwrap(),
        _ => Matrix::new(&b, n, k, k).unwrap().transposed(),
    };
    let out = MatrixMut::new(&mut out, m, n, n).unwrap();
    matmul(products, stream, a, b, out, Scale::default()).unwrap();
}

#[test]
fn work_to_be_counted() {
    if std::env::var_os(COUNTERS).is_none() {
        return;
    }
    let device = Device::cuda(0).unwrap();
    let stream = Stream::new(&device).unwrap();
    let (exact, rounded) = (Products::new(&device), Products::new(&device));
    let rounded = rounded.with_precision(Precision::Tf32);
    for turned in 0..4 {
        multiply::<f32>(&stream, &exact, [64, 64, 128], turned);
        multiply::<f32>(&stream, &exact, WHOLE, turned);
        multiply::<f32>(&stream, &rounded, WHOLE, turned);
        multiply::<bf16>(&stream, &exact, WHOLE, turned);
        multiply::<bf16>(&stream, &exact, [128, 128, 2048], turned);
    }
}

#[test]
fn products_move_what_they_use_and_no_bank_conflicts() {
    if !std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        println!("skipped: no GPU asked for");
        return;
    }
    let device = Device::cuda(0).unwrap_or_else(|error| panic!("{error}"));
    if !device.facts().name.starts_with("Emulated") {
        println!("skipped: a GPU does not count");
        return;
    }
    let is_hopper = device.facts().compute_capability.major == 9;
    let path = std::env::temp_dir().join(format!("gpu-math-{}.jsonl", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work_to_be_counted"])
        .env(COUNTERS, &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let lines = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for line in lines.lines() {
        let count = |name| counter(line, name);
        assert_eq!(count("bank_conflicts"), 0.0, "{line}");
        let moved = 32.0 * (count("load_sectors") + count("store_sectors"));
        assert!(moved <= 1.1 * (count("load_bytes") + count("store_bytes")), "{line}");
    }
    // As many operations as the formula has, for whole tiles.
    let [m, n, k] = WHOLE;
    for name in ["matmul_v2_mma_bf16", "matmul_v2_mma_tf32", "matmul_v3_wgmma_bf16"] {
        let runs = name.contains("wgmma") <= is_hopper;
        let whole = |line: &str| counter(line, "mma_flop") == (2 * m * n * k) as f64;
        let found = lines.lines().any(|line| line.contains(name) && whole(line));
        assert_eq!(found, runs, "{name}");
    }
}
