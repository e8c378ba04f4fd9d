//! One operand of a product as lines along its depth.

/// Lines inside a slice; neighbours within a line, or the lines themselves, may lie apart.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a, E> {
    pub data: &'a [E],
    pub line_stride: usize,
    pub depth_stride: usize,
}

impl<E> Lines<'_, E> {
    /// The part from a line and a depth on.
    #[inline(always)]
    pub fn part(self, line: usize, depth: usize) -> Self {
        let at = line * self.line_stride + depth * self.depth_stride;
        Self { data: &self.data[at..], ..self }
    }
}
