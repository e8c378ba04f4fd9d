//! What the kernels ask of memory stays within bounds, by the interpreter's count.
//!
//! Runs with the other device tests, and only where the driver interprets: a GPU does not count.

mod support;

use consonance_benches::device::Counts;
use support::{counted, expect_thrift};

#[test]
fn costs_move_what_they_use() {
    let Some(kernels) = counted("pairwise-cost", "ragged") else { return };
    // Norms of rows that start and end inside sectors pay for both ends.
    let (norms, costs): (Vec<_>, Vec<_>) =
        kernels.into_iter().partition(|(name, _)| name.starts_with("row_norms"));
    expect_thrift(&costs);
    for (name, counts) in norms {
        assert!(counts.bytes <= 1.2 * counts.useful_bytes, "{name}");
    }
    // Whole tiles of both clouds, edges included, 2 D operations each product.
    let tensor: f64 = costs.iter().map(|(_, counts)| counts.mma_flop).sum();
    let rows = [12, 20, 28, 36, 44, 52, 60, 68, 76, 84_usize].iter().sum::<usize>();
    let columns = [40, 66, 93, 120, 146, 173, 200, 227, 253, 282_usize].iter().sum::<usize>();
    let is_hopper = costs.iter().any(|(name, _)| name.contains("wgmma"));
    let columns_of_tile = if is_hopper { 256 } else { 128 };
    let products = rows.next_multiple_of(128) * columns.next_multiple_of(columns_of_tile);
    assert_eq!(tensor, (products * 2 * 256) as f64);
}

#[test]
fn iterations_read_every_cost_once() {
    let Some(mut kernels) = counted("sinkhorn", "small") else { return };
    kernels.retain(|(name, _)| !name.starts_with("row_norms"));
    expect_thrift(&kernels);
    let resident = kernels.iter().find(|(name, _)| name.starts_with("sinkhorn_resident"));
    let (_, counts) = resident.expect("ran");
    assert_eq!(counts.launches, 1.0);
    // 8 costs of 64 x 64; beside them weights, potentials and sums, and jobs, for which every lane asks.
    let costs = 8.0 * 64.0 * 64.0 * 4.0;
    let rest = counts.useful_bytes - costs;
    assert!((0.0..0.25 * costs).contains(&rest), "{} bytes", counts.useful_bytes);
}

#[test]
fn large_pairs_read_each_element_of_their_kernel_once_an_iteration() {
    let Some(short) = counted("sinkhorn", "strips") else { return };
    let long = counted("sinkhorn", "strips-longer").expect("the same device counts");
    let of = |kernels: &[(String, Counts)]| {
        let stream = kernels.iter().find(|(name, _)| name.starts_with("sinkhorn_stream"));
        stream.expect("ran").1
    };
    let (short, long) = (of(&short), of(&long));
    assert_eq!((short.launches, long.launches), (1.0, 1.0));
    assert_eq!(long.conflicts, 0.0);
    assert!(long.bytes <= 1.1 * long.useful_bytes, "{} of {}", long.bytes, long.useful_bytes);
    // All of it is in shared memory, 128 bytes a wavefront; 16 of 528 rows are padding, and sums of rows
    // and columns cross warps there, which is much beside three blocks a CTA.
    let wavefronts = (long.wavefronts - short.wavefronts) / 10.0;
    let kernel = 512.0 * 1024.0 * 4.0;
    let ideal = kernel / 128.0;
    assert!(wavefronts >= ideal && wavefronts <= 1.5 * ideal, "{wavefronts} of {ideal}");
    // And none of it in global memory, where shares of column sums are written and read, and CTAs that
    // wait for one another look as often as the interpreter lets them.
    let bytes = (long.bytes - short.bytes) / 10.0;
    assert!(bytes < kernel, "{bytes} of {kernel}");
}

#[test]
fn annealing_reads_each_cost_once_and_takes_one_exponential_a_step() {
    let Some(kernels) = counted("geomloss", "small") else { return };
    let resident = kernels.iter().find(|(name, _)| name.starts_with("sinkhorn_geomloss_v2"));
    let (name, counts) = resident.expect("ran");
    expect_thrift(&[(name.clone(), *counts)]);
    let elements = 4.0 * 64.0 * 256.0;
    // Logarithms, potentials, and what each warp reads of a pair and of each step come on top.
    assert!(counts.bytes <= 1.25 * 4.0 * elements, "{} bytes", counts.bytes);
    // Updates are launched for the sums of the plans alone, once a side, not for the steps.
    for (name, counts) in kernels.iter().filter(|(name, _)| name.starts_with("sinkhorn_")) {
        assert!(counts.launches <= 2.0, "{name}: {} launches", counts.launches);
    }
}
