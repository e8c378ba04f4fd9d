//! The objectives of the recipes, as functions of tensors.
//!
//! Each returns a sum over its items, so that a step of several micro-batches can divide by the
//! count over all of them. The arithmetic of the distillation losses is that of `align-kernels`; what
//! is drawn at random, and what a run must keep, is here.

mod contrast;
mod crd;
mod fused;
#[cfg(test)]
mod golden;
mod masking;
mod memory_bank;
mod nst;

pub use contrast::{Clouds, ContrastOptions, contrast_cosine, contrast_wasserstein};
pub use crd::{crd_in_batch, draw_tokens};
pub use masking::{IGNORED, MaskedTokens, mask_tokens};
pub use memory_bank::{MemoryBank, draw_rows};
pub use nst::{nst_gauss, nst_gram, nst_poly};
