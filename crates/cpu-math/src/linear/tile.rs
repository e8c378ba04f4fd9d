//! A tile of dot products: what an instruction set has to offer for them.

use crate::stored::Stored;

/// Partial sums of one dot product.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [f32; LANES]);

/// Partial sums that a dot product has.
pub(super) const LANES: usize = 16;

/// Dot products of a few rows and a few columns, for some instruction set.
pub(super) trait Tile {
    /// Most rows of a tile.
    const MOST_ROWS: usize;

    /// Columns of the tile for this many rows.
    fn columns_for(rows: usize) -> usize;

    /// Adds the products of the lines of `x` and those of `w` to partial sums, or overwrites these.
    /// What lies `ahead` elements past each element of `w` is asked for, unless that is 0.
    ///
    /// # Safety
    ///
    /// The machine has the tile's instructions.
    unsafe fn add<E: Stored>(x: Operand<'_, f32>, w: Operand<'_, E>, ahead: usize, part: Part<'_>);

    /// The sums of sixteen dot products.
    ///
    /// # Safety
    ///
    /// The machine has the tile's instructions.
    unsafe fn reduce(lanes: &[Lanes; LANES]) -> [f32; LANES];
}

/// Lines of an operand, as many as a tile has or fewer.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, E> {
    pub data: &'a [E],
    /// Elements from one line to the next.
    pub stride: usize,
    pub lines: usize,
}

impl<E> Operand<'_, E> {
    /// # Panics
    ///
    /// When a line, to `depth`, lies outside the slice, or there is none.
    #[inline(always)]
    pub fn check(&self, depth: usize) {
        let end = (self.lines - 1) * self.stride + depth;
        assert!(end <= self.data.len(), "lines lie within their slice");
    }
}

/// A stretch of the depth, and where its sums go.
pub(super) struct Part<'a> {
    pub depth: usize,
    /// Whether to add to what is there.
    pub keep: bool,
    /// Partial sums of row `r` and column `c` at `r * width + c`.
    pub lanes: &'a mut [Lanes],
    pub width: usize,
}
