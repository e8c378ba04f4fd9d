//! What a product asks of an operand: panels of its lines, widened.

#[cfg(target_arch = "x86_64")]
use crate::gemm::panels::pack_panels;
use crate::lines::Lines;
use crate::stored::Stored;

/// Most depth between visits to the output.
const BLOCK: usize = 512;

/// Depth between visits to the output: blocks of equal depth, so that none is a sliver.
pub(crate) fn depth_block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(BLOCK)).next_multiple_of(16)
}

/// Lines (rows of the left operand, columns of the right one) in some stored form.
pub(crate) trait Operand: Copy + Send + Sync {
    /// The part from a line and a depth on.
    fn from(self, line: usize, depth: usize) -> Self;

    /// Fills `panel[depth][line]`, `W` wide, with the first `count` lines in f32. Slots past these
    /// are left as they are.
    fn widen_panel<const W: usize>(self, count: usize, panel: &mut [f32]);

    /// Packs the first `count` lines, to `depth`, into panels of `W` in f32; lines missing in the last
    /// are zeros.
    ///
    /// # Safety
    ///
    /// The machine has AVX-512.
    #[cfg(target_arch = "x86_64")]
    unsafe fn pack<const W: usize>(self, count: usize, depth: usize, out: &mut [f32]);
}

impl<E: Stored> Operand for Lines<'_, E> {
    #[inline(always)]
    fn from(self, line: usize, depth: usize) -> Self {
        self.part(line, depth)
    }

    #[inline(always)]
    fn widen_panel<const W: usize>(self, count: usize, panel: &mut [f32]) {
        /// Numbers of a line that are widened at once.
        const PART: usize = 64;
        let depth = panel.len() / W;
        if self.line_stride == 1 {
            for (row, slots) in panel.chunks_exact_mut(W).enumerate() {
                E::widen(&self.data[row * self.depth_stride..][..count], &mut slots[..count]);
            }
            return;
        }
        for (part, slots) in panel.chunks_mut(PART * W).enumerate() {
            let from = part * PART;
            for line in 0..count {
                let x = self.part(line, from);
                let mut wide = [0.0; PART];
                let wide = &mut wide[..PART.min(depth - from)];
                if x.depth_stride == 1 {
                    E::widen(&x.data[..wide.len()], wide);
                } else {
                    for (wide, x) in wide.iter_mut().zip(x.data.iter().step_by(x.depth_stride)) {
                        *wide = x.wide();
                    }
                }
                for (slots, &wide) in slots.chunks_exact_mut(W).zip(&*wide) {
                    slots[line] = wide;
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn pack<const W: usize>(self, count: usize, depth: usize, out: &mut [f32]) {
        // SAFETY: by this function's contract.
        unsafe { pack_panels::<W, E>(self, count, depth, out) }
    }
}
