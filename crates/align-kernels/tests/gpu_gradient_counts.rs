//! What gradients of bf16 points ask of memory and tensor cores, by the interpreter's count.
//!
//! Runs with the other device tests, and only where the driver interprets: a GPU does not count. The
//! driver is told once, at its first call, where counters go, so a second process does the counted work.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

use std::process::Command;

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::pairwise_cost::Pairing;
use align_kernels::sinkhorn::{
    Acceleration, Fixed, Mode, Options, Weights, sinkhorn_with_gradient,
};
use gpu_runtime::{Device, DeviceBuffer, Stream};
use half::bf16;

/// Where the driver puts its counters; set for the second process.
const COUNTERS: &str = "PTX_EMU_COUNTERS";
/// Items, points of each, and coordinates.
const X: [usize; 3] = [2, 64, 256];
const Y: [usize; 3] = [3, 128, 256];

/// Number of a counter in a line of JSON.
fn counter(line: &str, name: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    let end = rest.find([',', '}']).unwrap();
    rest[..end].trim().parse().unwrap()
}

#[test]
fn work_to_be_counted() {
    if std::env::var_os(COUNTERS).is_none() {
        return;
    }
    let stream = Stream::new(&Device::cuda(0).unwrap()).unwrap();
    let cloud = |[items, points, width]: [usize; 3]| {
        let of = |k: usize| bf16::from_f32((k % 13) as f32 / 8.0);
        let values: Vec<bf16> = (0..items * points * width).map(of).collect();
        let offsets: Vec<usize> = (0..=items).map(|item| item * points).collect();
        (DeviceBuffer::from_slice(&stream, &values).unwrap(), offsets)
    };
    let ((x, x_offsets), (y, y_offsets)) = (cloud(X), cloud(Y));
    let points = |values, [items, points, width]: [usize; 3]| {
        DevicePoints::new(&stream, values, items * points, width).unwrap()
    };
    let x = Ragged::on_device(points(&x, X), &x_offsets).unwrap();
    let y = Ragged::on_device(points(&y, Y), &y_offsets).unwrap();
    let fixed = Fixed { eps: 10.0, max_iters: 1, tol: 0.0, acceleration: Acceleration::Plain };
    let options =
        Options { mode: Mode::Fixed(fixed), pairing: Pairing::AllPairs, ..Options::default() };
    sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None).unwrap();
}

#[test]
fn gradients_on_tensor_cores_move_what_they_use() {
    if !std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        println!("skipped: no GPU asked for");
        return;
    }
    let device = Device::cuda(0).unwrap_or_else(|error| panic!("{error}"));
    if !device.facts().name.starts_with("Emulated") {
        println!("skipped: a GPU does not count");
        return;
    }
    let path = std::env::temp_dir().join(format!("gradient-{}.jsonl", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work_to_be_counted"])
        .env(COUNTERS, &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let lines = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let of = |name: &str| {
        lines.lines().filter(|line| line.contains(name)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (narrow, gradients) = (of("plan_narrow_v1_bf16"), of("plan_gradient_v2_mma_bf16"));
    assert_eq!((narrow.len(), gradients.len()), (1, 2));
    for line in narrow.iter().chain(&gradients) {
        let count = |name| counter(line, name);
        assert_eq!(count("bank_conflicts"), 0.0, "{line}");
        let moved = 32.0 * (count("load_sectors") + count("store_sectors"));
        assert!(moved <= 1.1 * (count("load_bytes") + count("store_bytes")), "{line}");
    }
    // Two products of all points with all partners, and one 32nd of it for the row sums.
    let [[x_items, x_points, width], [y_items, y_points, _]] = [X, Y];
    let product = (2 * x_items * x_points * y_items * y_points * width) as f64;
    for line in &gradients {
        assert_eq!(counter(line, "mma_flop"), product * 33.0 / 32.0, "{line}");
    }
}
