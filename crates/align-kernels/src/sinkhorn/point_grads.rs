//! Gradients by the prepared points, while they are summed: a buffer for each part of a side.

use std::ops::Range;

use cpu_math::parallel::SharedMut;

use super::side::Side;

/// Gradients of both sides, where they are wanted.
pub(super) struct PointGrads {
    pub x: Option<SideGrads>,
    pub y: Option<SideGrads>,
}

/// Gradients of one side.
pub(super) struct SideGrads {
    parts: Vec<Vec<f32>>,
    /// Where the points of each part start, and where the last ones end.
    starts: Vec<usize>,
    width: usize,
}

impl SideGrads {
    pub fn new(side: &Side<'_>) -> Self {
        let len = |part: &[usize]| (part[1] - part[0]) * side.width;
        let parts = side.parts.windows(2).map(|part| vec![0.0; len(part)]).collect();
        Self { parts, starts: side.parts.clone(), width: side.width }
    }

    /// Gradients of a range of points, all of one part.
    pub fn rows(&mut self, points: Range<usize>) -> &mut [f32] {
        let part = part_of(&self.starts, &points);
        let (start, d) = (self.starts[part], self.width);
        &mut self.parts[part][(points.start - start) * d..(points.end - start) * d]
    }

    /// For tasks that each write to items of their own.
    pub fn shared(&mut self) -> SharedGrads<'_> {
        let parts = self.parts.iter_mut().map(|part| SharedMut::new(part)).collect();
        SharedGrads { parts, starts: &self.starts, width: self.width }
    }

    /// The buffers, a part each.
    pub fn into_parts(self) -> Vec<Vec<f32>> {
        self.parts
    }

    /// The points of each part, with their gradients.
    pub fn parts(&mut self) -> impl Iterator<Item = (Range<usize>, &mut [f32])> {
        let points = self.starts.windows(2).map(|part| part[0]..part[1]);
        points.zip(self.parts.iter_mut().map(|part| &mut part[..]))
    }
}

/// Gradients that several tasks write to.
pub(super) struct SharedGrads<'g> {
    parts: Vec<SharedMut<'g, f32>>,
    starts: &'g [usize],
    width: usize,
}

impl SharedGrads<'_> {
    /// Gradients of a range of points, all of one part.
    ///
    /// # Safety
    ///
    /// No two tasks reach one point.
    #[expect(clippy::mut_from_ref, reason = "tasks reach points of their own, by contract")]
    pub unsafe fn rows(&self, points: Range<usize>) -> &mut [f32] {
        let part = part_of(self.starts, &points);
        let at = (points.start - self.starts[part]) * self.width;
        // SAFETY: the points are of the part; unaliased by contract.
        unsafe {
            let start = self.parts[part].pointer(at);
            std::slice::from_raw_parts_mut(start, points.len() * self.width)
        }
    }
}

/// The part that a range of points is in. One without points is anywhere.
fn part_of(starts: &[usize], points: &Range<usize>) -> usize {
    let part =
        starts.partition_point(|&start| start <= points.start).clamp(1, starts.len() - 1) - 1;
    assert!(points.end <= starts[part + 1], "{points:?} lie in one part of {starts:?}");
    part
}
