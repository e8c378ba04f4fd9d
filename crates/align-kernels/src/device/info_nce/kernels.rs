//! Which kernels a form of points takes.

use gpu_math::Element;
use gpu_runtime::Kernel;
use half::bf16;

use super::plan::Tiles;
use crate::device::session::Session;
use crate::error::Result;
use crate::registry::{
    INFO_NCE_LSE_BF16, INFO_NCE_LSE_F32, INFO_NCE_PACK_BF16, INFO_NCE_PACK_F32,
    INFO_NCE_SLOPES_BF16, INFO_NCE_SLOPES_F32, Variant,
};

/// What points, and with them slopes, are made of on the device.
pub(super) trait Form: Element {
    /// Whether it is bf16.
    const IS_HALF: bool;
    /// The kernel that packs points.
    const PACK: &'static Variant;
    /// Those that sum logits and make slopes, on any device.
    const LSE: &'static Variant;
    const SLOPES: &'static Variant;
}

impl Form for f32 {
    const IS_HALF: bool = false;
    const PACK: &'static Variant = &INFO_NCE_PACK_F32;
    const LSE: &'static Variant = &INFO_NCE_LSE_F32;
    const SLOPES: &'static Variant = &INFO_NCE_SLOPES_F32;
}

impl Form for bf16 {
    const IS_HALF: bool = true;
    const PACK: &'static Variant = &INFO_NCE_PACK_BF16;
    const LSE: &'static Variant = &INFO_NCE_LSE_BF16;
    const SLOPES: &'static Variant = &INFO_NCE_SLOPES_BF16;
}

/// How logits are cut for the kernels of a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Whether warpgroups multiply, and points are laid out for them.
    pub is_wide: bool,
    pub tiles: Tiles,
    /// CTAs that run at once.
    pub ctas: u32,
}

impl Cut {
    /// For points of a form on the device of a session.
    pub fn of<T: Form>(session: &Session<'_>) -> Self {
        let facts = session.stream.device().facts();
        let is_hopper = (facts.compute_capability.major, facts.compute_capability.minor) == (9, 0);
        match T::IS_HALF && is_hopper {
            true => Self { is_wide: true, tiles: WIDE, ctas: facts.sm_count },
            false => Self { is_wide: false, tiles: SQUARE, ctas: CTAS_PER_SM * facts.sm_count },
        }
    }
}

/// Tiles of the kernels that every device has, and of the blocks that they sum over.
const SQUARE: Tiles = Tiles { rows: 128, columns: 128, most_rows: 1024, most_columns: 1024 };
/// Those of warpgroups.
const WIDE: Tiles = Tiles { rows: 128, columns: 256, most_rows: 1024, most_columns: 512 };

/// Threads of a CTA of 128 x 128, of which an SM has two.
pub(super) const THREADS: u32 = 256;
const CTAS_PER_SM: u32 = 2;
/// Shared memory of a tile of products and what goes with it.
const LSE_SHARED: u32 = 70_656;
pub(super) const SLOPES_SHARED: u32 = 72_192;

/// Threads of a CTA of warpgroups, and its shared memory: an SM has one.
pub(super) const WIDE_THREADS: u32 = 640;
pub(super) const WIDE_LSE_SHARED: u32 = 226_048;
pub(super) const WIDE_SLOPES_SHARED: u32 = 199_040;

/// Shared memory of the sums of a block, beside its tile.
pub(super) fn lse_shared(anchors: u32) -> u32 {
    LSE_SHARED + 8 * anchors
}

/// A kernel that may use as much dynamic shared memory.
pub(super) fn with_shared(session: &Session<'_>, variant: &Variant, bytes: u32) -> Result<Kernel> {
    let kernel = session.kernel(variant)?;
    session.gpu(kernel.set_dynamic_shared(bytes))?;
    Ok(kernel)
}
