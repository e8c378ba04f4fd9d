//! What the kernel for Hopper does that others do not: maps, and CTAs that go from tile to tile. On other
//! devices the same products take other kernels.

use gpu_math::Scale;
use half::bf16;

use crate::case::Case;
use crate::device::setup;

#[test]
fn edges_of_tiles_and_boxes_are_zeros() {
    let Some(setup) = setup() else { return };
    let turns = [[false, false], [false, true], [true, false], [true, true]];
    // Around a tile of 128x256, a warpgroup of 64 rows, a box of 64 terms, and boxes of 64 rows; and
    // more chunks than stages.
    for (at, [m, n, k]) in
        [[65, 129, 8], [128, 256, 64], [136, 264, 72], [200, 320, 456]].into_iter().enumerate()
    {
        for turned in turns {
            let scale = Scale { alpha: 0.5, beta: (at % 2) as f32 };
            let gap = |cols: usize| cols.next_multiple_of(8) - cols + 8;
            let a_cols = if turned[0] { m } else { k };
            let b_cols = if turned[1] { k } else { n };
            let gaps = [gap(a_cols), gap(b_cols), at];
            let case = Case { scale, gaps, seed: 11, ..Case::new([m, n, k], turned) };
            case.check::<bf16, f32>(&setup);
            case.check::<bf16, bf16>(&setup);
        }
    }
}

#[test]
fn ctas_go_from_tile_to_tile() {
    let Some(setup) = setup() else { return };
    // 144 tiles for the 132 SMs of an H200, the last of them in a group of two rows of tiles.
    let case = Case::new([128 * 17 + 1, 256 * 7 + 8, 8], [false, false]);
    case.check::<bf16, f32>(&setup);
}

#[test]
fn split_terms_go_through_the_workspace() {
    let Some(setup) = setup() else { return };
    let scale = Scale { alpha: -1.0, beta: 2.0 };
    let case = Case { scale, gaps: [8, 8, 1], ..Case::new([72, 136, 1096], [false, true]) };
    assert_eq!(case.check::<bf16, bf16>(&setup), case.check::<bf16, bf16>(&setup));
}
