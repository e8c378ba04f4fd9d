//! Items of a batch, and the spans of their points that kernels go by.

use std::ops::Range;

/// First row where results are, rows, first row of the points, side: as `mmd_stack_v1_f32.ptx` says.
pub(super) type Span = [u32; 4];

/// One item of both clouds.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its number in the batch.
    pub at: usize,
    /// Its points of `x`, and of `y`.
    pub points: [Range<usize>; 2],
}

impl Item {
    pub fn of(offsets: [&[usize]; 2], at: usize) -> Self {
        Self { at, points: offsets.map(|offsets| offsets[at]..offsets[at + 1]) }
    }

    /// Points of each side.
    pub fn counts(&self) -> [usize; 2] {
        [self.points[0].len(), self.points[1].len()]
    }
}

/// Spans of at most `most` points of a side, which kernels know by `side`; its results start at `row`.
pub(super) fn spans(
    points: Range<usize>,
    row: usize,
    side: usize,
    most: usize,
) -> impl ExactSizeIterator<Item = Span> {
    let count = points.len();
    (0..count).step_by(most).map(move |k| {
        [row + k, most.min(count - k), points.start + k, side].map(|number| number as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_points_of_a_side() {
        let all: Vec<Span> = spans(10..140, 64, 3, 64).collect();
        assert_eq!(all, [[64, 64, 10, 3], [128, 64, 74, 3], [192, 2, 138, 3]]);
        assert_eq!(spans(5..5, 0, 0, 64).len(), 0);
    }
}
