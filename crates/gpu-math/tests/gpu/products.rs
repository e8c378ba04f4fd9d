//! Every order of storage, size, stride and type.

use gpu_math::Scale;
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
    // More than 8 rows of tiles, and a last group that is not full.
    let case = Case::new([64 * 9 + 3, 64 * 2 + 1, 20], [false, false]);
    case.check::<f32, f32>(&setup);
    case.check::<bf16, f32>(&setup);
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
