//! Every order of storage, size, stride and type.

use gpu_math::{Precision, Scale};
use half::bf16;

use crate::case::Case;
use crate::device::setup;

const TURNS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

/// Around a warp, a tile and a step of the sum.
const EXTENTS: [[usize; 3]; 8] = [
    [1, 1, 1],
    [2, 31, 16],
    [33, 1, 65],
    [64, 64, 32],
    [65, 130, 33],
    [130, 2, 64],
    [31, 33, 31],
    [66, 65, 130],
];

#[test]
fn products_are_within_the_error_of_a_plain_loop() {
    let Some(setup) = setup() else { return };
    for (at, extents) in EXTENTS.into_iter().enumerate() {
        for turned in TURNS {
            let case = Case { seed: at as u32, ..Case::new(extents, turned) };
            case.check::<f32, f32>(&setup);
            case.check::<bf16, f32>(&setup);
        }
    }
}

#[test]
fn rows_may_start_anywhere() {
    let Some(setup) = setup() else { return };
    for (at, gaps) in
        [[1, 0, 3], [0, 8, 1], [5, 3, 0], [16, 24, 8], [7, 7, 7]].into_iter().enumerate()
    {
        for turned in TURNS {
            let case = Case { gaps, offset: at, seed: 9, ..Case::new([35, 67, 40], turned) };
            case.check::<f32, f32>(&setup);
            case.check::<bf16, f32>(&setup);
        }
    }
}

#[test]
fn outputs_are_scaled_added_to_and_rounded() {
    let Some(setup) = setup() else { return };
    for (alpha, beta) in [(1.0, 0.0), (-0.5, 1.0), (3.0, -2.0), (0.0, 0.5), (1.0, 1.0)] {
        let scale = Scale { alpha, beta };
        let case = Case { scale, gaps: [0, 1, 2], ..Case::new([37, 66, 50], [false, true]) };
        case.check::<f32, f32>(&setup);
        case.check::<f32, bf16>(&setup);
        case.check::<bf16, f32>(&setup);
        case.check::<bf16, bf16>(&setup);
    }
}

#[test]
fn a_sum_of_nothing_is_0() {
    let Some(setup) = setup() else { return };
    for beta in [0.0, 0.5] {
        let scale = Scale { alpha: 2.0, beta };
        let case = Case { scale, ..Case::new([3, 70, 0], [false, false]) };
        case.check::<f32, f32>(&setup);
        case.check::<bf16, bf16>(&setup);
    }
    Case::new([0, 5, 3], [false, false]).check::<f32, f32>(&setup);
    Case::new([5, 0, 3], [true, true]).check::<bf16, f32>(&setup);
}

#[test]
fn many_tiles_are_each_done_once() {
    let Some(setup) = setup() else { return };
    // More than 8 rows of tiles of either size, and a last group that is not full.
    for extents in [[64 * 9 + 3, 64, 20], [128 * 9 + 3, 128 + 1, 5]] {
        let case = Case::new(extents, [false, false]);
        case.check::<f32, f32>(&setup);
        case.check::<bf16, f32>(&setup);
        Case { gaps: [3, 7, 0], ..case }.check::<bf16, f32>(&setup);
    }
}

#[test]
fn aligned_rows_end_inside_a_piece() {
    let Some(setup) = setup() else { return };
    // Strides that are multiples of 8: the last piece of a row is partly padding.
    for turned in TURNS {
        for [m, n, k] in [[129, 131, 77], [40, 200, 3], [1, 1, 9], [255, 17, 161]] {
            let [rows, cols]: [usize; 2] = if turned[0] { [k, m] } else { [m, k] };
            let gap_a = cols.next_multiple_of(8) - cols + 8 * (rows % 2);
            let cols: usize = if turned[1] { k } else { n };
            let gap_b = cols.next_multiple_of(8) - cols;
            let case = Case { gaps: [gap_a, gap_b, 1], seed: 5, ..Case::new([m, n, k], turned) };
            case.check::<bf16, f32>(&setup);
            case.check::<bf16, bf16>(&setup);
        }
    }
}

#[test]
fn long_sums_are_split_and_added_in_order() {
    let Some(setup) = setup() else { return };
    let scale = Scale { alpha: 0.5, beta: -1.5 };
    for (turned, extents) in
        TURNS.into_iter().zip([[3, 70, 1024], [66, 80, 1100], [5, 1, 2047], [16, 65, 1536]])
    {
        let case = Case { scale, gaps: [0, 0, 3], ..Case::new(extents, turned) };
        assert_eq!(case.check::<f32, f32>(&setup), case.check::<f32, f32>(&setup));
        case.check::<bf16, f32>(&setup);
        let aligned = Case { gaps: [8 - extents[2] % 8, 0, 0], ..case };
        aligned.check::<bf16, bf16>(&setup);
        aligned.check::<f32, bf16>(&setup);
    }
}

#[test]
fn a_product_asked_for_in_tf32_is_off_by_its_rounding() {
    let Some((stream, products)) = setup() else { return };
    let setup = (stream, products.with_precision(Precision::Tf32));
    for (at, turned) in TURNS.into_iter().enumerate() {
        for [m, n, k] in [[132, 72, 36], [20, 132, 100], [4, 4, 8]] {
            let scale = Scale { alpha: 2.0, beta: at as f32 };
            let case = Case { scale, ..Case::new([m, n, k], turned) };
            case.check_rounded::<f32>(&setup);
            case.check_rounded::<bf16>(&setup);
        }
        // Rows at odd places are multiplied exactly.
        Case { offset: 1, ..Case::new([70, 33, 65], turned) }.check::<f32, f32>(&setup);
    }
}

#[test]
fn bits_are_the_same_in_every_run() {
    let Some(setup) = setup() else { return };
    for turned in TURNS {
        let case = Case { gaps: [3, 0, 1], ..Case::new([70, 40, 100], turned) };
        assert_eq!(case.check::<f32, f32>(&setup), case.check::<f32, f32>(&setup));
        assert_eq!(case.check::<bf16, bf16>(&setup), case.check::<bf16, bf16>(&setup));
    }
}

#[test]
fn a_library_that_is_not_found_changes_nothing() {
    let Some((stream, products)) = setup() else { return };
    let products = products.with_library(&stream).unwrap();
    let is_found = products.library().is_some();
    let setup = (stream, products);
    let case = Case { offset: 1, ..Case::new([35, 67, 40], [false, true]) };
    let bits = case.check::<f32, f32>(&setup);
    let own = (setup.0.clone(), gpu_math::Products::new(setup.0.device()));
    assert!(is_found || bits == case.check::<f32, f32>(&own));
}
