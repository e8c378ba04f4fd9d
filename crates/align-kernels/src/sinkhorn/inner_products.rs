//! Inner products of all pairs that lie in blocks, a chunk at a time or, where there is room, all of them.

use std::ops::Range;

use super::grid::Grid;
use super::lanes::{keep_products, take_products};
use super::side::Side;

/// Inner products that are in memory at once, unless one item has more: 64 MiB.
const MOST: usize = 1 << 24;

/// Some items of `x` and all items of `y` that they meet.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub items: Range<usize>,
    pub others: Range<usize>,
    /// Their points.
    pub x_rows: Range<usize>,
    pub y_rows: Range<usize>,
    /// Where the products start if those of all chunks lie one after another.
    start: usize,
}

impl Chunk {
    fn len(&self) -> usize {
        self.x_rows.len() * self.y_rows.len()
    }
}

/// Runs of items of `x` whose products with all that they meet fit in a chunk; at least one item each.
pub(super) fn chunks(x: &Side<'_>, y: &Side<'_>, grid: Grid) -> Vec<Chunk> {
    let (mut out, mut start) = (Vec::<Chunk>::new(), 0);
    for block in 0..grid.blocks {
        let others = block * grid.y..(block + 1) * grid.y;
        let y_rows = y.offsets[others.start]..y.offsets[others.end];
        let most = MOST / y_rows.len().max(1);
        let (mut first, last) = (block * grid.x, (block + 1) * grid.x);
        while first < last {
            let mut end = first + 1;
            while end < last && x.offsets[end + 1] - x.offsets[first] <= most {
                end += 1;
            }
            let x_rows = x.offsets[first]..x.offsets[end];
            let (others, y_rows) = (others.clone(), y_rows.clone());
            let chunk = Chunk { items: first..end, others, x_rows, y_rows, start };
            start += chunk.len();
            first = end;
            out.push(chunk);
        }
    }
    out
}

/// Memory for the products of chunks, which keeps its pages from call to call.
pub(super) struct InnerProducts {
    dots: Vec<f32>,
    /// As large as a chunk.
    second: Vec<f32>,
    keeping: Keeping,
}

/// Whether products stay for a second pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    None,
    /// They will be needed again.
    First,
    /// They are there.
    Second,
}

impl InnerProducts {
    /// For one pass over all chunks.
    pub fn once() -> Self {
        let [dots, second] = take_products();
        Self { dots, second, keeping: Keeping::None }
    }

    /// For two passes, of which the second finds the products of the first where they are few enough.
    pub fn twice(chunks: &[Chunk]) -> Self {
        let all = chunks.last().map_or(0, |last| last.start + last.len());
        let mut products = Self::once();
        if all <= MOST {
            products.keeping = Keeping::First;
            products.dots.resize(all, 0.0);
        }
        products
    }

    /// The second pass begins.
    pub fn again(&mut self) {
        if self.keeping == Keeping::First {
            self.keeping = Keeping::Second;
        }
    }

    /// The products of a chunk, by `fill` unless they are there, and with `two` as much memory again.
    pub fn of(
        &mut self,
        chunk: &Chunk,
        two: bool,
        fill: impl FnOnce(&mut [f32]),
    ) -> (&mut [f32], &mut [f32]) {
        let len = chunk.len();
        let start = if self.keeping == Keeping::None { 0 } else { chunk.start };
        if self.dots.len() < start + len {
            self.dots.resize(start + len, 0.0);
        }
        let other = if two { len } else { 0 };
        if self.second.len() < other {
            self.second.resize(other, 0.0);
        }
        let dots = &mut self.dots[start..start + len];
        if self.keeping != Keeping::Second {
            fill(dots);
        }
        (dots, &mut self.second[..other])
    }
}

impl Drop for InnerProducts {
    fn drop(&mut self) {
        keep_products([std::mem::take(&mut self.dots), std::mem::take(&mut self.second)]);
    }
}
