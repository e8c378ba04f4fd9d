//! Lane loops compiled for the vector units that the processor turns out to have.

use crate::machine::registers::{Mask, Registers};
use crate::program::LaneBody;

/// The work of an instruction, compiled twice: for any processor, and with AVX2 and fused
/// multiply-adds, without which `f32::mul_add` is a call for each lane.
#[inline(always)]
pub(super) fn vectorised(work: impl Fn(&mut Registers, Mask) + Send + Sync + 'static) -> LaneBody {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return Box::new(move |registers, mask| {
            // SAFETY: the processor has both features.
            unsafe { with_avx2(&work, registers, mask) }
        });
    }
    Box::new(work)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(work: &impl Fn(&mut Registers, Mask), registers: &mut Registers, mask: Mask) {
    work(registers, mask);
}
